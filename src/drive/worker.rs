//! Takes arrivals one after the other: fill the blanks, send, read, check, record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::NaiveDate;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Request};

use super::client::{Answer, Client};
use super::pacer::{Due, Queue};
use super::recorder::{Outcome, Recorder, Sample};
use super::rows::Rows;
use crate::evidence::drive::Mode;
use crate::routing::{Served, Switch};
use crate::scenario::{Arrival, Operation, Row, Scenario, Values};

/// What all workers share.
pub(super) struct Shared {
    pub scenario: Arc<Scenario>,
    pub switch: Switch,
    pub queue: Queue,
    pub rows: Rows,
    pub recorder: Recorder,
    /// Numbers every request of the run, beginning at a value that differs between runs.
    pub unique: AtomicU64,
    pub as_of: NaiveDate,
    pub timeout: Duration,
}

/// One worker: a connection per mode (the same one where both modes live behind one address).
pub(super) struct Worker {
    shared: Arc<Shared>,
    legacy: Client,
    partitioned: Option<Client>,
}

/// The platform's word for "my cache answered".
const CACHE_HEADER: &str = "x-cache";

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let client = |mode| Client::new(shared.switch.endpoint(mode).clone(), shared.timeout);
        let legacy = client(Mode::Legacy);
        let two = shared.switch.endpoint(Mode::Legacy) != shared.switch.endpoint(Mode::Partitioned);
        let partitioned = two.then(|| client(Mode::Partitioned));
        Self { shared, legacy, partitioned }
    }

    /// Works until the plan is drained or stopped, then hands in its samples.
    pub(super) async fn drain(mut self, start: Instant) {
        let shared = Arc::clone(&self.shared);
        let mut samples = Vec::new();
        while let Some(due) = shared.queue.next().await {
            let sample = self.serve(due, start).await;
            shared.recorder.count(sample.outcome);
            samples.push(sample);
        }
        shared.recorder.hand_in(samples);
    }

    async fn serve(&mut self, due: Due, start: Instant) -> Sample {
        let Due { index, queued } = due;
        let shared = Arc::clone(&self.shared);
        let arrival = &shared.queue.plan.arrivals[index];
        let mode = shared.queue.plan.windows[usize::from(arrival.window)].mode;
        let due = start + Duration::from_micros(arrival.due_us);
        let mut sent = Instant::now();
        let mut cache_hit = false;
        let outcome = if sent.saturating_duration_since(due) > shared.timeout {
            // Whoever asked has long given up; sending it now would only prolong the jam.
            Outcome::Skipped
        } else {
            let operation = &shared.scenario.operations[usize::from(arrival.operation)];
            match self.perform(operation, arrival, mode, &mut sent).await {
                Ok(answer) => {
                    cache_hit = answer.headers.get(CACHE_HEADER).is_some_and(|v| v == "hit");
                    Outcome::Ok
                }
                Err(outcome) => outcome,
            }
        };
        let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        Sample {
            arrival: u32::try_from(index).expect("a plan holds fewer than 2^32 arrivals"),
            lag_us: micros(sent.saturating_duration_since(due)),
            service_us: micros(sent.elapsed()),
            outcome,
            queued,
            cache_hit,
        }
    }

    /// Sends one request of an operation; the row it works on is nobody else's meanwhile.
    ///
    /// `sent` is set to the moment just before the request leaves.
    pub(super) async fn perform(
        &mut self,
        operation: &Operation,
        arrival: &Arrival,
        mode: Mode,
        sent: &mut Instant,
    ) -> Result<Answer, Outcome> {
        let shared = Arc::clone(&self.shared);
        let row = match &operation.row {
            Some(name) => Some(shared.rows.take(name).ok_or(Outcome::Skipped)?),
            None => None,
        };
        let request = build(&shared, operation, arrival, mode, row.as_ref())?;
        let client = match (mode, &mut self.partitioned) {
            (Mode::Partitioned, Some(client)) => client,
            _ => &mut self.legacy,
        };
        *sent = Instant::now();
        let outcome = client.send(request).await.and_then(|answer| {
            if !operation.expect.contains(&answer.status) {
                Err(Outcome::Status(answer.status))
            } else if shared.switch.check(mode, &answer.headers) == Served::Wrong {
                Err(Outcome::WrongMode)
            } else {
                Ok(answer)
            }
        });
        keep_row(&shared.rows, operation, row, &outcome)?;
        outcome
    }
}

/// What becomes of the row after the answer.
///
/// After a failed write nobody knows what the row looks like, so it is let go of.
fn keep_row(
    rows: &Rows,
    operation: &Operation,
    row: Option<Row>,
    outcome: &Result<Answer, Outcome>,
) -> Result<(), Outcome> {
    if let (Ok(answer), Some(name)) = (outcome, &operation.remember) {
        let fresh = serde_json::from_slice::<Row>(&answer.body).map_err(|_| Outcome::BadBody)?;
        rows.put(name, fresh);
    } else if let (Some(row), Some(name)) = (row, &operation.row)
        && !operation.writes
    {
        rows.put(name, row);
    }
    Ok(())
}

fn build(
    shared: &Shared,
    operation: &Operation,
    arrival: &Arrival,
    mode: Mode,
    row: Option<&Row>,
) -> Result<Request<Full<Bytes>>, Outcome> {
    let values = Values {
        org: arrival.org,
        draw: arrival.draw,
        unique: shared.unique.fetch_add(1, Ordering::Relaxed),
        as_of: shared.as_of,
        row,
    };
    let endpoint = shared.switch.endpoint(mode);
    let path = format!("{}{}", endpoint.base_path, operation.path.fill(&values));
    let mut headers = HeaderMap::with_capacity(4 + operation.headers.len());
    // A blank filled with what no URL or header may hold is the scenario's fault, not the target's.
    let invalid = |_| Outcome::Protocol;
    headers.insert(HOST, endpoint.authority().parse().map_err(invalid)?);
    if let Some((name, value)) = shared.switch.header(mode) {
        headers.insert(name, value);
    }
    for (name, value) in &operation.headers {
        let name = hyper::header::HeaderName::try_from(name).map_err(|_| Outcome::Protocol)?;
        headers.insert(name, value.fill(&values).parse().map_err(invalid)?);
    }
    let body = operation.body.as_ref().map(|body| body.fill(&values));
    if body.is_some() {
        headers.insert(CONTENT_TYPE, "application/json".parse().map_err(invalid)?);
    }
    let mut request = Request::builder()
        .method(operation.method.as_str())
        .uri(path)
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|_| Outcome::Protocol)?;
    *request.headers_mut() = headers;
    Ok(request)
}
