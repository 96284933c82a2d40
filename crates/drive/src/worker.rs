//! Takes arrivals one after the other: fill the blanks, send, read, check, record.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::ledger::{Indeterminate, Noted, State, state_of};
use super::pacer::Due;
use super::recorder::{Outcome, Sample};
use super::rows::{Kept, Rows};
use super::shared::Shared;
use cutover_evidence::drive::Side;
use cutover_ground::http::Answer;
use cutover_ground::routing::Served;
use cutover_scenario::{Arrival, Operation, Row, Values, is_json};

/// One worker: it sends a request at a time.
pub(super) struct Worker {
    shared: Arc<Shared>,
    number: usize,
}

/// What came back for one request.
pub(super) struct Reply {
    pub outcome: Outcome,
    headers: HeaderMap,
    bytes_out: u64,
    bytes_in: u64,
    sent: Instant,
    done: Instant,
    /// The write that was noted.
    noted: Option<Noted>,
    /// The row that the answer tells of, to be kept.
    fresh: Option<Row>,
    body: Bytes,
}

/// The platform's word for where an answer came from: `hit` or `miss`.
const CACHE_HEADER: &str = "x-cache";

impl Worker {
    /// A worker; `number` tells workers apart.
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Self {
        Self { shared, number }
    }

    /// Takes the next arrival; `None` once the plan is drained or stopped, and then this worker has
    /// come to its orderly end.
    pub(super) async fn step(&mut self, start: Instant) -> Option<Sample> {
        let Some(due) = self.shared.queue.next().await else {
            self.shared.recorder.worker_finished();
            return None;
        };
        let sample = self.serve(due, start).await;
        self.shared.recorder.leave(self.number, sample);
        Some(sample)
    }

    async fn serve(&mut self, Due { arrival, queued }: Due, start: Instant) -> Sample {
        let due = start + Duration::from_micros(arrival.due_us);
        let now = Instant::now();
        let reply = if now.saturating_duration_since(due) > self.shared.timeout {
            // Whoever asked has long given up; sending it now would only prolong the jam.
            Reply::unsent(Outcome::Skipped, now)
        } else {
            let mode = self.shared.queue.windows[arrival.window as usize].mode;
            self.perform(&arrival, mode).await
        };
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let bytes = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        let header = |name: &str| reply.headers.get(name)?.to_str().ok();
        Sample {
            arrival,
            lag_us: micros(reply.sent.saturating_duration_since(due)),
            service_us: micros(reply.done.saturating_duration_since(reply.sent)),
            bytes_out: bytes(reply.bytes_out),
            bytes_in: bytes(reply.bytes_in),
            outcome: reply.outcome,
            queued,
            cached: header(CACHE_HEADER).and_then(|word| match word {
                "hit" => Some(true),
                "miss" => Some(false),
                _ => None,
            }),
            org_class: None,
            retry_after_s: header(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok()),
        }
    }

    /// Sends one request; the row it works on is nobody else's meanwhile.
    pub(super) async fn perform(&mut self, arrival: &Arrival, mode: Side) -> Reply {
        let shared = Arc::clone(&self.shared);
        let operation = &shared.scenario.operations[usize::from(arrival.operation)];
        let row = match operation.row.map(|name| shared.rows.take(name)) {
            None => None,
            Some(Some(row)) => Some(row),
            Some(None) => return Reply::unsent(Outcome::Skipped, Instant::now()),
        };
        let unique = shared.unique.next();
        let mut reply = self.exchange(arrival, mode, unique, row.as_ref(), None).await;
        if let Some(noted) = reply.noted.take_if(|_| state_of(reply.outcome) == State::Unknown) {
            shared.ledger.keep_indeterminate(Indeterminate {
                arrival: *arrival,
                mode,
                unique,
                noted,
            });
        }
        match reply.fresh.take() {
            Some(fresh) => {
                let kept = Kept {
                    row: fresh,
                    org: row.map_or(arrival.org, |row| row.org),
                    version: reply.noted.as_ref().map(|noted| noted.write),
                };
                shared.rows.put(operation.remember.expect("kept by name"), kept);
            }
            None => give_back(&shared.rows, operation, row),
        }
        reply
    }

    /// Sends an indeterminate write once more, under the same idempotency key.
    pub(super) async fn again(&mut self, write: Indeterminate) -> Outcome {
        tracing::debug!(write = write.noted.write, "sending an indeterminate write again");
        self.shared.ledger.retry(&write.noted);
        let Indeterminate { arrival, mode, unique, noted } = write;
        self.exchange(&arrival, mode, unique, None, Some(noted)).await.outcome
    }

    /// Asks a read by itself, for its answer.
    pub(super) async fn ask(
        &mut self,
        arrival: &Arrival,
        mode: Side,
        row: Option<&Kept>,
    ) -> Result<Bytes, Outcome> {
        let reply = self.exchange(arrival, mode, arrival.turn, row, None).await;
        match reply.outcome {
            Outcome::Ok => Ok(reply.body),
            outcome => Err(outcome),
        }
    }

    /// Fills a request, notes it if it writes, sends it and checks the answer. `noted` if it was
    /// sent before.
    async fn exchange(
        &mut self,
        arrival: &Arrival,
        mode: Side,
        unique: u64,
        row: Option<&Kept>,
        noted: Option<Noted>,
    ) -> Reply {
        let shared = Arc::clone(&self.shared);
        let number = usize::from(arrival.operation);
        let operation = &shared.scenario.operations[number];
        let values = shared.values(arrival, unique, row);
        let Ok((mut request, body)) = shared.requests.of(mode, number).fill(&values) else {
            return Reply::unsent(Outcome::Unsendable, Instant::now());
        };
        let again = noted.is_some();
        let noted = match noted {
            None => shared.ledger.sent(arrival, row, &values, &body),
            known => Ok(known),
        };
        let Ok(noted) = noted else {
            return Reply::unsent(Outcome::Unsendable, Instant::now());
        };
        if let Some(noted) = &noted {
            noted.mark(request.headers_mut());
        }
        let keyed = noted.as_ref().is_some_and(Noted::is_keyed);
        let repeatable = keyed || request.method().is_idempotent();
        let mut client = shared.connections.take(&shared.switch, mode);
        let ((read, written), resent) = (client.traffic_bytes(), client.resent());
        let sent = Instant::now();
        let answer = client.send_as(request, repeatable).await;
        let done = Instant::now();
        let (read_until, written_until) = client.traffic_bytes();
        let resent = client.resent() - resent;
        shared.connections.put(mode, client);
        shared.resent.fetch_add(resent, Ordering::Relaxed);
        let mut reply = Reply {
            headers: HeaderMap::new(),
            bytes_out: written_until - written,
            bytes_in: read_until - read,
            noted,
            ..Reply::unsent(Outcome::Ok, sent)
        };
        reply.done = done;
        let checked = match &answer {
            Err(failure) => Err(Outcome::Failed(*failure)),
            Ok(answer) => check(&shared, operation, mode, answer, (&values, row)),
        };
        match checked {
            Ok(fresh) => reply.fresh = fresh,
            Err(outcome) => reply.outcome = outcome,
        }
        reply.trace(operation, mode);
        if let Some(noted) = &reply.noted {
            let state = match state_of(reply.outcome) {
                // The first attempt may have been applied, whatever is said of the second.
                State::Fail if again || resent > 0 => State::Unknown,
                state => state,
            };
            let answered = answer.as_ref().ok().map(|answer| answer.body.as_ref());
            shared.ledger.answered(noted, (state, reply.outcome), &values, (&body, answered));
        }
        if let Ok(answer) = answer {
            (reply.headers, reply.body) = (answer.headers, answer.body);
        }
        reply
    }
}

impl Reply {
    /// Tells whoever looks inside.
    fn trace(&self, operation: &Operation, side: Side) {
        tracing::trace!(
            operation = operation.name,
            side = side.as_str(),
            outcome = %self.outcome.name(),
            service_us = (self.done - self.sent).as_micros() as u64,
            "request"
        );
    }

    fn unsent(outcome: Outcome, at: Instant) -> Self {
        Self {
            outcome,
            headers: HeaderMap::new(),
            bytes_out: 0,
            bytes_in: 0,
            sent: at,
            done: at,
            noted: None,
            fresh: None,
            body: Bytes::new(),
        }
    }
}

/// A row that was only read waits for the next; after a write, failed ones above all, nobody knows
/// what it looks like, so it is let go of.
fn give_back(rows: &Rows, operation: &Operation, row: Option<Kept>) {
    if let (Some(row), Some(name)) = (row, operation.row)
        && !operation.writes
        && !operation.consumes
    {
        rows.put(name, row);
    }
}

/// Whether an answer is what the scenario expects; the row it tells of, if one is to be kept.
fn check(
    shared: &Shared,
    operation: &Operation,
    mode: Side,
    answer: &Answer,
    (values, row): (&Values<'_>, Option<&Kept>),
) -> Result<Option<Row>, Outcome> {
    if !operation.expect.contains(&answer.status) {
        return Err(Outcome::Status(answer.status));
    }
    if shared.switch.check(mode, &answer.headers) == Served::Wrong {
        shared.wrong_answer.get_or_init(|| shared.switch.told(mode, &answer.headers));
        return Err(Outcome::WrongMode);
    }
    if operation.reads_answer() {
        let whole: Value = serde_json::from_slice(&answer.body).map_err(|_| Outcome::BadBody)?;
        let org = row.map_or(values.org, |row| row.org);
        shared.isolation.check(operation, mode, org, &whole)?;
        if !operation.checks.iter().all(|check| check.holds(&whole, values)) {
            return Err(Outcome::CheckFailed);
        }
        if operation.remember.is_none() {
            return Ok(None);
        }
        return operation.row_of(whole).map(Some).ok_or(Outcome::BadBody);
    }
    // Whatever calls itself JSON has to be some, whether anybody looks into it or not.
    let media_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !answer.body.is_empty()
        && media_type.is_some_and(is_json)
        && serde_json::from_slice::<IgnoredAny>(&answer.body).is_err()
    {
        return Err(Outcome::BadBody);
    }
    Ok(None)
}
