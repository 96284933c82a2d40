//! What the acts leave behind: plain, versioned data that the judges read.
//!
//! Nothing in here does anything. Every type is what a file of the run's folder holds, so that the
//! verdict can be computed again from the folder alone. This module imports nothing of ours.

pub mod answers;
pub mod capacity;
pub mod checklist;
pub mod class;
pub mod comparison;
pub mod criterion;
pub mod drill;
pub mod drive;
pub mod exit;
pub mod fault;
pub mod finding;
pub mod history;
pub mod ledger;
pub mod limits;
pub mod machine;
pub mod manifest;
pub mod observation;
pub mod policy;
pub mod pruning;
pub mod rollout;
pub mod run_record;
pub mod shard;
pub mod side;
pub mod trigger;
pub mod verdict;
pub mod watch;
mod words;

/// The version of the run record's layout, raised whenever a reader would have to change.
pub const SCHEMA_VERSION: u32 = 2;
