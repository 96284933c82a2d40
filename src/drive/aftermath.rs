//! After the load: what became of its writes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ledger::{Confirmer, reconcile};
use super::run::Options;
use super::worker::{Shared, Worker};
use crate::act::{ActContext, Event};
use crate::evidence::ledger::LedgerEvidence;

/// How long doubtful writes are sent again.
const RETRY_LIMIT: Duration = Duration::from_secs(30);
/// What the platform still does behind its answers belongs to the load: a late write that overwrites a
/// newer one is to be found, too.
const QUIET: Duration = Duration::from_secs(1);

/// Acknowledged changes are looked up while the load runs.
pub(super) struct Confirming {
    task: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Confirming {
    pub(super) fn start(
        shared: &Arc<Shared>,
        confirmer: Option<Confirmer>,
        options: &Options,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = confirmer.zip(options.database_url.clone()).map(|(confirmer, url)| {
            let (shared, tables) = (Arc::clone(shared), options.tables.clone());
            tokio::spawn(confirmer.watch(shared, url, tables, stop.clone()))
        });
        Self { task, stop }
    }

    /// Lets it look up the last ones.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Confirming {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Sends the writes that nobody knows of once more, one after the other.
pub(super) async fn send_doubts_again(shared: &Arc<Shared>) {
    let end = Instant::now() + RETRY_LIMIT;
    let mut worker = Worker::new(Arc::clone(shared), 0);
    for doubt in shared.ledger.take_doubts() {
        if shared.queue.stopped() || Instant::now() > end {
            return;
        }
        worker.again(doubt).await;
    }
}

/// Holds the ledger against the database; `None` where nothing was written. That it cannot be done is
/// told, and no reason to lose what was measured.
pub(super) async fn account(
    shared: &Shared,
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Option<LedgerEvidence> {
    let not_noted = shared.ledger.not_noted();
    let Some(path) = shared.ledger.path() else {
        let reason = "the scenario does not say what its operations write".to_owned();
        return (!not_noted.is_empty()).then(|| LedgerEvidence {
            not_noted,
            incomplete_reason: reason,
            ..LedgerEvidence::default()
        });
    };
    let told = match (&options.database_url, shared.ledger.check()) {
        (_, Err(error)) => Err(error.to_string()),
        _ if shared.queue.stopped() => Err("a signal ended the load".to_owned()),
        (None, _) => Err("no database was named".to_owned()),
        (Some(url), _) => {
            context.started("ledger", None, "rows");
            tokio::time::sleep(QUIET).await;
            let held = reconcile(path, url, &options.tables, out).await;
            context.emit(Event::Finished);
            held.map_err(|error| error.to_string())
        }
    };
    let evidence = told.unwrap_or_else(|incomplete_reason| {
        context.note(format!("the ledger was not held against the tables: {incomplete_reason}"));
        let sums = shared.ledger.sums();
        LedgerEvidence { incomplete_reason, ..sums }
    });
    Some(LedgerEvidence { not_noted, ..evidence })
}
