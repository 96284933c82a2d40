//! Ports: a free one of the loopback interface, or the one that was asked for.

use std::net::{Ipv4Addr, TcpListener};

use cutover_error::{Context, Error, Result};

/// How many free ports are tried before we give up.
const MAX_ATTEMPTS: u32 = 5;

/// The ports to try, one after the other.
///
/// A free port can be taken between our look and the server's start, so one that failed to start
/// on a port that is now taken gets another. A port that was asked for is tried once.
pub(super) struct Attempts {
    asked: Option<u16>,
    made: u32,
}

/// A wrong call if the port that was asked for is taken.
pub(super) fn require_free(asked: Option<u16>) -> Result<()> {
    match asked {
        Some(port) if is_taken(port) => Err(Error::usage(
            format!("--port {port}: something else listens on 127.0.0.1:{port}"),
            "choose another port, or leave the option away to get a free one",
        )),
        _ => Ok(()),
    }
}

impl Attempts {
    /// On the port that was asked for, else on free ones.
    pub(super) fn new(asked: Option<u16>) -> Self {
        Self { asked, made: 0 }
    }

    /// The next port to try.
    pub(super) fn next(&mut self) -> Result<u16> {
        self.made += 1;
        self.asked.map_or_else(free_port, Ok)
    }

    /// Whether another port may help after a start on `port` failed.
    pub(super) fn may_retry(&self, port: u16) -> bool {
        self.asked.is_none() && self.made < MAX_ATTEMPTS && is_taken(port)
    }
}

fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .or_run("no free port on 127.0.0.1", "is the loopback interface up?")
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_where_asked_for_and_replaced_where_not() {
        let squatter = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = squatter.local_addr().expect("bound").port();
        let refused = require_free(Some(port)).expect_err("taken");
        assert!(refused.to_string().contains(&format!("--port {port}")), "{refused}");

        let mut attempts = Attempts::new(None);
        assert_ne!(attempts.next().expect("a free one"), port);
        assert!(attempts.may_retry(port));
        drop(squatter);
        assert!(!attempts.may_retry(port), "a port that is free was not the trouble");
    }
}
