//! `cutover.toml`: the target as its owner describes it.

mod file;
mod tables;

pub use file::{Config, RoutingConfig, RoutingKind};
pub use tables::TablePair;
