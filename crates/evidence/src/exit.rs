//! The exit codes, and which verdict ends with which: the contract, in one place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Exit(i32);

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

    /// The number that a process ends with; one that fits into none is no measurement to trust.
    pub fn code(self) -> u8 {
        u8::try_from(self.0).unwrap_or(Self::INVALID.0 as u8)
    }

    /// What it stands for, in words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::OK => "go",
            Self::NO_GO_PERFORMANCE => "no-go: performance, errors or availability",
            Self::NO_GO_INTEGRITY => "no-go: data integrity",
            Self::INCONCLUSIVE => "inconclusive",
            Self::INVALID => "invalid",
            _ => "not a code of a verdict",
        }
    }
}

/// What was not judged is not to be trusted.
impl Default for Exit {
    fn default() -> Self {
        Self::INVALID
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(to)
    }
}
