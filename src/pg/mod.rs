//! What every act needs of PostgreSQL: connections, quoted names.

mod connect;
mod ident;
mod server;
mod sql;

pub use connect::{connect, describe, options};
pub use ident::{QualifiedName, quote_ident};
pub use server::{is_empty, server_version};
