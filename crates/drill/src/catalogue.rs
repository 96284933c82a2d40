//! The drills by name, with the handbook's time for each.

use std::str::FromStr;

use cutover_error::Error;
use cutover_evidence::policy::{
    DISABLE_ORG_S, EMERGENCY_ROLLBACK_S, ESCALATION_S, STANDARD_ROLLBACK_S,
};

/// A drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Flag off, routing proven legacy, metrics normal.
    StandardRollback,
    /// Flag off, triggers off, integrity assessed, repaired, triggers on, parity proven.
    EmergencyRollback,
    /// One org off the partitioned side, the others stay.
    DisableOrg,
    /// Redis killed; requests go on without.
    RedisDown,
    /// The replica stops replaying; reads go to the primary.
    ReplicaLag,
    /// The pooler restarted under load.
    PgbouncerRestart,
    /// The primary killed and started under load.
    PrimaryRestart,
    /// Month end without next month's partition.
    MissingPartition,
    /// A backup restored into a second database and compared.
    Restore,
}

const ESCALATION: &str = "handbook: escalation path, level 1, 0-15 min";

impl Name {
    /// All of them; those that spoil rows come after those that do not.
    pub const ALL: [Self; 9] = [
        Self::StandardRollback,
        Self::RedisDown,
        Self::ReplicaLag,
        Self::PgbouncerRestart,
        Self::PrimaryRestart,
        Self::MissingPartition,
        Self::DisableOrg,
        Self::EmergencyRollback,
        Self::Restore,
    ];

    /// As it stands on the command line and in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardRollback => "standard-rollback",
            Self::EmergencyRollback => "emergency-rollback",
            Self::DisableOrg => "disable-org",
            Self::RedisDown => "redis-down",
            Self::ReplicaLag => "replica-lag",
            Self::PgbouncerRestart => "pgbouncer-restart",
            Self::PrimaryRestart => "primary-restart",
            Self::MissingPartition => "missing-partition",
            Self::Restore => "restore",
        }
    }

    /// Seconds it may take, and who says so.
    pub fn limit(self) -> (f64, &'static str) {
        match self {
            Self::StandardRollback => {
                (STANDARD_ROLLBACK_S, "handbook: standard rollback, ~15 minutes")
            }
            Self::EmergencyRollback => {
                (EMERGENCY_ROLLBACK_S, "handbook: emergency rollback, ~30 minutes")
            }
            Self::Restore => {
                (EMERGENCY_ROLLBACK_S, "handbook: emergency rollback with restore, ~30 minutes")
            }
            Self::DisableOrg => {
                (DISABLE_ORG_S, "handbook: decision matrix, single org affected, 5 min")
            }
            Self::RedisDown
            | Self::ReplicaLag
            | Self::PgbouncerRestart
            | Self::PrimaryRestart
            | Self::MissingPartition => (ESCALATION_S, ESCALATION),
        }
    }

    /// Whether it only moves the flag, so that an environment's owner may allow it elsewhere than on
    /// a rig.
    pub fn is_gentle(self) -> bool {
        self == Self::StandardRollback
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::usage(format!("there is no drill `{text}`"), format!("drills: {names}"))
        })
    }
}
