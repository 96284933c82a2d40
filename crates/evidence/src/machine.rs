//! What the machine of the load generator did meanwhile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One second of it. Shares are of all of its processors together, 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachinePoint {
    /// Seconds since the load began.
    pub at_s: f64,
    /// Processors at work, whoever for.
    pub busy_share: f64,
    /// Of that, for this program and what it started: generator, and servers of a rig.
    pub own_share: f64,
    /// Taken by the hypervisor for other guests.
    pub steal_share: f64,
    /// Share of the second in which some task waited for a processor; `None` if the kernel does not
    /// say.
    pub waiting_share: Option<f64>,
    /// Tasks that ran or waited to.
    pub runnable: u64,
}

/// What a trial of some seconds has shown before the load, and the rate that was chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Arrivals per second that were tried.
    pub tried_per_s: f64,
    /// Response-time p95 of the slower mode, microseconds.
    pub p95_us: u64,
    /// Share of the processors that generator and rig used at them, 0 to 1; 0 if nobody could see that.
    pub own_share: f64,
    /// Share that others used meanwhile, the hypervisor included.
    pub other_share: f64,
    /// Share that generator and rig are to use; 0 if the rate was not to be chosen.
    pub aimed_share: f64,
    /// Arrivals per second that follow.
    pub rate_per_s: f64,
}
