//! What traffic looks like (a file), and exactly which requests it becomes (a plan).
//!
//! Both are pure: the same file and the same `rng_seed` give the same plan on every machine, so
//! that each mode is asked the same questions and a shard can make its part by itself.

mod answer;
mod arrivals;
mod blank;
mod check;
mod feeder;
mod file;
mod from_log;
mod operation;
mod places;
mod plan;
mod popularity;
mod random;
mod template;
mod token;

pub use answer::Check;
pub use arrivals::Shape;
pub use check::Scenario;
pub use feeder::Feeder;
pub use file::{JsonType, Spread, json_schema};
pub use from_log::{FromLog, LogOptions, MadeOperation, Summary, UnreadLines, from_log};
pub use operation::{Operation, Write, WrittenValue, is_json};
pub use places::Places;
pub use plan::{Arrival, Plan, PlanOptions, WindowPlan};
pub use template::{Row, Template, Values};
pub use token::Signer;

/// The scenario that ships with the reference platform.
pub const FINANCE: &str = include_str!("../../../scenarios/finance.toml");
