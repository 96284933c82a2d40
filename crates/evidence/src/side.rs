//! The two sides of a table pair.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the two sides of a table pair; which of them reads are routed to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The tables that have always been there.
    Legacy,
    /// The partitioned twins.
    Partitioned,
}

impl Side {
    /// Both, legacy first.
    pub const BOTH: [Self; 2] = [Self::Legacy, Self::Partitioned];

    /// The word used in headers, files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Partitioned => "partitioned",
        }
    }
}
