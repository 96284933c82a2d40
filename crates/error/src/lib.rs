//! One way to fail: what went wrong, and what to do about it.
//!
//! Two kinds matter to whoever called us, because they decide the exit code: [`Error::Usage`] says
//! that nothing was touched and the call has to change (exit 2); [`Error::Run`] says that a
//! component is missing or broke (exit 1); [`Error::Interrupted`] that a person or a supervisor
//! asked us to stop.

pub mod foreign;

use std::error::Error as Cause;
use std::fmt::Display;
use std::sync::Arc;

/// Why a command could not do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The call or the configuration is wrong; nothing was touched.
    #[error("{what}")]
    Usage {
        /// What is wrong, where, and which values are allowed.
        what: String,
        /// What to do about it; empty if the message says it all.
        hint: String,
        /// What it comes from, if somebody else's error says more.
        source: Option<Arc<dyn Cause + Send + Sync>>,
    },
    /// A component is missing or broke while we used it.
    #[error("{what}")]
    Run {
        /// What broke, with the names of the things involved.
        what: String,
        /// What to do about it; empty if the message says it all.
        hint: String,
        /// What it comes from, if somebody else's error says more.
        source: Option<Arc<dyn Cause + Send + Sync>>,
    },
    /// A signal asked us to stop; what was measured until then is kept.
    #[error("interrupted")]
    Interrupted,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A wrong call or configuration: exit 2, nothing touched.
    pub fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into(), source: None }
    }

    /// A component that is missing or broke: exit 1.
    pub fn run(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Run { what: what.into(), hint: hint.into(), source: None }
    }

    /// The advice that goes with the message, if there is any.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Run { hint, .. } if !hint.is_empty() => Some(hint),
            _ => None,
        }
    }

    /// The same error, said of a place: `place: what`.
    #[must_use]
    pub fn at(mut self, place: impl Display) -> Self {
        if let Self::Usage { what, .. } | Self::Run { what, .. } = &mut self {
            *what = format!("{place}: {what}");
        }
        self
    }

    fn caused_by(mut self, cause: Arc<dyn Cause + Send + Sync>) -> Self {
        if let Self::Usage { source, .. } | Self::Run { source, .. } = &mut self {
            *source = Some(cause);
        }
        self
    }
}

/// What is wrong in a TOML file, with line and column and the key that stands there. Values are not
/// shown: somebody may have written a secret if it does not belong, under whatever name.
pub fn toml_message(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let (before, after) = (text.get(..at).unwrap_or(""), text.get(at..).unwrap_or(""));
    let (number, start) = (1 + before.matches('\n').count(), before.rsplit('\n').next());
    let start = start.unwrap_or_default();
    let line = format!("{start}{}", after.lines().next().unwrap_or_default());
    let plain = |c: char| c.is_alphanumeric() || " _-.[]\"".contains(c);
    let key = line.split('=').next().unwrap_or_default().trim();
    let shown = match key.chars().all(plain) {
        true if line.contains('=') => format!("{key} = …"),
        true if key.starts_with('[') => key.to_owned(),
        _ => "…".to_owned(),
    };
    let column = 1 + start.chars().count();
    let message = in_words(&without_values(error.message()));
    format!("TOML parse error at line {number}, column {column}: {message}\n{number} | {shown}")
}

/// What the parser calls a value, and what people do.
const TYPES: [(&str, &str); 12] = [
    ("f64", "a number"),
    ("i64", "a whole number"),
    ("i32", "a whole number"),
    ("u64", "a whole number, 0 or more"),
    ("u32", "a whole number, 0 or more"),
    ("u16", "a whole number, 0 to 65535"),
    ("usize", "a whole number, 0 or more"),
    ("a boolean", "true or false"),
    ("a string", "text in quotes"),
    ("path string", "a path in quotes"),
    ("a sequence", "a list: […]"),
    ("a map", "a table: { … }"),
];

/// A message of the parser's in the words of the file's author.
fn in_words(message: &str) -> String {
    let Some((start, expected)) = message.split_once(", expected ") else {
        return message.to_owned();
    };
    let words = match TYPES.iter().find(|(name, _)| *name == expected) {
        Some((_, words)) => (*words).to_owned(),
        None if expected.starts_with("struct ") => "a table: { … }".to_owned(),
        None => expected.to_owned(),
    };
    format!("{start}, expected {words}")
}

/// A message of the parser's without the values that it quotes; keys and variants that are words stay.
fn without_values(message: &str) -> String {
    let mut told = message.lines().next().unwrap_or_default().to_owned();
    if let Some((start, rest)) = told.split_once('"') {
        told = format!("{start}…{}", rest.rsplit_once('"').map_or("", |(_, end)| end));
    }
    if let Some(rest) = told.strip_prefix("unknown variant `") {
        let (value, end) = rest.split_once("`, expected").unwrap_or((rest, ""));
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if value.len() > 16 || !value.chars().all(word) {
            told = format!("unknown variant …, expected{end}");
        }
    }
    told
}

/// Puts what we were doing, and advice, around somebody else's error.
pub trait Context<T> {
    /// Turns a foreign error into [`Error::Run`]: `what: cause`.
    fn or_run(self, what: impl Display, hint: impl Into<String>) -> Result<T>;
    /// Turns a foreign error into [`Error::Usage`]: `what: cause`.
    fn or_usage(self, what: impl Display, hint: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<Box<dyn Cause + Send + Sync>>> Context<T> for std::result::Result<T, E> {
    fn or_run(self, what: impl Display, hint: impl Into<String>) -> Result<T> {
        self.map_err(|cause| {
            let cause = Arc::from(cause.into());
            Error::run(format!("{what}: {cause}"), hint).caused_by(cause)
        })
    }

    fn or_usage(self, what: impl Display, hint: impl Into<String>) -> Result<T> {
        self.map_err(|cause| {
            let cause = Arc::from(cause.into());
            Error::usage(format!("{what}: {cause}"), hint).caused_by(cause)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_what_it_comes_from() {
        let io = Err::<(), _>(std::io::Error::from_raw_os_error(28));
        let error = io.or_run("write x", "").or_run("cannot save", "is the disk full?");
        let error = error.expect_err("it is one").at("the seed");
        assert!(error.to_string().starts_with("the seed: cannot save: write x: "), "{error}");
        let cause = error.source().expect("what was written");
        assert!(cause.source().is_some(), "and what the system said");
        assert_eq!(error.hint(), Some("is the disk full?"));
    }
}
