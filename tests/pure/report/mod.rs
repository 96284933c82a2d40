//! The reports of every state in which a run can end.

mod altered;
mod browser;
mod build;
mod command;
mod criteria;
mod damaged;
mod earlier;
mod formats;
mod html;
mod notify;
mod numbers;
mod outside;
mod page;
mod schema;
