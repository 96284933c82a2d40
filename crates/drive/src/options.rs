//! What a load is told, and what it leaves behind.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use super::org_sizes::OrgSizes;
use cutover_evidence::drive::{DriveEvidence, Look};
use cutover_evidence::observation::Observation;
use cutover_evidence::shard::Shard;
use cutover_ground::config::{ParityConfig, TablePair};

/// How the plan is drained.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections, each a Goose user.
    pub connections: usize,
    /// After this a request counts as failed.
    pub timeout: Duration,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// Planned arrivals per second, for the record.
    pub rate_per_s: f64,
    /// Run ahead of ordinary processes if the system allows it: not if target and generator are to be
    /// driven to their limits, for a generator that takes all leaves nobody else any.
    pub ahead: bool,
    /// Send as fast as answers come, whatever the plan's rate: a figure of capacity.
    pub closed_loop: bool,
    /// The database to watch meanwhile, and to hold the ledger against afterwards.
    pub database_url: Option<String>,
    /// The table pairs whose writes are noted.
    pub tables: Vec<TablePair>,
    /// Which reads are asked of both sides after the load.
    pub parity: ParityConfig,
    /// How large the orgs are.
    pub org_sizes: Option<Arc<OrgSizes>>,
    /// Which part of the plan is this generator's.
    pub shard: Option<Shard>,
    /// When the plan's clock starts, for shards that have to start together.
    pub start_at: Option<DateTime<Utc>>,
    /// Who looks at the load and ends it once it is decided; nobody drives the plan to its end.
    pub judge: Option<Judge>,
    /// Where to listen for Prometheus.
    pub metrics_listen: Option<SocketAddr>,
    /// This program, to keep a switched flag if we are killed; without it nobody does.
    pub executable: Option<PathBuf>,
    /// Where Goose serves its own page, on the loopback interface: it asks for no password.
    pub dashboard: Option<SocketAddr>,
}

/// What the act leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub evidence: DriveEvidence,
    /// What the platform said about itself meanwhile.
    pub observations: Vec<Observation>,
}

/// What looks at a load that runs; `None` if more pairs would not help.
pub type LookAt = dyn Fn(&DriveEvidence) -> Option<Look> + Send + Sync;

/// Who says whether more pairs are needed. An act does not judge; whoever runs it brings the judge.
#[derive(Clone)]
pub struct Judge {
    /// Which of several loads with one question this is, from 1 on; 0 if it is the only one.
    pub attempt: u32,
    /// Looks at what is there.
    pub look: Arc<LookAt>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
