//! The rig: what it starts it stops, whatever happens in between, and nothing else.

mod command;
mod full;
mod killed;
mod place;
mod stack;
