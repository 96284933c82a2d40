//! How a profile describes a column: the generators there are, and what each takes.

use serde::Deserialize;

/// How one column is filled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its name in the legacy table.
    pub name: String,
    /// Its name in the twin, if that differs.
    pub partitioned: Option<String>,
    /// Its type in the database, if that is not the generator's own.
    #[serde(rename = "type")]
    pub kind: Option<ColumnType>,
    /// What makes the values.
    pub generator: Generator,
    /// Share of NULLs.
    #[serde(default)]
    pub null_share: f64,
    /// NULL unless another column holds one of these values.
    pub only_if: Option<OnlyIf>,
}

/// A condition on a `choice` column that stands before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnlyIf {
    /// The column.
    pub column: String,
    /// The values that let a value stand.
    pub is: Vec<String>,
}

/// What makes a column's values.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Generator {
    /// The org's number.
    Org,
    /// The org's number of transactions.
    OrgSize,
    /// One of the org's properties, numbered from 1.
    Property,
    /// `org · stride + n`: unique, and known without asking the database.
    Sequence {
        /// Room for the rows of one org, a power of two is readable.
        #[serde(default = "default_stride")]
        stride: u32,
    },
    /// A row of the same org in a table that stands before: the value of its `sequence` column,
    /// NULL if the org has no row there.
    ForeignKey {
        /// That table's name in this profile.
        table: String,
    },
    /// `prefix-org-n` as text: a unique business key.
    Label {
        /// What stands before the numbers.
        prefix: String,
    },
    /// A whole number, both ends included.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A decimal, both ends included, written with the scale wanted: `"0.00"`.
    Decimal {
        /// Smallest.
        min: String,
        /// Largest.
        max: String,
    },
    /// An amount; an integer column receives it in minor units (cents).
    Money(MoneySpec),
    /// A date by season and weekday.
    Date,
    /// A different date for each row of the same property: a natural key by construction.
    DailyDate,
    /// A moment on the day of a date column, or spread over a number of years.
    Moment {
        /// The date column; without it the moment is spread over `years` before `as_of`.
        on: Option<String>,
        /// Years before `as_of`.
        #[serde(default = "default_years")]
        years: u32,
        /// Share of moments on a midnight, or one microsecond before it.
        #[serde(default)]
        edge_share: f64,
    },
    /// The moment of another column, or a later one.
    Later {
        /// The other column.
        than: String,
        /// Share of rows in which it is later at all.
        #[serde(default = "default_one")]
        share: f64,
        /// Latest, in days after the other.
        days: u32,
        /// Share of moments on the first midnight of a month.
        #[serde(default)]
        edge_share: f64,
    },
    /// One of the values of a CSV file, by weight.
    Choice(ChoiceSpec),
    /// A name from the `fake` crate.
    Fake {
        /// What kind of name.
        kind: FakeKind,
        /// How many different ones.
        #[serde(default = "default_entries")]
        entries: u32,
        /// Share of empty text.
        #[serde(default)]
        empty_share: f64,
        /// Share of texts that break naive tools.
        #[serde(default)]
        edge_share: f64,
    },
    /// Always the same, as PostgreSQL would read it.
    Constant(String),
}

/// Where the values of a `choice` come from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChoiceSpec {
    /// A vocabulary of ours, or the path of a CSV file with the columns `value` and `weight`.
    pub from: String,
    /// Share of empty text.
    #[serde(default)]
    pub empty_share: f64,
    /// Share of texts that break naive tools.
    #[serde(default)]
    pub edge_share: f64,
}

/// How amounts are distributed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoneySpec {
    /// A `choice` column before this one whose CSV file has the columns `low`, `typical`, `high`
    /// and `top` (the 0th, 50th, 95th and 100th percentile).
    pub by: Option<String>,
    /// The four percentiles, if there is no such column.
    pub percentiles: Option<[String; 4]>,
    /// Digits behind the point.
    #[serde(default = "default_scale")]
    pub scale: u32,
    /// Share of negative corrections.
    #[serde(default)]
    pub negative_share: f64,
    /// The largest amount the column holds.
    pub largest: Option<String>,
    /// Share of rows with that amount.
    #[serde(default)]
    pub largest_share: f64,
}

/// Kinds of names the `fake` crate makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FakeKind {
    /// A person, in several scripts.
    Person,
    /// A company.
    Company,
    /// A town.
    City,
}

/// Column types that can be written; the names are PostgreSQL's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Smallint,
    Integer,
    Bigint,
    Numeric,
    Double,
    Boolean,
    Text,
    Date,
    Timestamp,
    Timestamptz,
    Json,
    Jsonb,
    Uuid,
}

fn default_stride() -> u32 {
    1 << 20
}
fn default_years() -> u32 {
    8
}
fn default_one() -> f64 {
    1.0
}
fn default_entries() -> u32 {
    4096
}
fn default_scale() -> u32 {
    2
}
