//! The comparison, the seed and what `init` finds, on a real PostgreSQL.

mod diff;
mod pairs;
mod seed;
mod seed_command;
mod seed_digest;
mod session;
#[path = "../support/mod.rs"]
mod support;
