//! What measures time, and has the machine to itself.

mod drill;
mod drive;
mod rehearse;
mod rollout;
#[path = "../support/mod.rs"]
mod support;
