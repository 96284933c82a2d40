//! The reports of every state in which a run can end.

mod altered;
mod browser;
mod build;
mod command;
mod damaged;
mod formats;
mod html;
mod numbers;
mod page;
mod schema;
