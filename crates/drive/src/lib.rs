//! Load that can be trusted: an arrival plan drained in open loop, every answer checked.
//!
//! A pacer thread lets arrivals go at the moment they are due ([`pacer`]); Goose users take
//! them, send, read and check ([`worker`], [`request`]), each over the connection that was used last
//! ([`connections`]); each leaves one
//! [`recorder::Sample`] per arrival. A collector thread writes samples to disk and counts them
//! ([`collector`], [`tally`]), so that the memory of a load does not grow with its length. Goose's
//! own ways are dealt with in [`attack`] alone.

mod attack;
mod capacity;
mod collector;
mod connections;
mod database;
mod flag;
mod frame;
mod handles;
mod isolation;
mod latency;
mod ledger;
mod live;
mod looks;
mod machine;
mod merge;
mod options;
mod org_sizes;
mod pacer;
mod parity;
mod post_load;
mod priority;
mod recorder;
mod request;
mod rows;
mod run;
mod sampler;
mod samples;
mod shared;
mod sql;
mod tally;
mod timeline;
mod unique;
mod usage;
mod windows;
mod worker;

pub use capacity::{CapacityOptions, find_capacity};
pub use database::org_sizes;
pub use handles::{make_room, room_for};
pub use ledger::reconcile;
pub use merge::{Part, Shards, merged_ledger};
pub use options::{Judge, Options, Outcome};
pub use org_sizes::OrgSizes;
pub use run::run;
