//! The load generator against servers whose behaviour is known.

mod answers;
mod capacity;
mod dashboard;
mod failures;
mod harness;
mod ledger;
mod looks;
mod modes;
mod platform;
#[path = "../../services/platform/harness.rs"]
#[expect(dead_code, reason = "each test file uses the part it needs")]
mod service;
mod shards;
mod truth;
