//! What the workers of a load share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::NaiveDate;

use super::connections::Connections;
use super::isolation::Isolation;
use super::ledger::Ledger;
use super::pacer::Queue;
use super::recorder::Recorder;
use super::request::Requests;
use super::rows::{Kept, Rows};
use super::unique::Unique;
use cutover_ground::routing::Switch;
use cutover_scenario::{Arrival, Scenario, Values};

/// What all workers share.
pub(super) struct Shared {
    pub scenario: Arc<Scenario>,
    pub switch: Switch,
    pub requests: Arc<Requests>,
    pub connections: Connections,
    pub queue: Queue,
    pub rows: Rows,
    pub ledger: Ledger,
    pub isolation: Isolation,
    pub recorder: Recorder,
    /// Requests that were sent once more over a new connection.
    pub resent: AtomicU64,
    /// What the first answer of the wrong side said of its side.
    pub wrong_answer: OnceLock<String>,
    /// Numbers every request.
    pub unique: Unique,
    pub as_of: NaiveDate,
    pub timeout: Duration,
    /// Whether requests are sent as fast as they are answered.
    pub closed_loop: bool,
}

impl Shared {
    /// What the blanks of an arrival's request are filled with. Who works on a row is the org it
    /// belongs to: if the org comes from a token, nobody else may.
    pub fn values<'a>(
        &'a self,
        arrival: &Arrival,
        unique: u64,
        row: Option<&'a Kept>,
    ) -> Values<'a> {
        Values {
            org: row.map_or(arrival.org, |kept| kept.org),
            draw: arrival.draw,
            turn: arrival.turn,
            unique,
            as_of: self.as_of,
            row: row.map(|kept| &kept.row),
            feeders: &self.scenario.feeders,
            signer: self.scenario.signer.as_ref(),
        }
    }
}
