//! How a request is sent to one side, and how its answer proves that it went there.

mod switch;

pub use switch::{Endpoint, Served, Switch};
