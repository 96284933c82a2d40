//! One way to fail: what went wrong, and what to do about it.
//!
//! Two kinds matter to whoever called us, because they decide the exit code: [`Error::Usage`] says
//! that nothing was touched and the call has to change (exit 2); [`Error::Run`] says that a
//! component is missing or broke (exit 1); [`Error::Interrupted`] that a person or a supervisor
//! asked us to stop.

use std::fmt::Display;

/// Why a command could not do its work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The call or the configuration is wrong; nothing was touched.
    #[error("{what}")]
    Usage {
        /// What is wrong, where, and which values are allowed.
        what: String,
        /// What to do about it; empty where the message says it all.
        hint: String,
    },
    /// A component is missing or broke while we used it.
    #[error("{what}")]
    Run {
        /// What broke, with the names of the things involved.
        what: String,
        /// What to do about it; empty where the message says it all.
        hint: String,
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
        Self::Usage { what: what.into(), hint: hint.into() }
    }

    /// A component that is missing or broke: exit 1.
    pub fn run(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Run { what: what.into(), hint: hint.into() }
    }

    /// The advice that goes with the message, if there is any.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Usage { hint, .. } | Self::Run { hint, .. } if !hint.is_empty() => Some(hint),
            _ => None,
        }
    }
}

/// What is wrong in a TOML file, with line and column. The line itself is shown unless it may hold a
/// secret: somebody may have written one there although it belongs elsewhere.
pub fn toml_message(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let (before, after) = (text.get(..at).unwrap_or(""), text.get(at..).unwrap_or(""));
    let line = before.rsplit('\n').next().unwrap_or("");
    let line = format!("{line}{}", after.lines().next().unwrap_or("")).to_lowercase();
    const WORDS: [&str; 8] =
        ["://", "password", "secret", "token", "authorization", "bearer", "key", "cookie"];
    if !WORDS.iter().any(|word| line.contains(word)) {
        return error.to_string().trim_end().to_owned();
    }
    let number = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or("").chars().count();
    // What a message quotes of a value, it quotes in these.
    let mut told = error.message().lines().next().unwrap_or_default().to_owned();
    if let Some((start, rest)) = told.split_once(['"', '\'']) {
        told = format!("{start}…{}", rest.rsplit_once(['"', '\'']).map_or("", |(_, end)| end));
    }
    format!("TOML parse error at line {number}, column {column}\n{told}")
}

/// Puts what we were doing, and advice, around somebody else's error.
pub trait Context<T> {
    /// Turns a foreign error into [`Error::Run`]: `what: cause`.
    fn or_run(self, what: impl Display, hint: impl Into<String>) -> Result<T>;
    /// Turns a foreign error into [`Error::Usage`]: `what: cause`.
    fn or_usage(self, what: impl Display, hint: impl Into<String>) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn or_run(self, what: impl Display, hint: impl Into<String>) -> Result<T> {
        self.map_err(|cause| Error::run(format!("{what}: {cause}"), hint))
    }

    fn or_usage(self, what: impl Display, hint: impl Into<String>) -> Result<T> {
        self.map_err(|cause| Error::usage(format!("{what}: {cause}"), hint))
    }
}
