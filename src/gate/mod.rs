//! Criteria × evidence → verdict. Pure: no clock, no network, no database.

mod answers;
mod boundaries;
mod catalogue;
mod criteria;
mod decide;
mod history;
mod interval;
mod journey;
mod ledger;
mod limits;
mod load;
mod machine;
mod observed;
mod outside;
#[cfg(test)]
mod simulations;
mod sql;
mod statistics;
mod steps;
mod validity;
mod watched;

pub use catalogue::{CRITERIA, Need, Spec, table as criteria_table};
pub use decide::{INTEGRITY, PERFORMANCE};
pub use decide::{fails_integrity, fails_requests, is_trustworthy, judge, judge_of_looks};
pub use history::past_run;
pub use statistics::{MAX_ATTEMPTS, MIN_PAIRS, MOST_LOOKS, compare};
pub use validity::WHOLE_PLAN;
pub use watched::watched;
