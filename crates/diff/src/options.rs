//! What to compare, and how.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::method::Digest;
use super::scan::Throttle;
use super::wal::WAL_KEEP_BYTES;
use cutover_evidence::finding::DiffPhase;
use cutover_evidence::finding::WalEvidence;
use cutover_evidence::shard::Shard;

/// What to compare, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// `before` or `after` the load, or `alone`.
    pub phase: DiffPhase,
    /// Whether a pair without a row on either side counts as compared.
    pub allow_empty: bool,
    /// Whether `orgs.csv` lists orgs that agree, too.
    pub all_orgs: bool,
    /// Only these orgs, as PostgreSQL prints them; `None` for every org.
    pub orgs: Option<Vec<String>>,
    /// Only the orgs of this shard.
    pub shard: Option<Shard>,
    /// Only rows changed since then.
    pub since: Option<DateTime<Utc>>,
    /// Where rows are hashed.
    pub digest: Digest,
    /// Stop after so many findings.
    pub max_findings: Option<u64>,
    /// Stop after this time.
    pub max_time: Option<Duration>,
    /// Hold no snapshot for longer while whole tables are read.
    pub snapshot_time: Duration,
    /// Nor after so many rows of the database have died that vacuum cannot remove because of it.
    pub snapshot_dead_rows: u64,
    /// Go on where a run that was killed left off.
    pub resume: bool,
    /// How often finished work is saved for such a run.
    pub checkpoint_every: Duration,
    /// Read no faster.
    pub throttle: Option<Throttle>,
    /// Give up where the server sends nothing for so long.
    pub stall_timeout: Duration,
    /// Whether triggers are tried on a row, in a transaction that is always undone.
    pub probe: bool,
    /// Whether they are tried also if that takes what undoing does not give back.
    pub probe_anyway: bool,
    /// The role as which they are tried: the application's.
    pub probe_role: Option<String>,
    /// Whether `repair.sql` is written.
    pub repair: bool,
    /// Whether it is written also if it rewrites much, or if it is not proven which side is written to.
    pub repair_any: bool,
    /// Follow the write-ahead log for at least so long, where asked for.
    pub wal: Option<Duration>,
    /// Bytes of it that the slot may hold back.
    pub wal_keep_bytes: u64,
    /// What the log told until now, to be judged with what is found.
    pub log: Option<WalEvidence>,
    /// Connections that read at once.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            phase: DiffPhase::Alone,
            allow_empty: false,
            all_orgs: false,
            orgs: None,
            shard: None,
            since: None,
            digest: Digest::Auto,
            max_findings: None,
            max_time: None,
            snapshot_time: Duration::from_secs(600),
            snapshot_dead_rows: 1_000_000,
            resume: false,
            checkpoint_every: Duration::from_secs(10),
            throttle: None,
            stall_timeout: Duration::from_secs(120),
            probe: true,
            probe_anyway: false,
            probe_role: None,
            repair: false,
            repair_any: false,
            wal: None,
            wal_keep_bytes: WAL_KEEP_BYTES,
            log: None,
            connections: 2,
        }
    }
}
