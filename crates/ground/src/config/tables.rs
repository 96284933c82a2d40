//! Table pairs: what is called legacy, what is called partitioned, and how rows are told apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Accept, TableRead};
use crate::pg::QualifiedName;
use cutover_error::{Error, Result};
use cutover_evidence::side::Side;

/// Days ahead for which the twin has to have partitions, if nothing else is said.
const DAYS_AHEAD: u32 = 7;

/// The most groups that rows without org are put in: as many as there are orgs at most.
const MOST_GROUPS: u32 = 1_000_000;

/// What carries writes from one side to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// Triggers of the side that is written to.
    #[default]
    Trigger,
    /// The application, which writes both sides.
    Application,
    /// Logical replication.
    Replication,
    /// Nothing: the follower is filled in batches.
    None,
}

/// How a column is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Compare {
    /// As it is, byte for byte, or by its value.
    By(CompareBy),
    /// By what an expression makes of it.
    Expressions(Expressions),
}

/// What of a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareBy {
    /// Every byte.
    Exact,
    /// Its value: equal values of unlike types are equal.
    Value,
}

/// What is compared in a column's place: an SQL expression over the columns of its table. A side without one has
/// the column itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expressions {
    /// Of the legacy side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<String>,
    /// Of the partitioned side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioned: Option<String>,
}

/// A legacy table and its partitioned twin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePair {
    /// What reports call it.
    pub name: String,
    /// The table that has always been there, `schema.table`.
    pub legacy: String,
    /// Its partitioned twin, `schema.table`.
    pub partitioned: String,
    /// The column that holds the org, by its legacy name; means nothing with `groups`.
    #[serde(default = "default_org")]
    pub org: String,
    /// In place of an org: rows in so many groups, by the hash of their key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<u32>,
    /// The columns that identify a row, by their legacy names.
    #[serde(default = "default_key")]
    pub key: Vec<String>,
    /// Columns that may differ, by their legacy names.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Legacy column → the twin's column, if the names differ.
    #[serde(default)]
    pub map: BTreeMap<String, String>,
    /// How columns are compared, by their legacy names; byte for byte if absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub compare: BTreeMap<String, Compare>,
    /// The column that says when a row was last changed, by its legacy name; `diff --since` needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// The trigger on the legacy table that writes the twin; looked for if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The side that the application writes to; found by the triggers if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<Side>,
    /// What carries writes across; triggers if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<Sync>,
    /// How far ahead the twin has to have partitions, as `7d`; a week if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions_ahead: Option<String>,
    /// Columns whose values are never shown, by their legacy names.
    #[serde(default)]
    pub secret: Vec<String>,
    /// What the catalogs tell of it and is meant to be so.
    #[serde(skip)]
    pub accepted: Vec<Accept>,
    /// Whether the diff may try the triggers on a row, in a transaction that is always undone.
    #[serde(default = "yes")]
    pub probe: bool,
    /// Reads of the platform whose plans are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<TableRead>,
}

fn yes() -> bool {
    true
}

fn default_org() -> String {
    "org_id".into()
}

fn default_key() -> Vec<String> {
    vec!["id".into()]
}

impl TablePair {
    /// The pairs of the reference schema.
    pub fn reference() -> Vec<Self> {
        let transactions = |name: &str| Self {
            name: name.into(),
            legacy: format!("public.{name}_transactions"),
            partitioned: format!("public.{name}_transactions_partitioned"),
            org: default_org(),
            groups: None,
            key: default_key(),
            ignore: Vec::new(),
            map: BTreeMap::new(),
            compare: BTreeMap::new(),
            changed_at: Some("updated_at".into()),
            trigger: Some(format!("{name}_transactions_dual_write_trigger")),
            writes: None,
            sync: None,
            partitions_ahead: None,
            secret: Vec::new(),
            accepted: Vec::new(),
            probe: true,
            reads: TableRead::of_transactions(),
        };
        let balances = Self {
            name: "cash_balance".into(),
            legacy: "public.daily_cash_balances".into(),
            partitioned: "public.daily_cash_balances_partitioned".into(),
            org: default_org(),
            groups: None,
            key: vec!["org_id".into(), "property_id".into(), "balance_date".into()],
            // The twin numbers its rows itself; the natural key is what ties the two.
            ignore: vec!["id".into()],
            map: BTreeMap::new(),
            compare: BTreeMap::new(),
            changed_at: Some("updated_at".into()),
            trigger: Some("daily_cash_balances_dual_write_trigger".into()),
            writes: None,
            sync: None,
            partitions_ahead: None,
            secret: Vec::new(),
            accepted: Vec::new(),
            probe: true,
            reads: TableRead::of_balances(),
        };
        vec![transactions("revenue"), transactions("expense"), balances]
    }

    /// Whether nobody named these pairs: they are the reference schema's, which are meant if a configuration
    /// describes none.
    pub fn are_presumed(pairs: &[Self]) -> bool {
        let reference = Self::reference();
        pairs.iter().all(|pair| reference.contains(pair))
    }

    /// What is said if a database lacks tables that nobody named: their names would tell nobody anything.
    pub fn none_described(database: &str) -> Error {
        Error::usage(
            format!("the configuration describes no [[tables]] of {database}"),
            "cutover init writes a cutover.toml of the pairs that it finds; --config names another",
        )
    }

    /// The legacy table's name.
    ///
    /// # Errors
    /// A usage error if it is not a table name.
    pub fn legacy_name(&self) -> Result<QualifiedName> {
        QualifiedName::parse(&self.legacy)
    }

    /// The twin's name.
    ///
    /// # Errors
    /// A usage error if it is not a table name.
    pub fn partitioned_name(&self) -> Result<QualifiedName> {
        QualifiedName::parse(&self.partitioned)
    }

    /// Whether the configuration says itself which side is written to, or that no trigger carries: then no
    /// trigger has to prove it.
    pub fn is_declared(&self) -> bool {
        self.writes.is_some() || self.sync.is_some_and(|sync| sync != Sync::Trigger)
    }

    /// The table that the application writes to, as far as the configuration says.
    pub fn written_table(&self) -> &str {
        match self.writes {
            Some(Side::Partitioned) => &self.partitioned,
            _ => &self.legacy,
        }
    }

    /// How many days ahead the twin has to have partitions; a part of a day counts as one.
    ///
    /// # Errors
    /// A usage error if it is no time, or longer than a year.
    pub fn days_ahead(&self) -> Result<u32> {
        const DAY_S: u64 = 24 * 3600;
        let Some(text) = &self.partitions_ahead else { return Ok(DAYS_AHEAD) };
        let days = humantime::parse_duration(text).map(|length| length.as_secs().div_ceil(DAY_S));
        match days.map(u32::try_from) {
            Ok(Ok(days @ 0..=366)) => Ok(days),
            _ => Err(Error::usage(
                format!(
                    "[[tables]] `{}`: partitions_ahead: `{text}` is no time from 0d to 366d",
                    self.name
                ),
                "for example partitions_ahead = \"7d\"",
            )),
        }
    }

    /// The column that holds the org, by its legacy name; `None` if rows come in groups.
    pub fn org_column(&self) -> Option<&str> {
        self.groups.is_none().then_some(self.org.as_str())
    }

    /// The same for what cannot do without orgs, in words: `the drill`.
    ///
    /// # Errors
    /// A usage error if rows come in groups.
    pub fn needs_org(&self, who: &str) -> Result<&str> {
        self.org_column().ok_or_else(|| {
            Error::usage(
                format!(
                    "{who} asks for orgs, and [[tables]] `{}` has groups in their place",
                    self.name
                ),
                "diff, preflight and watch work without orgs; leave the pair out for the rest",
            )
        })
    }

    /// Whether a legacy column is the org or part of the key.
    fn names_rows(&self, column: &str) -> bool {
        self.org_column() == Some(column) || self.key.iter().any(|key| key == column)
    }

    /// What the twin calls a legacy column.
    pub fn partitioned_column<'a>(&'a self, legacy_column: &'a str) -> &'a str {
        self.map.get(legacy_column).map_or(legacy_column, String::as_str)
    }

    /// Whether the description makes sense by itself, before any database is asked.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |key: &str, why: String| {
            Err(Error::usage(format!("[[tables]] `{}`: {key}: {why}", self.name), ""))
        };
        if self.name.is_empty() {
            return refuse("name", "must not be empty".into());
        }
        if self.name.chars().any(char::is_control) {
            return Err(Error::usage("[[tables]]: name: holds a control character", ""));
        }
        self.legacy_name()?;
        self.partitioned_name()?;
        if self.legacy == self.partitioned {
            return refuse("partitioned", "is the same table as legacy".into());
        }
        if self.key.is_empty() {
            return refuse("key", "needs at least one column".into());
        }
        if let Some(groups) = self.groups {
            if !(1..=MOST_GROUPS).contains(&groups) {
                return refuse("groups", format!("{groups} is not between 1 and {MOST_GROUPS}"));
            }
            if self.org != default_org() {
                return refuse("groups", "stands in place of org: give one of the two".into());
            }
        }
        if let Some(column) = self.ignore.iter().find(|column| self.names_rows(column)) {
            return refuse("ignore", format!("`{column}` is the org or part of the key"));
        }
        if let Some(column) = self.compare.keys().find(|column| self.ignore.contains(column)) {
            return refuse("compare", format!("`{column}` is among `ignore`"));
        }
        for (column, compare) in &self.compare {
            let Compare::Expressions(Expressions { legacy, partitioned }) = compare else {
                continue;
            };
            let given = || [legacy, partitioned].into_iter().flatten();
            if given().next().is_none() || given().any(|text| text.trim().is_empty()) {
                return refuse(
                    "compare",
                    format!("`{column}`: give an expression of one side or of both"),
                );
            }
            if self.names_rows(column) {
                return refuse(
                    "compare",
                    format!("`{column}` is the org or part of the key, which no expression makes"),
                );
            }
        }
        if let Some(column) = self.secret.iter().find(|column| self.names_rows(column)) {
            let why = "is the org or part of the key, which findings have to name";
            return refuse("secret", format!("`{column}` {why}"));
        }
        if let Some(column) = self.changed_at.as_ref().filter(|c| self.ignore.contains(c)) {
            // Rows that differ in it alone would be told apart and yet agree.
            return refuse("changed_at", format!("`{column}` is among `ignore`"));
        }
        self.days_ahead()?;
        self.reads.iter().try_for_each(|read| read.check(&self.name))
    }
}
