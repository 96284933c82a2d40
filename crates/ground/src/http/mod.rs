//! HTTP/1.1 as a load generator needs it: one connection, every way to fail told apart, every body
//! read to its end, nothing retried behind anybody's back.

mod client;
mod deadline;
mod endpoint;
mod failure;
mod site;
mod tls;
mod wire;

pub use client::{Answer, Client};
pub use endpoint::{Endpoint, shown, without_secrets};
pub use failure::Failure;
pub use site::Site;
pub use tls::TrustedRoots;
