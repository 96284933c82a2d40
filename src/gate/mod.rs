//! Criteria × evidence → verdict. Pure: no clock, no network, no database.

mod answers;
mod catalogue;
mod criteria;
mod decide;
mod history;
mod journey;
mod ledger;
mod limits;
mod load;
mod observed;
mod outside;
mod sql;
mod statistics;
mod steps;
mod validity;
mod watched;

pub use catalogue::{CRITERIA, Need, Spec, table as criteria_table};
pub use decide::{INTEGRITY, PERFORMANCE};
pub use decide::{fails_integrity, fails_requests, is_trustworthy, judge, judge_of_looks};
pub use history::past_run;
pub use statistics::{MAX_ATTEMPTS, MAX_EXTENSIONS, MIN_PAIRS, compare};
pub use validity::WHOLE_PLAN;
pub use watched::watched;
