//! The states of the database that a comparison looks at, one after the other.
//!
//! A snapshot holds back vacuum for as long as it lasts, and a table is locked while it is read. Ordinarily one
//! snapshot serves the whole comparison. It gives way to a new one between two chunks when its time is over or
//! many rows have died that only it keeps, and at once when somebody waits for us; then what differs is only
//! a candidate, to be confirmed on one snapshot. What is ended from outside, by an administrator or a standby, is
//! tried again on a new one.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::options::Options;
use cutover_error::{Error, Result};
use cutover_ground::act::ActContext;
use cutover_ground::pg::{
    CopyConnection, Means, Snapshot, Waiters, Watched, is_passing, lone_reader,
};

/// The snapshot of the moment, and how to take the next one.
pub(crate) struct Epochs {
    database_url: String,
    limit: Duration,
    dead_rows: u64,
    stall: Duration,
    waiters: Waiters,
    snapshot: Snapshot,
    /// As long as the snapshot.
    watched: Watched,
    /// Cancelled when somebody waits for us.
    given_up: CancellationToken,
    /// Whether readers see the snapshot; where tables are spread over servers, they cannot.
    shared: bool,
    began: Instant,
    count: u32,
    warned: bool,
    /// How often in a row something was ended from outside.
    ended: u32,
    /// Whether a session of ours may have been ended, so that all begin anew.
    broken: bool,
    context: ActContext,
}

/// A connection that reads the state of the moment.
pub(crate) struct Reader {
    pub(crate) connection: CopyConnection,
    _watched: Watched,
}

/// How often in a row it is tried again what was ended from outside.
const TRIES: u32 = 3;

/// What is read on one snapshot may take so much longer than whole tables.
const GRACE: Duration = Duration::from_secs(60);

impl Epochs {
    /// Takes the first snapshot, as the options allow it; `waiters` looks after it.
    ///
    /// # Errors
    /// A run error if the server cannot be reached or refuses.
    pub(crate) async fn begin(
        database_url: &str,
        waiters: Waiters,
        options: &Options,
        context: &ActContext,
    ) -> Result<Self> {
        let snapshot = Snapshot::take(database_url).await?;
        Ok(Self {
            database_url: database_url.to_owned(),
            limit: options.snapshot_time,
            dead_rows: options.snapshot_dead_rows,
            stall: options.stall_timeout,
            watched: waiters.look_after(snapshot.session(), Means::Cancel),
            given_up: waiters.begin(),
            waiters,
            snapshot,
            shared: true,
            began: Instant::now(),
            count: 1,
            warned: false,
            ended: 0,
            broken: false,
            context: context.clone(),
        })
    }

    /// The snapshot of the moment.
    pub(crate) fn snapshot(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    /// How many snapshots there were.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Cancelled when somebody waits for us: whatever is under way on this snapshot is to end at once.
    pub(crate) fn given_up(&self) -> CancellationToken {
        self.given_up.clone()
    }

    /// When the snapshot is to be let go.
    pub(super) fn end(&self) -> Instant {
        self.began + self.limit
    }

    /// Whether the snapshot is to be let go, by its time or by the rows that died under it.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.end() || self.waiters.dead_rows() >= self.dead_rows
    }

    /// Warns that the snapshot is about to be renewed; gives it up where whatever is under way goes on for far
    /// too long.
    pub(crate) fn look_at_age(&mut self, context: &ActContext) {
        let (held, dead) = (self.began.elapsed(), self.waiters.dead_rows());
        if held > 2 * self.limit + GRACE || dead / 2 >= self.dead_rows {
            self.given_up.cancel();
        }
        let soon = held * 5 >= self.limit * 4 && self.limit > GRACE || dead >= self.dead_rows / 2;
        if soon && !std::mem::replace(&mut self.warned, true) {
            context.note(format!(
                "the snapshot is {:.0} s old and keeps {dead} dead rows from vacuum; a new one takes its place \
                 after {:.0} s (--snapshot-time) or {} dead rows (--snapshot-dead-rows)",
                held.as_secs_f64(),
                self.limit.as_secs_f64(),
                self.dead_rows
            ));
        }
    }

    /// Takes a new snapshot in place of the old one.
    ///
    /// # Errors
    /// A run error if the server fails, or has ended our sessions again and again.
    pub(crate) async fn renew(&mut self) -> Result<()> {
        loop {
            let renewed = match std::mem::take(&mut self.broken) {
                true => self.begin_again().await,
                false => self.go_on().await,
            };
            match renewed {
                Ok(()) => break,
                Err(error) => self.was_ended(error)?,
            }
        }
        self.began = Instant::now();
        self.count += 1;
        tracing::debug!(number = self.count, "snapshot renewed");
        Ok(())
    }

    /// On the same connections.
    async fn go_on(&mut self) -> Result<()> {
        self.snapshot.let_go().await?;
        if let Some(error) = self.waiters.failed() {
            return Err(error);
        }
        self.given_up = self.waiters.begin();
        self.snapshot.take_again().await
    }

    /// On new ones.
    async fn begin_again(&mut self) -> Result<()> {
        self.waiters = Waiters::watch(&self.database_url).await?;
        self.snapshot = Snapshot::take(&self.database_url).await?;
        let watched = self.waiters.look_after(self.snapshot.session(), Means::Cancel);
        drop(std::mem::replace(&mut self.watched, watched));
        self.given_up = self.waiters.begin();
        Ok(())
    }

    /// Something has failed and is to be tried again on a new snapshot.
    ///
    /// # Errors
    /// What it failed by, if that would come again or has come too often.
    pub(crate) fn was_ended(&mut self, error: Error) -> Result<()> {
        if !is_passing(&error) {
            return Err(error);
        }
        (self.ended, self.broken) = (self.ended + 1, true);
        if self.ended > TRIES {
            return Err(error.at(format!("tried {} times", self.ended)));
        }
        self.context.note(format!("{error}: it is tried again on a new snapshot"));
        Ok(())
    }

    /// Something has come to its end.
    pub(crate) fn has_gone_on(&mut self) {
        self.ended = 0;
    }

    /// From now on each statement looks at the state of its own moment: a snapshot of one server
    /// grown old does not go together with another server's present.
    pub(crate) fn stop_sharing(&mut self) {
        self.shared = false;
    }

    /// A connection that reads the state of the moment; it waits `patience` times as long as ordinarily.
    pub(crate) async fn reader(&self, patience: u32) -> Result<Reader> {
        let connection = if self.shared {
            self.snapshot.reader(self.stall).await?
        } else {
            lone_reader(&self.database_url, self.stall).await?
        };
        let connection = connection.more_patient(patience);
        let watched = self.waiters.look_after(connection.session(), Means::End);
        Ok(Reader { connection, _watched: watched })
    }

    /// Lets go of the last snapshot.
    pub(crate) async fn close(self) -> Result<()> {
        self.snapshot.close().await
    }
}
