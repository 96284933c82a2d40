//! Do both sides answer alike? A share of the reads is asked once more after the load: of legacy, of
//! the twin, and of legacy again. Only where legacy said the same twice was the moment quiet enough
//! for the twin's answer to be held against it.

mod compare;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use self::compare::{Difference, compare, readable};
use super::recorder::Outcome;
use super::rows::Kept;
use super::worker::{Shared, Worker};
use crate::act::ActContext;
use crate::config::ParityConfig;
use crate::evidence::answers::ParityEvidence;
use crate::evidence::drive::Mode;
use crate::evidence::finding::Finding;
use crate::scenario::{Arrival, Places};

/// Fewer questions say little, more only take time.
const FEWEST: u64 = 200;
const MOST: u64 = 5000;
/// How often a question is asked until nothing changes meanwhile.
const ATTEMPTS: usize = 3;
/// After this no further question is asked.
const LIMIT: Duration = Duration::from_secs(120);
/// A platform that leaves so many questions unanswered on end is down.
const PATIENCE: u64 = 3;

/// Asks; `reads` is how many reads the load measured.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    config: &ParityConfig,
    reads: u64,
    context: &ActContext,
) -> ParityEvidence {
    let began = Instant::now();
    let mut evidence = ParityEvidence::default();
    if shared.switch.flag().is_some() {
        let why = "a flag for everybody cannot be switched for each question";
        return ParityEvidence { incomplete_reason: why.into(), ..evidence };
    }
    if config.share == 0.0 {
        let why = "[parity] share = 0: no question was asked";
        return ParityEvidence { incomplete_reason: why.into(), ..evidence };
    }
    let masks: Vec<Places> = config.mask.iter().filter_map(|m| Places::parse(m).ok()).collect();
    let count = ((reads as f64 * config.share) as u64).clamp(FEWEST, MOST);
    let questions = questions(shared, count);
    context.started("read parity", Some(questions.len() as u64), "questions");
    let mut worker = Worker::new(Arc::clone(shared), 0);
    let mut silent = 0;
    for arrival in questions {
        if silent == PATIENCE {
            evidence.incomplete_reason = "the platform no longer answers".into();
            break;
        }
        if shared.queue.stopped() || began.elapsed() > LIMIT {
            evidence.incomplete_reason = "not every question was asked in time".into();
            break;
        }
        let unanswered = evidence.unanswered;
        question(&mut worker, shared, &arrival, &masks, &mut evidence).await;
        silent = if evidence.unanswered > unanswered { silent + 1 } else { 0 };
        context.emit(crate::act::Event::Advanced(1));
    }
    evidence.complete = evidence.incomplete_reason.is_empty();
    evidence.duration_s = began.elapsed().as_secs_f64();
    context.emit(crate::act::Event::Finished);
    evidence
}

/// Reads in the proportions of the scenario.
fn questions(shared: &Shared, count: u64) -> Vec<Arrival> {
    let reads =
        |arrival: &Arrival| !shared.scenario.operations[usize::from(arrival.operation)].writes;
    let drawn = usize::try_from(count * 4).unwrap_or(usize::MAX);
    let drawn = shared.queue.samples_ahead(drawn).into_iter().filter(reads);
    drawn.take(usize::try_from(count).unwrap_or(usize::MAX)).collect()
}

async fn question(
    worker: &mut Worker,
    shared: &Shared,
    arrival: &Arrival,
    masks: &[Places],
    evidence: &mut ParityEvidence,
) {
    let operation = &shared.scenario.operations[usize::from(arrival.operation)];
    let row = operation.row.map(|name| shared.rows.take(name));
    if matches!(row, Some(None)) {
        // No row is left to ask about.
        return;
    }
    let row = row.flatten();
    evidence.asked += 1;
    match settled(worker, arrival, row.as_ref(), masks).await {
        Settled::Alike => evidence.compared += 1,
        Settled::Unsettled => evidence.unsettled += 1,
        Settled::Unanswered => evidence.unanswered += 1,
        Settled::Differs(difference) => {
            evidence.compared += 1;
            evidence.differing += 1;
            if evidence.findings.len() < ParityEvidence::KEPT_FINDINGS {
                let org = row.as_ref().map_or(arrival.org, |row| row.org);
                evidence.findings.push(finding(&operation.name, org, difference));
            }
        }
    }
    if let (Some(name), Some(row)) = (operation.row, row) {
        shared.rows.put(name, row);
    }
}

enum Settled {
    Alike,
    Differs(Difference),
    Unsettled,
    Unanswered,
}

async fn settled(
    worker: &mut Worker,
    arrival: &Arrival,
    row: Option<&Kept>,
    masks: &[Places],
) -> Settled {
    for _ in 0..ATTEMPTS {
        let first = worker.ask(arrival, Mode::Legacy, row).await;
        if !matches!(first, Ok(_) | Err(Outcome::Status(..500))) {
            return Settled::Unanswered;
        }
        let twin = worker.ask(arrival, Mode::Partitioned, row).await;
        let again = worker.ask(arrival, Mode::Legacy, row).await;
        let read = |body: Bytes| -> Value { readable(&body, masks) };
        let (first, twin, again) = match (first, twin, again) {
            (Ok(first), Ok(twin), Ok(again)) => (read(first), read(twin), read(again)),
            // One side refuses what the other answers, as long as nothing changes.
            (Ok(first), Err(Outcome::Status(status)), Ok(again)) if first == again => {
                return Settled::Differs(refused(status, true));
            }
            (Err(Outcome::Status(status)), Ok(_), Err(Outcome::Status(again)))
                if status == again =>
            {
                return Settled::Differs(refused(status, false));
            }
            _ => return Settled::Unanswered,
        };
        if first == again {
            return compare(&first, &twin).map_or(Settled::Alike, Settled::Differs);
        }
    }
    Settled::Unsettled
}

/// One side refuses a question that the other answers.
fn refused(status: u16, by_partitioned: bool) -> Difference {
    let told = |text: String| [("status".to_owned(), Some(text))].into();
    let (answered, refused) = (told("answered".into()), told(format!("http_{status}")));
    let (legacy, partitioned) =
        if by_partitioned { (answered, refused) } else { (refused, answered) };
    Difference { class: "answer_status", fields: vec!["status".into()], legacy, partitioned }
}

fn finding(operation: &str, org: u64, difference: Difference) -> Finding {
    let fields = difference.fields.join(", ");
    Finding {
        table: operation.to_owned(),
        org_id: Some(org.to_string()),
        class: difference.class.to_owned(),
        legacy: Some(difference.legacy),
        partitioned: Some(difference.partitioned),
        detail: Some(format!("{operation} of org {org} is answered otherwise at {fields}")),
        columns: difference.fields,
        ..Finding::default()
    }
}
