//! What the load measured, by operation, mode and window.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::{IsolationEvidence, ParityEvidence};
use super::capacity::CapacityEvidence;
pub use super::comparison::{Comparison, Look, OperationComparison};
use super::ledger::LedgerEvidence;
use super::machine::{Calibration, MachinePoint};
use super::shard::Shard;
pub use super::side::Side;

/// Percentiles in microseconds; all zero if nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 95th percentile.
    pub p95: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Largest value.
    pub max: u64,
}

/// One run of the load generator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DriveEvidence {
    /// Name of the scenario.
    pub scenario: String,
    /// Planned arrivals per second.
    pub rate_per_s: f64,
    /// Connections that drained the plan.
    pub connections: u64,
    /// Seconds of load, warm-up and settling time included.
    pub duration_s: f64,
    /// True only if the plan was drained to its end.
    pub complete: bool,
    /// Arrivals in the plan.
    pub arrivals_planned: u64,
    /// Requests sent within measured windows.
    pub requests: u64,
    /// Of those, failed ones: errors, timeouts, unexpected statuses, failed checks.
    pub errors: u64,
    /// Requests sent beside those: while warming up, while a mode settled, at the end of a window.
    #[serde(default)]
    pub unmeasured_requests: u64,
    /// Of those, failed ones; answers from the side before a switch are none.
    #[serde(default)]
    pub unmeasured_errors: u64,
    /// Arrivals of measured windows that nobody could send in time.
    pub skipped: u64,
    /// Requests that were not sent because the generator had no file handle, port or memory left, warm-up
    /// included. They count neither as sent nor as failed.
    #[serde(default)]
    pub own_want: u64,
    /// Requests sent once more, because the server had ended the idle connection in the moment it was used
    /// again. They count once, as what came of it.
    #[serde(default)]
    pub resent: u64,
    /// Answers that were not served by the mode that was asked for, warm-up included.
    pub wrong_mode: u64,
    /// Whether each answer's serving side was proven by the platform's word.
    pub mode_proven: bool,
    /// What the first such answer said, and what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong_answer: Option<String>,
    /// Windows whose mode the probe of a switched flag did not prove before they were measured.
    pub unproven_windows: u64,
    /// Why a switched flag could not be put back to what it was; `None` if it was, or none was
    /// switched.
    pub flag_left_changed: Option<String>,
    /// True where requests were sent as fast as they were answered: a figure of capacity, in which
    /// latencies mean nothing.
    pub closed_loop: bool,
    /// True if both windows of a pair ran in the same mode, to see how much this machine lies.
    pub calibration: bool,
    /// Workers that ended before the plan did.
    pub lost_workers: u64,
    /// Share of the processors that the generator may use and did use, 0 to 1.
    pub generator_cpu_share: f64,
    /// Whether the generator ran ahead of ordinary processes, as the system allows if it may.
    #[serde(default)]
    pub ran_ahead: bool,
    /// The largest memory the generator used, bytes.
    pub generator_memory_bytes: u64,
    /// Failed requests by kind (`http_503`, `timeout`, `refused`, …).
    pub errors_by_kind: BTreeMap<String, u64>,
    /// Sent minus due over the measured arrivals for which a connection was free: how late the
    /// generator itself was. Waiting for a free connection counts in response time alone.
    pub scheduling_lag_us: Percentiles,
    /// Answers with status 429 or 503 that asked to be left alone for a while.
    pub throttled: Throttled,
    /// All operations together, by mode.
    pub overall: BTreeMap<Side, ModeLatency>,
    /// One entry per operation of the scenario, in its order.
    pub operations: Vec<OperationEvidence>,
    /// What is behind the operations' figures: by size of the org, by its popularity, and by whether
    /// a cache answered.
    pub slices: Vec<Slice>,
    /// The classes of orgs by size, smallest first; empty if sizes are not known.
    pub org_sizes: Vec<OrgClass>,
    /// How many orgs are hot: the most popular ones that make half of the requests.
    pub hot_orgs: u64,
    /// The measured windows in time order, those of one mode in a pair as one.
    pub windows: Vec<Window>,
    /// The paired comparison of the modes, once a judge has made it.
    pub comparison: Option<Comparison>,
    /// Length of the windows in which the modes took turns, seconds; 0 in older records.
    #[serde(default)]
    pub window_s: f64,
    /// How often the comparison could be looked at, in records that do not say when (`looks_at`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub looks_planned: u32,
    /// After how many pairs the comparison was to be looked at, the end of the plan included; each
    /// undecided look but the last is followed by more pairs. Empty for once, at the end.
    #[serde(default)]
    pub looks_at: Vec<u32>,
    /// Which of the loads it is that one increment may be driven with, from 1 on; 0 if no other may
    /// follow. The chance of a wrong bound is split over them, too.
    #[serde(default)]
    pub attempt: u32,
    /// The looks that were taken while the load ran; each undecided one was followed by more pairs.
    #[serde(default)]
    pub looks: Vec<Look>,
    /// Per second of the run, for the time line.
    pub timeline: Vec<TimelinePoint>,
    /// What the generator itself used, per second.
    pub generator: Vec<GeneratorPoint>,
    /// What the generator's machine did meanwhile, per second; empty if nobody could see that.
    #[serde(default)]
    pub machine: Vec<MachinePoint>,
    /// How the rate was chosen; `None` if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibration>,
    /// What the database said about itself, per second; empty if none was named.
    pub database: Vec<DatabasePoint>,
    /// The statements that took most of the database's time during the load, if
    /// `pg_stat_statements` is there.
    pub statements: Vec<StatementShare>,
    /// Which part of the plan this generator had; `None` if it had all of it, or if the parts
    /// were put together.
    pub shard: Option<Shard>,
    /// The moment of the plan's start that all shards were given, RFC 3339.
    pub start_at: Option<String>,
    /// Shards that were not there when the parts were put together.
    pub missing_shards: Vec<u64>,
    /// What became of the writes; `None` if no operation of the scenario writes.
    pub ledger: Option<LedgerEvidence>,
    /// What each mode can take, if that was searched (`--find-capacity`); then nothing of the
    /// above is measured by mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityEvidence>,
    /// Whether answers held other orgs' data; `None` if no answer was looked at.
    pub isolation: Option<IsolationEvidence>,
    /// Whether both sides answer alike; `None` if not both were to be compared.
    pub parity: Option<ParityEvidence>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Answers that asked to be left alone for a while. They were counted, and not sent again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Throttled {
    /// Answers with a `Retry-After`.
    pub answers: u64,
    /// The longest time asked for, seconds.
    pub longest_retry_after_s: u64,
}

/// Orgs of similar size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrgClass {
    /// `small`, `medium` or `large`.
    pub name: String,
    /// Rows of the smallest org in it.
    pub from_rows: u64,
    /// Orgs in it.
    pub orgs: u64,
}

/// The requests of one operation, or of all, that have one thing in common.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// The operation; `None` for all of them.
    pub operation: Option<String>,
    /// `org_size`, `popularity` or `cache`.
    pub by: String,
    /// `small`, `medium`, `large`; `hot`, `cold`; `hit`, `miss`.
    pub class: String,
    /// What was measured, by mode; without curves.
    pub modes: BTreeMap<Side, ModeLatency>,
}

/// What the generator used in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorPoint {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Share of the processors it may use, 0 to 1.
    pub cpu_share: f64,
    /// Resident memory, bytes.
    pub memory_bytes: u64,
}

/// What the database said about itself: counters since the look before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabasePoint {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Sessions at work, by what they wait for (`running` if for nothing).
    pub waits: BTreeMap<String, u64>,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions rolled back.
    pub rollbacks: u64,
    /// Blocks found in the server's memory.
    pub blocks_hit: u64,
    /// Blocks read from outside of it.
    pub blocks_read: u64,
    /// Rows that were read by scans.
    pub rows_returned: u64,
    /// Rows that index scans fetched.
    pub rows_fetched: u64,
    /// Bytes written to temporary files.
    pub temp_bytes: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// A statement's part of the load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatementShare {
    /// Its text without constants, cut short.
    pub query: String,
    /// How often it ran.
    pub calls: u64,
    /// Time it took in all, milliseconds.
    pub total_ms: f64,
}

/// One operation in each mode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationEvidence {
    /// The operation's name in the scenario.
    pub name: String,
    /// Whether it writes.
    pub writes: bool,
    /// What was measured, by mode.
    pub modes: BTreeMap<Side, ModeLatency>,
}

/// Latencies of one operation, or of all, in one mode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModeLatency {
    /// Requests sent.
    pub requests: u64,
    /// Of those, failed ones.
    pub errors: u64,
    /// Done minus due: what a user felt.
    pub response_us: Percentiles,
    /// Done minus sent: what the target took.
    pub service_us: Percentiles,
    /// Sent minus due, without waiting for a free connection: how late the generator was.
    #[serde(default)]
    pub lag_us: Percentiles,
    /// Requests a second over the measured time in this mode.
    #[serde(default)]
    pub throughput_per_s: f64,
    /// Bytes sent, heads of requests included.
    #[serde(default)]
    pub bytes_out: u64,
    /// Bytes received, heads of answers included.
    #[serde(default)]
    pub bytes_in: u64,
    /// The response-time curve for charts: (percentile 0–100, microseconds), ascending.
    pub curve: Vec<(f64, u64)>,
}

/// The windows of a pair in which one mode was asked for: one if a flag is switched, several short
/// ones in turns with the other mode's if each request carries its own mode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Which pair of windows it belongs to, from 0.
    pub pair: u32,
    /// The mode asked for; `None` only in an empty record.
    pub mode: Option<Side>,
    /// Whether it is compared with the other window of its pair, the baseline.
    pub candidate: bool,
    /// Start of the first one's measured part, seconds since the load began.
    pub start_s: f64,
    /// End of the last one's measured part, seconds since the load began.
    pub end_s: f64,
    /// Response-time p95 over all operations.
    pub all: WindowLatency,
    /// Response-time p95 over all operations without what the generator itself was late.
    pub without_own_lag: WindowLatency,
    /// Response-time p95 by operation name, without what the generator itself was late: what is said of
    /// one operation is said of the target alone.
    pub operations: BTreeMap<String, WindowLatency>,
    /// The same by class of org size.
    pub org_sizes: BTreeMap<String, WindowLatency>,
}

/// Their figures for one operation, or for all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowLatency {
    /// Arrivals, skipped ones included.
    pub arrivals: u64,
    /// Failed and skipped arrivals.
    pub errors: u64,
    /// p95 of response time with failed and skipped arrivals as infinitely slow; `None` if that
    /// makes it infinite, or if there is no arrival.
    pub p95_us: Option<u64>,
}

/// One second of the run in one mode.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelinePoint {
    /// Seconds since the load began.
    pub at_s: u32,
    /// Side asked for; `None` during warm-up.
    pub mode: Option<Side>,
    /// Requests due in this second.
    pub requests: u64,
    /// Of those, failed or skipped ones.
    pub errors: u64,
    /// Response-time p95 of those that succeeded; 0 if there was none.
    pub p95_us: u64,
    /// p99 of how late the generator was.
    #[serde(default)]
    pub lag_p99_us: u64,
    /// Answers from the platform's cache.
    #[serde(default)]
    pub cache_hits: u64,
    /// Answers that said whether they came from the cache.
    #[serde(default)]
    pub cache_lookups: u64,
    /// Bytes received.
    #[serde(default)]
    pub bytes_in: u64,
}
