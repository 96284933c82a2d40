//! Which triggers fire on which rows of the side that is written to: each partition or child has its own, and
//! each may be switched by itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use super::schema::{PairPlan, Side};
use super::sql;
use cutover_error::Result;
use cutover_evidence::finding::Finding;
use cutover_ground::pg::catalog::{self, Trigger};

/// Relations of a part that rows are looked for in.
const RELATIONS: usize = 16;

/// Rows on which the same triggers fire.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// Some of the relations that hold them, as one names them after `FROM`.
    pub(super) relations: Vec<String>,
    /// What people call these rows; `None` if they are all of the table's.
    pub(super) name: Option<String>,
    /// The first relation, as reports name a partition.
    first: String,
    /// What fires on them.
    pub(super) triggers: Vec<Trigger>,
}

/// A relation that holds rows, and what fires on them, in one text.
#[derive(Deserialize)]
struct Relation {
    oid: i64,
    name: String,
    fires: String,
}

/// The parts of a side's rows, the largest first; at least one.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn parts(
    connection: &mut PgConnection,
    plan: &PairPlan,
    side: Side,
) -> Result<Vec<Part>> {
    let table = plan.table(side);
    let of_table = table.triggers(connection).await?;
    let whole = |triggers| Part {
        relations: vec![table.name.to_string()],
        name: None,
        first: table.name.to_string(),
        triggers,
    };
    if table.strategy.is_none() && !table.inherited {
        return Ok(vec![whole(of_table)]);
    }
    let relations =
        catalog::rows::<Relation>(connection, &table.name, sql::FIRING, |q| q.bind(table.oid));
    let mut alike = BTreeMap::<String, Vec<Relation>>::new();
    for relation in relations.await? {
        alike.entry(relation.fires.clone()).or_default().push(relation);
    }
    let mut alike: Vec<Vec<Relation>> = alike.into_values().collect();
    alike.sort_by_key(|relations| std::cmp::Reverse(relations.len()));
    if alike.is_empty() {
        return Ok(vec![whole(of_table)]);
    }
    let is_one = alike.len() == 1;
    let mut parts = Vec::new();
    for relations in &alike {
        // A statement that names the table fires the table's own, once.
        let mut triggers: Vec<Trigger> =
            of_table.iter().filter(|trigger| !trigger.per_row()).cloned().collect();
        let of_rows = table.triggers_of(connection, relations[0].oid).await?;
        triggers.extend(of_rows.into_iter().filter(Trigger::per_row));
        let mut part = whole(triggers);
        if !is_one {
            part.relations = relations.iter().map(|one| format!("ONLY {}", one.name)).collect();
            part.relations.truncate(RELATIONS);
            part.name = Some(named(relations));
            part.first = relations[0].name.clone();
        }
        parts.push(part);
    }
    Ok(parts)
}

fn named(relations: &[Relation]) -> String {
    let first: Vec<&str> =
        relations.iter().take(3).map(|relation| relation.name.as_str()).collect();
    match relations.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl Part {
    /// A finding about these rows.
    fn tell(&self, mut finding: Finding) -> Finding {
        if let Some(name) = &self.name {
            finding.partition = Some(self.first.clone());
            finding.detail = finding.detail.map(|detail| format!("rows of {name}: {detail}"));
        }
        finding
    }
}

/// What was found of each part: once, if it is said of every one.
pub(super) fn together(found: Vec<(&Part, Vec<Finding>)>) -> Vec<Finding> {
    let said_of_all = |finding: &Finding| found.iter().all(|(_, others)| others.contains(finding));
    let of_all = found.first().map(|(_, findings)| findings.clone()).unwrap_or_default();
    let mut together: Vec<Finding> = of_all.into_iter().filter(|f| said_of_all(f)).collect();
    for (part, findings) in &found {
        let own = findings.iter().filter(|finding| !said_of_all(finding));
        together.extend(own.cloned().map(|finding| part.tell(finding)));
    }
    together
}
