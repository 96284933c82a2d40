//! Criteria × evidence → verdict. Pure: no clock, no network, no database.

mod answers;
mod boundaries;
mod catalogue;
mod consistency;
mod criteria;
mod decide;
mod history;
mod interval;
mod ledger;
mod limits;
mod load;
mod machine;
mod observed;
mod outside;
mod rollout;
#[cfg(test)]
mod simulations;
mod sql;
mod statistics;
mod steps;
mod text;
mod validity;
mod watched;

pub use catalogue::{CRITERIA, Need, Spec, is_of_load, table as criteria_table};
pub use criteria::untested;
pub use decide::{fails_integrity, fails_requests, is_trustworthy, judge, judge_of_looks};
pub use history::past_run;
pub use statistics::{MAX_ATTEMPTS, MIN_PAIRS, MOST_LOOKS, compare};
pub use watched::watched;
