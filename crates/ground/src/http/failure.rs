//! Why there is no complete answer.

use std::error::Error as _;
use std::io::ErrorKind;

use nix::errno::Errno;

/// Whether a call failed because this machine, or this process, has none left of what it takes.
fn is_own_want(error: &std::io::Error) -> bool {
    let wants = [
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::EADDRNOTAVAIL,
        Errno::EADDRINUSE,
        Errno::EAGAIN,
        Errno::ENOBUFS,
        Errno::ENOMEM,
    ];
    error.raw_os_error().is_some_and(|code| wants.contains(&Errno::from_raw(code)))
}

/// Why there is no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No complete answer in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// The network knows no way to the host.
    Unreachable,
    /// The other side broke the connection.
    Reset,
    /// The other side closed the connection before the head of an answer was complete.
    Closed,
    /// The body ended before its announced end.
    Truncated,
    /// The host's name could not be resolved.
    Dns,
    /// No TLS: an unknown issuer, another host's certificate, a failed handshake.
    Tls,
    /// What came was not HTTP.
    Protocol,
    /// This machine has no file handle, port or memory left, or what was to be sent is no request: not
    /// the target's doing.
    Local,
}

impl Failure {
    /// The word used in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Local => "local",
        }
    }

    /// Of a connection that could not be opened.
    pub(super) fn of_connect(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Self::Reset,
            _ if is_own_want(error) => Self::Local,
            // A firewall that forbids it, a network that is down.
            _ => Self::Unreachable,
        }
    }

    /// Of a name that was not found; who has no handle left cannot ask for one either, and is not told
    /// why.
    pub(super) fn of_lookup(error: &std::io::Error) -> Self {
        let no_handle = || std::fs::File::open("/dev/null").is_err_and(|error| is_own_want(&error));
        if is_own_want(error) || no_handle() { Self::Local } else { Self::Dns }
    }

    /// Of an exchange that broke.
    pub(super) fn of_exchange(error: &hyper::Error) -> Self {
        if error.is_incomplete_message() {
            return Self::Closed;
        }
        if error.is_parse() {
            return Self::Protocol;
        }
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                return match error.kind() {
                    ErrorKind::UnexpectedEof => Self::Truncated,
                    ErrorKind::TimedOut => Self::Timeout,
                    ErrorKind::InvalidData | ErrorKind::InvalidInput => Self::Protocol,
                    _ if is_own_want(error) => Self::Local,
                    _ => Self::Reset,
                };
            }
            cause = error.source();
        }
        Self::Closed
    }
}
