//! What every act stands on: what it may tell and be told ([`act`]), the target as its owner describes
//! it ([`config`]), the ways to it ([`http`], [`pg`], [`routing`]), the folder that keeps what was
//! found ([`run_folder`], [`whole_file`], [`own_file`]), and those who want to hear of it ([`notify`]).

pub mod act;
pub mod config;
pub mod http;
pub mod notify;
pub mod own_file;
pub mod pg;
pub mod routing;
pub mod run_folder;
pub mod whole_file;
