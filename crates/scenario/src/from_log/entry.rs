//! A request that a log tells of.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, FixedOffset};

/// A request that a log tells of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry<'a> {
    pub method: Cow<'a, str>,
    /// Path and query as they were sent.
    pub target: Cow<'a, str>,
    pub status: u16,
    pub at: DateTime<FixedOffset>,
    /// The org, if a field of its own names it.
    pub org: Option<FieldOrg<'a>>,
}

/// An org that stands in a field of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldOrg<'a> {
    pub org: Cow<'a, str>,
    /// The request header it came in, if the field's name tells.
    pub header: Option<String>,
}

/// Why a line is not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unread {
    TooLong,
    NotALog,
    NotJson,
    NoRequest,
    NoMethod,
    NoPath,
    NoStatus,
    NoTime,
    OtherMethod,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than 64 KiB",
            Self::NotALog => "neither combined log format nor JSON",
            Self::NotJson => "begins as JSON but is none",
            Self::NoRequest => "its request line is not METHOD PATH HTTP/x",
            Self::NoMethod => "no field for the method",
            Self::NoPath => "no path that begins with /",
            Self::NoStatus => "no status from 100 to 599",
            Self::NoTime => "no time that can be read",
            Self::OtherMethod => "a method that no scenario sends (OPTIONS, CONNECT and the like)",
        })
    }
}

/// Method and target of `GET /path HTTP/1.1`.
pub(super) fn request_line(text: &str) -> Option<(&str, &str)> {
    let mut words = text.split(' ');
    let (method, target, protocol) = (words.next()?, words.next()?, words.next());
    let whole = words.next().is_none() && protocol.is_none_or(|p| p.starts_with("HTTP/"));
    let verb = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    (whole && verb && !target.is_empty()).then_some((method, target))
}
