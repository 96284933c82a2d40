//! How requests are sent to one side, and how it is proven that they went there.

mod claim;
mod flag;
mod percentage;
mod program;
mod rule_file;
mod served_by;
mod settings;
mod survey;
mod switch;
mod watchdog;

pub use claim::Claim;
pub use flag::Flag;
pub use percentage::Percentage;
pub use program::run_program;
pub use served_by::ServedBy;
pub use survey::{Survey, sample, survey};
pub use switch::{Served, Switch};
pub use watchdog::{FlagWatchdog, ShareWatchdog, Undo, keep_flag};
