//! `cutover.toml`: the target as its owner describes it.

mod accept;
mod database;
mod environment;
mod file;
mod read;
mod rollout;
mod routing;
mod secret;
mod sql;
mod tables;

pub use accept::Accept;
pub use database::{DatabaseConfig, SslMode};
pub use environment::{Environment, EnvironmentConfig, Intent, WritingAct};
pub use file::{Config, ParityConfig, TlsConfig};
pub use read::TableRead;
pub use rollout::{PreflightConfig, RolloutConfig};
pub use routing::{FlagRequest, Probe, RoutingConfig, RoutingKind, SideWords};
pub use secret::secret;
pub use tables::{Compare, CompareBy, Expressions, Sync, TablePair};
