//! Load that can be trusted: an arrival plan drained in open loop, every answer checked.
//!
//! A pacer thread lets arrivals go at the moment they are due ([`pacer`]); Goose users, one
//! connection each, take them, send, read and check ([`worker`], [`client`]); the recorder keeps
//! one [`recorder::Sample`] per arrival; the summary turns samples into evidence. Goose's own ways
//! are dealt with in [`attack`] alone.

mod attack;
mod client;
mod files;
mod pacer;
mod recorder;
mod rows;
mod run;
mod sampler;
mod summary;
mod worker;

pub use run::{Options, Outcome, run};
