//! What every act needs of PostgreSQL: connections, quoted names.

mod connect;
mod ident;

pub use connect::{connect, describe, options};
pub use ident::{QualifiedName, quote_ident};
