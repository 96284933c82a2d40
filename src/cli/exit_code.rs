//! The exit codes, in one place.

use std::process::ExitCode;

use crate::error::Error;
use crate::evidence::verdict::Verdict;

/// How a command ends; the numbers are the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// GO, or the command did its work.
    pub const OK: Self = Self(0);
    /// A component is missing or broke.
    pub const COULD_NOT_RUN: Self = Self(1);
    /// Wrong usage or configuration; nothing was touched.
    pub const USAGE: Self = Self(2);
    /// NO-GO: a performance, error-rate or availability criterion failed.
    pub const NO_GO_PERFORMANCE: Self = Self(10);
    /// NO-GO: data integrity.
    pub const NO_GO_INTEGRITY: Self = Self(11);
    /// INCONCLUSIVE: too little evidence.
    pub const INCONCLUSIVE: Self = Self(20);
    /// INVALID: the measurement cannot be trusted.
    pub const INVALID: Self = Self(30);
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error {
            Error::Usage { .. } => Self::USAGE,
            Error::Run { .. } => Self::COULD_NOT_RUN,
            Error::Interrupted => Self::INVALID,
        }
    }
}

impl Exit {
    /// A code of the contract; what does not fit into one is no measurement to trust.
    pub fn of(code: i32) -> Self {
        u8::try_from(code).map_or(Self::INVALID, Self)
    }
}

impl From<&Verdict> for Exit {
    fn from(verdict: &Verdict) -> Self {
        Self::of(verdict.exit_code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
