//! The reference platform: the finance service whose tables are about to move.
//!
//! It runs as a process of its own and knows nothing of the harness. It is a platform done right,
//! so that a healthy rehearsal is honestly GO: reads carry the partition key and prune, statements
//! are prepared, one plan serves them all, writes go to legacy and triggers carry them to the
//! twins, the cache forgets before a write is acknowledged. [`misbehave`] is the one place where it
//! goes wrong, on purpose.
//!
//! A request walks `server` → `finance` → (`flags`, `cache`) → `store` → `sql`.

mod admin;
mod answer;
mod cache;
mod counts;
mod database;
mod error;
mod finance;
mod flags;
mod injected;
mod injector;
mod input;
mod lag;
mod migrate;
mod misbehave;
mod monitoring;
mod options;
mod pool;
mod replica;
mod request;
mod rows;
mod server;
mod side;
mod sql;
mod store;
mod transport;
mod writes;

pub use error::{Error, Result};
pub use flags::{FlagChange, Flags};
pub use migrate::{is_begun, migrate};
pub use misbehave::Misbehaviour;
pub use options::Options;
pub use server::serve;
pub use side::Side;
