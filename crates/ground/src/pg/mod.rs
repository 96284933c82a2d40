//! What every act needs of PostgreSQL: connections, quoted names, the catalogs, one state of the
//! database seen by several connections, and rows at the speed of COPY.

mod bounds;
pub mod catalog;
mod connect;
mod copy;
mod failure;
mod ident;
mod lag;
mod partman;
pub mod reach;
mod server;
mod session;
mod shared;
mod shortcut;
mod snapshot;
mod sql;
mod trigger;
mod waiters;
mod wire;

pub use bounds::{Bound, Edge, free_remainders};
pub use connect::{connect, connect_reading, describe, options, refuse_pooler};
pub use copy::{CopyConnection, CopyReader, Fields, integer};
pub use failure::{failure, is_passing};
pub use ident::{QualifiedName, quote_ident};
pub use lag::Lag;
pub use partman::templates;
pub use server::{
    is_empty, replay_position, server_version, system_identifier, trigger_states, wire_speed,
};
pub use shared::Shared;
pub use snapshot::{Snapshot, lone_reader};
pub use sql::of_tree;
pub use waiters::{Means, Session, Waiters, Watched};
