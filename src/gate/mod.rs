//! Criteria × evidence → verdict. Pure: no clock, no network, no database.

mod answers;
mod criteria;
mod decide;
mod history;
mod ledger;
mod limits;
mod load;
mod observed;
mod sql;
mod statistics;
mod steps;
mod validity;

pub use decide::{fails_integrity, fails_requests, is_trustworthy, judge};
pub use history::past_run;
pub use statistics::{MIN_PAIRS, compare};
pub use validity::WHOLE_PLAN;
