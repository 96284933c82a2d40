//! The two sides that a read can come from.

/// One of the two sides a read can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The table that has always been there.
    Legacy,
    /// Its partitioned twin.
    Partitioned,
}

impl Side {
    /// As it stands in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Partitioned => "partitioned",
        }
    }

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Legacy => Self::Partitioned,
            Self::Partitioned => Self::Legacy,
        }
    }
}
