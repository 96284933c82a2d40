//! The states of the database that a comparison looks at, one after the other.
//!
//! A snapshot holds back vacuum for as long as it lasts. Ordinarily one serves the whole comparison.
//! When its time is over a new one takes its place between two chunks; then what differs is only a
//! candidate, to be confirmed on one snapshot.

use std::time::{Duration, Instant};

use cutover_error::Result;
use cutover_ground::pg::{CopyConnection, QualifiedName, Snapshot, lone_reader};

/// The snapshot of the moment, and how to take the next one.
pub(crate) struct Epochs {
    database_url: String,
    tables: Vec<QualifiedName>,
    limit: Duration,
    stall: Duration,
    snapshot: Snapshot,
    /// Whether readers see the snapshot; where tables are spread over servers, they cannot.
    shared: bool,
    began: Instant,
    count: u32,
}

impl Epochs {
    /// Takes the first snapshot; a snapshot lasts at most `limit`, and a reader that hears nothing
    /// for `stall` gives up.
    ///
    /// # Errors
    /// A run error if the server cannot be reached or refuses.
    pub(crate) async fn begin(
        database_url: &str,
        tables: Vec<QualifiedName>,
        limit: Duration,
        stall: Duration,
    ) -> Result<Self> {
        let snapshot = Snapshot::take(database_url, &tables).await?;
        let database_url = database_url.to_owned();
        let began = Instant::now();
        Ok(Self { database_url, tables, limit, stall, snapshot, shared: true, began, count: 1 })
    }

    /// The snapshot of the moment.
    pub(crate) fn snapshot(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    /// How many snapshots there were.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// When the snapshot is to be let go.
    pub(super) fn end(&self) -> Instant {
        self.began + self.limit
    }

    /// Takes a new snapshot in place of the old one.
    pub(crate) async fn renew(&mut self) -> Result<()> {
        self.snapshot.renew(&self.tables).await?;
        self.began = Instant::now();
        self.count += 1;
        tracing::debug!(number = self.count, "snapshot renewed");
        Ok(())
    }

    /// From now on each statement looks at the state of its own moment: a snapshot of one server
    /// grown old does not go together with another server's present.
    pub(crate) fn stop_sharing(&mut self) {
        self.shared = false;
    }

    /// A connection that reads the state of the moment.
    pub(crate) async fn reader(&self) -> Result<CopyConnection> {
        if self.shared {
            self.snapshot.reader(self.stall).await
        } else {
            lone_reader(&self.database_url, self.stall).await
        }
    }

    /// Lets go of the last snapshot.
    pub(crate) async fn close(self) -> Result<()> {
        self.snapshot.close().await
    }
}
