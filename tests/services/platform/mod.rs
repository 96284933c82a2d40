//! The reference platform over HTTP, against real PostgreSQL and, if it is on PATH, real Redis.

mod cache;
mod command;
mod faults;
mod finance;
mod harness;
mod outages;
mod routing;
mod servers;
