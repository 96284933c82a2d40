//! The seed profile: which tables there are, and how each column is filled.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::vocabulary;
use crate::error::{Context, Error, Result};

/// A description of the data as its owner writes it (TOML); see `fixtures/finance.seed.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What messages call it.
    pub name: String,
    /// How dates are spread.
    #[serde(default)]
    pub calendar: CalendarSpec,
    /// How large orgs are.
    #[serde(default)]
    pub orgs: OrgSpec,
    /// The tables. Those with a `share` hold transactions, the others one row per org.
    pub tables: Vec<TableSpec>,
    /// Where CSV files are looked for: the profile's own folder.
    #[serde(skip)]
    folder: PathBuf,
    /// SHA-256 of the profile's text.
    #[serde(skip)]
    text_sha256: String,
}

/// How dates are spread over the time before `as_of`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarSpec {
    /// Months of history that end on the day before `as_of`, 1 to 240.
    pub months: u32,
    /// Weight of each month, January first.
    pub seasons: [u32; 12],
    /// Weight of each day of the week, Monday first.
    pub weekdays: [u32; 7],
    /// How much likelier the first and last day of a month and the leap day are.
    pub edge_weight: u32,
}

/// How large orgs are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrgSpec {
    /// Points of the quantile function of sizes, `[share of orgs, size]`, both ascending; only the
    /// shape counts, the mean is scaled to the transactions per org that are asked for.
    pub size_quantiles: Vec<[f64; 2]>,
    /// Properties of an org with few transactions: 1 to this.
    pub properties: u32,
    /// One more property for so many transactions.
    pub transactions_per_property: u32,
}

/// One table, or one pair of tables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// What reports call it; the name of the pair in `cutover.toml`.
    pub name: String,
    /// The table, `schema.table`.
    pub legacy: String,
    /// Its partitioned twin, `schema.table`.
    pub partitioned: Option<String>,
    /// Share of an org's transactions; without it the table holds one row per org.
    pub share: Option<f64>,
    /// The column whose sum the manifest states.
    pub amount: Option<String>,
    /// The columns; one may refer to those before it.
    pub columns: Vec<ColumnSpec>,
}

/// How one column is filled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its name in the legacy table.
    pub name: String,
    /// Its name in the twin, where that differs.
    pub partitioned: Option<String>,
    /// Its type in the database, where that is not the generator's own.
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
    /// The four percentiles, where there is no such column.
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

impl Default for CalendarSpec {
    fn default() -> Self {
        Self { months: 24, seasons: [1; 12], weekdays: [1; 7], edge_weight: 1 }
    }
}

impl Default for OrgSpec {
    fn default() -> Self {
        Self {
            size_quantiles: vec![[0.0, 0.0], [0.5, 0.15], [0.9, 2.0], [0.99, 15.0], [1.0, 100.0]],
            properties: 3,
            transactions_per_property: 1000,
        }
    }
}

impl Profile {
    /// The profile of the reference schema.
    pub fn reference() -> Self {
        let text = include_str!("../../fixtures/finance.seed.toml");
        Self::parse(text, Path::new(".")).expect("a test holds that the fixture parses")
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// A usage error with file and line where it cannot be read, does not parse or has an unknown
    /// key.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("seed profile {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, folder).map_err(|error| match error {
            Error::Usage { what, hint } => Error::usage(format!("{place}: {what}"), hint),
            other => other,
        })
    }

    fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut profile: Self = toml::from_str(text)
            .map_err(|error| Error::usage(error.to_string().trim_end().to_owned(), ""))?;
        profile.folder = folder.to_owned();
        profile.text_sha256 = format!("{:x?}", Sha256::digest(text.as_bytes()).to_vec());
        Ok(profile)
    }

    /// Where CSV files are looked for.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What tells this profile, with its vocabularies, from every other: 16 hexadecimal digits.
    ///
    /// # Errors
    /// A usage error where a vocabulary cannot be read.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(&self.text_sha256);
        for column in self.tables.iter().flat_map(|table| &table.columns) {
            if let Generator::Choice(choice) = &column.generator {
                hash.update(vocabulary::text(&choice.from, &self.folder)?.as_bytes());
            }
        }
        Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}
