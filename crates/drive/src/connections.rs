//! The connections that all workers share.
//!
//! Whoever sends takes the one that was used last. Workers come in turns, and with a connection each all
//! of these would idle between two requests for as long as the whole round takes, until the server ends
//! them. So a load of few requests keeps few connections busy, and the others are left alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cutover_evidence::drive::Side;
use cutover_ground::http::Client;
use cutover_ground::routing::Switch;

/// Idle connections by side; of one stack where both sides live behind one address.
pub(super) struct Connections {
    legacy: Mutex<Vec<Client>>,
    partitioned: Option<Mutex<Vec<Client>>>,
    timeout: Duration,
    opened: AtomicUsize,
}

impl Connections {
    pub(super) fn new(switch: &Switch, timeout: Duration) -> Self {
        let partitioned = switch.has_two_endpoints().then(Mutex::default);
        Self { legacy: Mutex::default(), partitioned, timeout, opened: AtomicUsize::new(0) }
    }

    fn of(&self, mode: Side) -> &Mutex<Vec<Client>> {
        match (mode, &self.partitioned) {
            (Side::Partitioned, Some(idle)) => idle,
            _ => &self.legacy,
        }
    }

    /// The connection that was used last, or a new one where all are in use.
    pub(super) fn take(&self, switch: &Switch, mode: Side) -> Client {
        let idle = self.of(mode).lock().expect("no panic while held").pop();
        idle.unwrap_or_else(|| {
            let number = self.opened.fetch_add(1, Ordering::Relaxed);
            Client::new(switch.endpoint(mode).clone(), number, self.timeout)
        })
    }

    /// Gives one back.
    pub(super) fn put(&self, mode: Side, client: Client) {
        self.of(mode).lock().expect("no panic while held").push(client);
    }
}
