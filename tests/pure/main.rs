//! What needs no server: the order of the house, and reports of every state in which a run can end.

mod diagnostics;
mod hollow;
mod judged;
mod own_files;
mod refusals;
mod report;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
