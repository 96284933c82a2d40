//! What a rollout, its checklist and its drills need to know of the target.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::FlagRequest;
use crate::error::{Error, Result};

/// A year: nobody goes on from an older backup.
const OLDEST_BACKUP_H: f64 = 8760.0;

/// Where the pre-rollout checklist looks, and what it may touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreflightConfig {
    /// The org that a row is written to and removed from.
    pub test_org: i64,
    /// A backup, or the folder of them; the newest file counts.
    pub backup_file: Option<PathBuf>,
    /// Program and arguments that print when the last one was taken, RFC 3339 or seconds since 1970.
    pub backup_command: Vec<String>,
    /// Whether the server's own archiver says when it was.
    pub backup_archiver: bool,
    /// How old it may be, hours.
    pub backup_max_age_h: f64,
    /// PgBouncer, where it is used.
    pub pgbouncer_url: Option<String>,
    /// The server's log, where it can be read from here.
    pub log_file: Option<PathBuf>,
}

impl Default for PreflightConfig {
    fn default() -> Self {
        Self {
            test_org: 1,
            backup_file: None,
            backup_command: Vec::new(),
            backup_archiver: false,
            backup_max_age_h: 24.0,
            pgbouncer_url: None,
            log_file: None,
        }
    }
}

impl PreflightConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=OLDEST_BACKUP_H).contains(&self.backup_max_age_h) {
            let what =
                format!("[preflight] backup_max_age_h = {} is out of range", self.backup_max_age_h);
            return Err(Error::usage(what, format!("allowed: 0 to {OLDEST_BACKUP_H}, hours")));
        }
        if self.backup_command.first().is_some_and(|program| program.trim().is_empty()) {
            let what = "[preflight] backup_command names no program";
            return Err(Error::usage(what, "give program and arguments as a list"));
        }
        Ok(())
    }
}

/// How the share of orgs on the partitioned side is set, and what may be rehearsed here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutConfig {
    /// What this platform is called; a drill says where it was rehearsed.
    pub environment: String,
    /// Drills that may be rehearsed here although it is no rig, by name.
    pub drills: Vec<String>,
    /// The request that sets the percentage; `{{percent}}` stands for it in the body. By default
    /// `PUT /admin/flags` of the reference platform.
    pub percentage: Option<FlagRequest>,
    /// Program and arguments that set it instead; `{{percent}}` stands for it.
    pub percentage_command: Vec<String>,
    /// The request that takes orgs off the partitioned side; `{{orgs}}` stands for the list in the
    /// body, empty to let them back.
    pub disable: Option<FlagRequest>,
}
