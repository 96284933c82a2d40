//! `cutover.toml`: the target as its owner describes it.

mod file;
mod tables;

pub use file::{Config, FlagRequest, ParityConfig, Probe, RoutingConfig, RoutingKind, TlsConfig};
pub use tables::TablePair;
