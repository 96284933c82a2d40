//! The comparison and the seed, on a real PostgreSQL.

mod diff;
mod seed;
mod seed_command;
mod seed_digest;
#[path = "../support/mod.rs"]
mod support;
