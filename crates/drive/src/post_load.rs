//! After the load: what became of its writes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ledger::{ReadBack, State, reconcile, state_of};

use super::options::Options;
use super::shared::Shared;
use super::worker::Worker;
use cutover_evidence::answers::{IsolationEvidence, ParityEvidence};
use cutover_evidence::drive::{DriveEvidence, Side};
use cutover_evidence::ledger::LedgerEvidence;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::routing::Flag;

/// How long indeterminate writes are sent again.
const RETRY_LIMIT: Duration = Duration::from_secs(30);
/// Where so many on end are in vain, nobody is there to take the others.
const REMOVAL_ATTEMPTS: u32 = 3;
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
        read_back: Option<ReadBack>,
        options: &Options,
    ) -> Self {
        let stop = CancellationToken::new();
        let task = read_back.zip(options.database_url.clone()).map(|(read_back, url)| {
            let (shared, tables) = (Arc::clone(shared), options.tables.clone());
            tokio::spawn(read_back.watch(shared, url, tables, stop.clone()))
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

/// What was seen when all was over.
pub(super) struct Looked {
    pub ledger: Option<LedgerEvidence>,
    pub isolation: Option<IsolationEvidence>,
    pub parity: Option<ParityEvidence>,
}

impl Looked {
    /// Looks back on a load that has ended.
    pub(super) async fn back(
        shared: &Arc<Shared>,
        confirming: Confirming,
        options: &Options,
        measured: &DriveEvidence,
        (out, flag): (&Path, Option<&Flag>),
        context: &ActContext,
    ) -> Self {
        send_doubts_again(shared).await;
        confirming.stop().await;
        if !shared.queue.stopped() {
            tokio::time::sleep(QUIET).await;
        }
        let isolation = shared.isolation.evidence();
        let parity = parity(shared, options, measured, flag, context).await;
        let ledger = account(shared, options, out, context).await;
        Self { ledger, isolation, parity }
    }
}

/// Sends the writes that nobody knows of once more, one after the other.
async fn send_doubts_again(shared: &Arc<Shared>) {
    let end = Instant::now() + RETRY_LIMIT;
    let mut worker = Worker::new(Arc::clone(shared), 0);
    let mut in_vain = 0;
    for write in shared.ledger.take_indeterminate() {
        if shared.queue.stopped() || Instant::now() > end {
            return;
        }
        let unknown = state_of(worker.again(write).await) == State::Unknown;
        in_vain = if unknown { in_vain + 1 } else { 0 };
        if in_vain == REMOVAL_ATTEMPTS {
            return;
        }
    }
}

/// Asks a share of the reads of both sides; `None` if the load did not compare them.
async fn parity(
    shared: &Arc<Shared>,
    options: &Options,
    measured: &DriveEvidence,
    flag: Option<&Flag>,
    context: &ActContext,
) -> Option<ParityEvidence> {
    let asked = |mode| shared.queue.windows.iter().any(|window| window.mode == mode);
    let reads = measured.operations.iter().filter(|operation| !operation.writes);
    let reads = reads.flat_map(|operation| operation.modes.values()).map(|m| m.requests).sum();
    let routed = shared.switch.routes();
    let compares = routed && Side::BOTH.into_iter().all(asked) && !options.closed_loop;
    let has_reads = shared.scenario.operations.iter().any(|operation| !operation.writes);
    if !compares || !has_reads || shared.queue.stopped() {
        return None;
    }
    if shared.switch.flag().is_some() && flag.is_none() {
        // The shard that switches the flag asks for all; on its own this one has compared nothing.
        return Some(ParityEvidence { complete: true, ..ParityEvidence::default() });
    }
    if options.shard.is_some() && flag.is_some() {
        // The others' last requests belong to the last window's mode.
        tokio::time::sleep(options.timeout).await;
    }
    Some(super::parity::ask(shared, &options.parity, reads, flag, context).await)
}

/// Holds the ledger against the database; `None` if nothing was written. That it cannot be done is
/// told, and no reason to lose what was measured.
async fn account(
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
    let unread = match (&options.database_url, shared.ledger.check()) {
        (_, Err(error)) => Err(error.to_string()),
        // What another shard wrote over a row would look like a fault here.
        _ if options.shard.is_some() => {
            let (begun_at, sums) = (Some(shared.ledger.begun_at()), shared.ledger.sums());
            let incomplete_reason = "`cutover merge` looks at the writes of all shards".into();
            return Some(LedgerEvidence { begun_at, incomplete_reason, not_noted, ..sums });
        }
        _ if shared.queue.stopped() => Err("a signal ended the load".to_owned()),
        (None, _) => Err("no database was named".to_owned()),
        (Some(url), _) => {
            context.started("ledger", None, "rows");
            let held = reconcile(path, url, &options.tables, out).await;
            context.emit(Event::Finished);
            held.map_err(|error| error.to_string())
        }
    };
    let evidence = unread.unwrap_or_else(|incomplete_reason| {
        context.note(format!("the ledger was not held against the tables: {incomplete_reason}"));
        let sums = shared.ledger.sums();
        LedgerEvidence { incomplete_reason, ..sums }
    });
    Some(LedgerEvidence { not_noted, ..evidence })
}
