//! The configuration file; every key is optional, an unknown key is an error.

use std::path::Path;

use serde::{Deserialize, Serialize};
use url::Url;

use super::TablePair;
use crate::error::{Context, Error, Result};
use crate::evidence::limits::{LIMITS, OtherLimit};

/// The target and how its reads are routed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Base URL of the platform.
    pub base_url: Option<Url>,
    /// The table pairs.
    pub tables: Vec<TablePair>,
    /// How reads are sent to one side.
    pub routing: RoutingConfig,
    /// Limits that are not the handbook's, each with its reason.
    pub limits: Vec<OtherLimit>,
}

/// How reads are sent to one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// The means.
    pub kind: RoutingKind,
    /// For `header`: the request header that carries `legacy` or `partitioned`.
    pub header: String,
    /// The answer's header that says which side served it; empty where the platform has none.
    pub served_by_header: String,
    /// For `urls`: base URL that serves from legacy.
    pub legacy_url: Option<Url>,
    /// For `urls`: base URL that serves from the twin.
    pub partitioned_url: Option<Url>,
}

/// The means by which reads are sent to one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingKind {
    /// A header on every request.
    Header,
    /// One base URL per side.
    Urls,
    /// Reads cannot be routed; only one mode can be driven.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: None,
            tables: TablePair::reference(),
            routing: RoutingConfig::default(),
            limits: Vec::new(),
        }
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            kind: RoutingKind::Header,
            header: "X-Cutover-Mode".into(),
            served_by_header: "X-Routed-To".into(),
            legacy_url: None,
            partitioned_url: None,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A usage error with the line where the file cannot be read, does not parse, has an unknown
    /// key or a value outside its range.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("config {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        let config: Self = toml::from_str(&text).or_usage(&place, "")?;
        config.check().map_err(|error| match error {
            Error::Usage { what, hint } => Error::usage(format!("{place}: {what}"), hint),
            other => other,
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        if self.tables.is_empty() {
            return Err(Error::usage("[[tables]]: needs at least one table pair", ""));
        }
        for (index, pair) in self.tables.iter().enumerate() {
            pair.check()?;
            if self.tables[..index].iter().any(|earlier| earlier.name == pair.name) {
                let what = format!("[[tables]]: the name `{}` stands twice", pair.name);
                return Err(Error::usage(what, "names tell pairs apart in reports"));
            }
        }
        self.limits.iter().try_for_each(check_limit)?;
        self.routing.check()
    }
}

fn check_limit(other: &OtherLimit) -> Result<()> {
    let place = format!("[[limits]] criterion = \"{}\"", other.criterion);
    let Some(limit) = LIMITS.iter().find(|limit| limit.criterion == other.criterion) else {
        let names = LIMITS.map(|limit| limit.criterion).join(", ");
        return Err(Error::usage(
            format!("{place}: there is no such limit to change"),
            format!("limits that can be changed: {names}"),
        ));
    };
    let (least, most) = limit.range;
    if !(least..=most).contains(&other.limit) {
        let what = format!("{place}: limit = {} is out of range", other.limit);
        return Err(Error::usage(what, format!("allowed: {least} to {most}, {}", limit.unit)));
    }
    if other.reason.trim().is_empty() {
        let what = format!("{place}: reason is empty");
        return Err(Error::usage(what, "say why the handbook's limit does not hold here"));
    }
    Ok(())
}

impl RoutingConfig {
    fn check(&self) -> Result<()> {
        if self.kind == RoutingKind::Header && self.header.is_empty() {
            return Err(Error::usage("[routing] header: must not be empty", ""));
        }
        if self.kind == RoutingKind::Urls
            && (self.legacy_url.is_none() || self.partitioned_url.is_none())
        {
            let what = "[routing] kind = \"urls\" needs legacy_url and partitioned_url";
            return Err(Error::usage(what, ""));
        }
        if self.kind == RoutingKind::Urls && self.legacy_url == self.partitioned_url {
            let what = "[routing] legacy_url and partitioned_url are the same";
            return Err(Error::usage(what, "one side would be compared with itself"));
        }
        Ok(())
    }
}
