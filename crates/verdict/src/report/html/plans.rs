//! What the planner would read for the platform's questions, table by table.

use serde::Serialize;

use super::{clip, short};
use crate::report::text::{NOTHING, count, number};
use cutover_evidence::finding::DiffEvidence;
use cutover_evidence::pruning::Pruning;

#[derive(Serialize)]
pub(super) struct Row {
    table: String,
    read: String,
    partitions: String,
    limit: String,
    legacy_cost: String,
    partitioned_cost: String,
    tone: &'static str,
    state: &'static str,
    problem: String,
}

pub(super) fn rows(diff: &DiffEvidence) -> Vec<Row> {
    diff.pruning.iter().map(row).collect()
}

fn row(look: &Pruning) -> Row {
    let cost = |cost: Option<f64>| cost.map_or(NOTHING.to_owned(), |cost| number(cost, 0));
    let (tone, state) = match (&look.problem, look.is_right()) {
        (Some(_), _) => ("doubtful", "no plan"),
        (None, Some(true)) => ("good", "prunes"),
        (None, Some(false)) => ("bad", "too many"),
        (None, None) if look.reads_all() => ("", "cannot prune"),
        (None, None) => ("", "not judged"),
    };
    Row {
        table: short(&look.table),
        read: short(look.read.as_deref().unwrap_or("the range of one partition")),
        partitions: match look.problem {
            Some(_) => NOTHING.to_owned(),
            None => format!("{} of {}", count(look.scanned), count(look.partitions)),
        },
        limit: look.expected.map_or(NOTHING.to_owned(), count),
        legacy_cost: cost(look.legacy_cost),
        partitioned_cost: cost(look.partitioned_cost),
        tone,
        state,
        problem: look.problem.as_deref().map(clip).unwrap_or_default(),
    }
}
