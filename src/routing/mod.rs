//! How requests are sent to one side, and how it is proven that they went there.

mod claim;
mod flag;
mod keeper;
mod percentage;
mod program;
mod rule_file;
mod survey;
mod switch;

pub use claim::Claim;
pub use flag::Flag;
pub use keeper::{FlagKeeper, ShareKeeper, keep_flag};
pub use percentage::Percentage;
pub use program::run_program;
pub use survey::{Survey, sample, survey};
pub use switch::{Served, Switch};
