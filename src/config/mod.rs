//! `cutover.toml`: the target as its owner describes it.

mod file;
mod tables;

pub use file::{
    Config, FlagRequest, ParityConfig, PreflightConfig, Probe, RolloutConfig, RoutingConfig,
    RoutingKind, TlsConfig,
};
pub use tables::TablePair;
