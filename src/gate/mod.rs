//! Criteria × evidence → verdict. Pure: no clock, no network, no database.

mod criteria;
mod decide;
mod load;
mod statistics;
mod validity;

pub use decide::{is_trustworthy, judge};
pub use statistics::{MIN_PAIRS, compare};
