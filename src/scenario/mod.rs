//! What traffic looks like (a file), and exactly which requests it becomes (a plan).
//!
//! Both are pure: the same file and the same `rng_seed` give the same plan on every machine, so
//! that each mode is asked the same questions and a shard can make its part by itself.

mod arrivals;
mod file;
mod plan;
mod popularity;
mod random;
mod template;

pub use file::{Operation, Remember, Scenario, Spread};
pub use plan::{Arrival, Plan, PlanOptions, WindowPlan};
pub use template::{Row, Template, Values};

/// The scenario that ships with the reference platform.
pub const FINANCE: &str = include_str!("../../scenarios/finance.toml");
