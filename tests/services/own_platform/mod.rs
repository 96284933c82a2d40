//! Somebody else's platform: its schema, its tokens, its rules about what may be changed, its secrets.

mod discover;
mod environments;
mod flags;
mod fuzz;
mod read_only;
mod second;
mod secrets;
mod service;
mod tls;
