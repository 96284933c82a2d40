//! What the seed act promised to be in the database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The data as it was generated: the floor under which no later act may find less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Seed of every random choice of the generator.
    pub rng_seed: u64,
    /// The day the calendar of the data is anchored to, `YYYY-MM-DD`.
    pub as_of: String,
    /// Organisations generated.
    pub orgs: u64,
    /// One entry per table pair.
    pub tables: Vec<TableManifest>,
    /// How many orgs have how many transactions, smallest class first.
    pub org_sizes: Vec<OrgSizeClass>,
    /// Seconds the act took.
    pub duration_s: f64,
}

/// What was generated for one table pair; both sides hold the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TableManifest {
    /// The pair's name in reports, for example `revenue`.
    pub name: String,
    /// Rows on each side.
    pub rows: u64,
    /// Sum of the amounts as an exact decimal, for example `123.45`.
    pub amount_sum: String,
    /// Digest of all rows that does not depend on their order, 32 hexadecimal digits.
    pub digest: String,
}

/// Orgs whose number of transactions lies in one class.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrgSizeClass {
    /// Smallest number of transactions of the class.
    pub from: u64,
    /// Largest number of transactions of the class.
    pub to: u64,
    /// Orgs in the class.
    pub orgs: u64,
}
