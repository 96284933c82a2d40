//! The load generator against servers whose behaviour is known.

mod failures;
mod harness;
mod modes;
mod platform;
#[path = "../support/mod.rs"]
mod support;
mod truth;
