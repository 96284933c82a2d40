//! The local rig: real PostgreSQL, real Redis, and the reference platform as a process of its own.
//!
//! Read it in this order: [`Stack`] starts the components one after the other; each is started by
//! the guard, which writes it down in `rig.json` before anything else can go wrong; `teardown` is
//! the one way in which a rig ends, whoever ends it: its owner, the watchdog (a process that outlives
//! a killed owner just long enough), `cutover rig down`, or the next start.
//!
//! A rig never touches what it did not start: a process is signalled only if id, beginning and
//! name are those that were written down, or if it works in that rig's own folder.

mod backup;
mod component;
mod folder;
mod guard;
mod logs;
mod pgbouncer;
mod ports;
mod postgres;
mod process;
mod programs;
mod redis;
mod replica;
mod service;
mod sql;
mod stack;
mod state;
mod status;
mod teardown;
mod user;
mod watchdog;

pub use component::Component;
pub use process::close_inherited;
pub use stack::{Options, Stack};
pub use state::Urls;
pub use status::{Health, RigStatus, down, list};
pub use watchdog::keep;
