//! Why the platform cannot start or refuses a setting; what a request is refused with is an
//! [`answer`](super::answer).

use std::fmt::Display;

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An option or a setting is wrong; nothing was touched.
    #[error("{what}")]
    Usage {
        /// What is wrong, and which values are allowed.
        what: String,
        /// What to do about it; empty if the message says it all.
        hint: String,
    },
    /// The database, Redis or the address cannot be used.
    #[error("{what}")]
    Run {
        /// What broke, with the names of the things involved.
        what: String,
        /// What to do about it; empty if the message says it all.
        hint: String,
    },
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(super) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), hint: hint.into() }
    }

    pub(super) fn run(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Run { what: what.into(), hint: hint.into() }
    }

    /// The advice that goes with the message, if there is any.
    pub fn hint(&self) -> Option<&str> {
        let (Self::Usage { hint, .. } | Self::Run { hint, .. }) = self;
        (!hint.is_empty()).then_some(hint)
    }
}

/// Says what we were doing when somebody else's call failed.
pub(super) trait Context<T> {
    /// `what: cause`, a run error.
    fn or_run(self, what: impl Display, hint: &str) -> Result<T>;
    /// `what: cause`, a usage error.
    fn or_usage(self, what: impl Display, hint: &str) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn or_run(self, what: impl Display, hint: &str) -> Result<T> {
        self.map_err(|cause| Error::run(format!("{what}: {cause}"), hint))
    }

    fn or_usage(self, what: impl Display, hint: &str) -> Result<T> {
        self.map_err(|cause| Error::usage(format!("{what}: {cause}"), hint))
    }
}
