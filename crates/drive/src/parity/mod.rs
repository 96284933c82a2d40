//! Do both sides answer alike? A share of the reads is asked once more after the load: of legacy, of
//! the twin, and of legacy again. Only if legacy said the same twice was the moment quiet enough
//! for the twin's answer to be held against it.
//!
//! Where requests are routed one by one, each question is asked three times on end. If a flag of
//! the platform routes everybody, all questions are asked of legacy, then all of the twin, then all of
//! legacy again ([`in_turns`]).

mod compare;
mod in_turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use self::compare::{Difference, compare, readable};
use super::recorder::Outcome;
use super::rows::Kept;
use super::shared::Shared;
use super::worker::Worker;
use cutover_evidence::answers::ParityEvidence;
use cutover_evidence::class::AnswerFault;
use cutover_evidence::drive::Side;
use cutover_evidence::finding::Finding;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::ParityConfig;
use cutover_ground::routing::Flag;
use cutover_scenario::{Arrival, Places};

/// Fewer questions say little, more only take time.
const FEWEST: u64 = 200;
const MOST: u64 = 5000;
/// How often a question is asked until nothing changes meanwhile.
const ATTEMPTS: usize = 3;
/// After this no further question is asked.
const LIMIT: Duration = Duration::from_secs(120);
/// A platform that leaves so many questions unanswered on end is down.
const SILENT_QUESTIONS: u64 = 3;

/// Asks; `reads` is how many reads the load measured, `flag` what routes everybody's reads.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    config: &ParityConfig,
    reads: u64,
    flag: Option<&Flag>,
    context: &ActContext,
) -> ParityEvidence {
    let began = Instant::now();
    if config.share == 0.0 {
        let incomplete_reason = "[parity] share = 0: no question was asked".into();
        return ParityEvidence { incomplete_reason, ..ParityEvidence::default() };
    }
    let count = ((reads as f64 * config.share) as u64).clamp(FEWEST, MOST);
    let mut asker = Asker {
        shared,
        context,
        worker: Worker::new(Arc::clone(shared), 0),
        masks: config.mask.iter().filter_map(|mask| Places::parse(mask).ok()).collect(),
        silent: 0,
        evidence: ParityEvidence::default(),
    };
    let questions = questions(shared, count);
    context.started("read parity", Some(questions.len() as u64), "questions");
    match flag {
        None => asker.one_by_one(&questions).await,
        Some(flag) => asker.in_turns(flag, &questions).await,
    }
    context.emit(Event::Finished);
    let mut evidence = asker.evidence;
    evidence.complete = evidence.incomplete_reason.is_empty();
    evidence.duration_s = began.elapsed().as_secs_f64();
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

/// What was said to one question.
type Answer = Result<Bytes, Outcome>;

/// Who asks.
struct Asker<'a> {
    shared: &'a Arc<Shared>,
    context: &'a ActContext,
    worker: Worker,
    masks: Vec<Places>,
    /// Questions on end without an answer.
    silent: u64,
    evidence: ParityEvidence,
}

impl Asker<'_> {
    /// Asks each question of both sides before the next.
    async fn one_by_one(&mut self, questions: &[Arrival]) {
        let began = Instant::now();
        for arrival in questions {
            if !self.goes_on(began) {
                return;
            }
            let operation = &self.shared.scenario.operations[usize::from(arrival.operation)];
            let row = operation.row.map(|name| self.shared.rows.take(name));
            if matches!(row, Some(None)) {
                // No row is left to ask about.
                continue;
            }
            let row = row.flatten();
            let mut settled = Settled::Unsettled;
            for _ in 0..ATTEMPTS {
                let first = self.worker.ask(arrival, Side::Legacy, row.as_ref()).await;
                if is_silence(&first) {
                    settled = Settled::Unanswered;
                    break;
                }
                let twin = self.worker.ask(arrival, Side::Partitioned, row.as_ref()).await;
                let again = self.worker.ask(arrival, Side::Legacy, row.as_ref()).await;
                settled = judge(&first, &twin, &again, &self.masks);
                if !matches!(settled, Settled::Unsettled) {
                    break;
                }
            }
            let silent = matches!(settled, Settled::Unanswered);
            self.silent = if silent { self.silent + 1 } else { 0 };
            self.count(arrival, row.as_ref(), settled);
            if let (Some(name), Some(row)) = (operation.row, row) {
                self.shared.rows.put(name, row);
            }
            self.context.emit(Event::Advanced(1));
        }
    }

    /// Whether a further question makes sense; the evidence says why if it does not.
    fn goes_on(&mut self, began: Instant) -> bool {
        let why_not = if self.silent == SILENT_QUESTIONS {
            "the platform no longer answers"
        } else if self.shared.queue.stopped() || began.elapsed() > LIMIT {
            "not every question was asked in time"
        } else {
            return true;
        };
        self.evidence.incomplete_reason = why_not.into();
        false
    }

    fn count(&mut self, arrival: &Arrival, row: Option<&Kept>, settled: Settled) {
        let evidence = &mut self.evidence;
        evidence.asked += 1;
        match settled {
            Settled::Alike => evidence.compared += 1,
            Settled::Unsettled => evidence.unsettled += 1,
            Settled::Unanswered => evidence.unanswered += 1,
            Settled::Differs(difference) => {
                evidence.compared += 1;
                evidence.differing += 1;
                if evidence.findings.len() < ParityEvidence::KEPT_FINDINGS {
                    let operation = &self.shared.scenario.operations;
                    let name = &operation[usize::from(arrival.operation)].name;
                    let org = row.map_or(arrival.org, |row| row.org);
                    evidence.findings.push(finding(name, org, difference));
                }
            }
        }
    }
}

enum Settled {
    Alike,
    Differs(Difference),
    Unsettled,
    Unanswered,
}

/// Whether nobody is there, or what is there is broken.
fn is_silence(answer: &Answer) -> bool {
    !matches!(answer, Ok(_) | Err(Outcome::Status(..500)))
}

/// What legacy's two answers say of the twin's.
fn judge(first: &Answer, twin: &Answer, again: &Answer, masks: &[Places]) -> Settled {
    let read = |body: &Bytes| -> Value { readable(body, masks) };
    let (first, twin, again) = match (first, twin, again) {
        (Ok(first), Ok(twin), Ok(again)) => (read(first), read(twin), read(again)),
        // Legacy may have answered out of its cache while nobody behind the platform could be asked.
        (Ok(_), Err(Outcome::Status(408 | 499 | 502..=504 | 520..=527)), Ok(_)) => {
            return Settled::Unanswered;
        }
        // One side refuses what the other answers, as long as nothing changes.
        (Ok(first), Err(Outcome::Status(status)), Ok(again)) if read(first) == read(again) => {
            return Settled::Differs(refused(*status, true));
        }
        (Err(Outcome::Status(status)), Ok(_), Err(Outcome::Status(again)))
            if status == again && *status < 500 =>
        {
            return Settled::Differs(refused(*status, false));
        }
        _ => return Settled::Unanswered,
    };
    match first == again {
        true => compare(&first, &twin).map_or(Settled::Alike, Settled::Differs),
        false => Settled::Unsettled,
    }
}

/// One side refuses a question that the other answers.
fn refused(status: u16, by_partitioned: bool) -> Difference {
    let of = |text: String| [("status".to_owned(), Some(text))].into();
    let (answered, refused) = (of("answered".into()), of(format!("http_{status}")));
    let (legacy, partitioned) =
        if by_partitioned { (answered, refused) } else { (refused, answered) };
    Difference { what: AnswerFault::Status, fields: vec!["status".into()], legacy, partitioned }
}

fn finding(operation: &str, org: u64, difference: Difference) -> Finding {
    let fields = difference.fields.join(", ");
    Finding {
        org_id: Some(org.to_string()),
        legacy: Some(difference.legacy),
        partitioned: Some(difference.partitioned),
        detail: Some(format!("{operation} of org {org} is answered otherwise at {fields}")),
        columns: difference.fields,
        ..Finding::new(operation, difference.what)
    }
}
