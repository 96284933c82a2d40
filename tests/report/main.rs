//! The reports of every state in which a run can end.

mod build;
mod command;
mod formats;
mod html;
mod numbers;
mod page;
