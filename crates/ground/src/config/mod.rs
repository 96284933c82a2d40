//! `cutover.toml`: the target as its owner describes it.

mod database;
mod environment;
mod file;
mod read;
mod rollout;
mod routing;
mod secret;
mod sql;
mod tables;

pub use database::{DatabaseConfig, SslMode};
pub use environment::{Environment, EnvironmentConfig, Intent, WritingAct};
pub use file::{Config, ParityConfig, TlsConfig};
pub use read::TableRead;
pub use rollout::{PreflightConfig, RolloutConfig};
pub use routing::{FlagRequest, Probe, RoutingConfig, RoutingKind};
pub use secret::secret;
pub use tables::{Sync, TablePair};
