//! The scenario file: which requests, how often, by whom, and what a right answer is.

use std::collections::BTreeMap;
use std::path::Path;

use hyper::header::HeaderName;
use serde::Deserialize;
use toml::Spanned;

use super::arrivals::Shape;
use super::template::Template;
use crate::error::{Context, Error, Result};

/// A checked scenario, templates compiled.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// How arrivals follow each other.
    pub shape: Shape,
    /// The operations in the order of the file.
    pub operations: Vec<Operation>,
    /// The file's text, for the run's digest of its configuration.
    pub source: String,
}

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name in reports.
    pub name: String,
    /// Its share of the arrivals is `weight` over the sum of all weights.
    pub weight: f64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: Template,
    /// Body, sent as `application/json`.
    pub body: Option<Template>,
    /// Further request headers.
    pub headers: Vec<(String, Template)>,
    /// Statuses of a right answer.
    pub expect: Vec<u16>,
    /// Whether it changes data.
    pub writes: bool,
    /// How unevenly orgs ask for it.
    pub orgs: Spread,
    /// Keeps the answer's JSON object as a row that later operations work on.
    pub remember: Option<Remember>,
    /// Works on a row kept under this name; nobody else does meanwhile.
    pub row: Option<String>,
    /// Whether the row is gone afterwards.
    pub consumes: bool,
}

/// Where a row is kept.
pub type Remember = String;

/// Popularity of orgs: rank `r` asks in proportion to `(r + flat_head)^-exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spread {
    /// 0: all orgs alike; about 1: a few orgs make most of the traffic.
    pub exponent: f64,
    /// Larger: no single org dominates.
    pub flat_head: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { exponent: 1.1, flat_head: 10.0 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    name: String,
    #[serde(default)]
    arrivals: RawArrivals,
    #[serde(default)]
    orgs: Spread,
    #[serde(rename = "operation")]
    operations: Vec<Spanned<RawOperation>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawArrivals {
    shape: Shape,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperation {
    name: String,
    weight: f64,
    #[serde(default = "default_method")]
    method: String,
    path: String,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "default_expect")]
    expect: Vec<u16>,
    writes: Option<bool>,
    orgs: Option<Spread>,
    remember: Option<String>,
    row: Option<String>,
    #[serde(default)]
    consumes: bool,
}

fn default_method() -> String {
    "GET".into()
}

fn default_expect() -> Vec<u16> {
    vec![200]
}

/// Heaviest weight: far more than any share needs, far less than sums overflow at.
const HEAVIEST: f64 = 1e9;
/// Most operations; a report of more could not be read.
const MOST_OPERATIONS: usize = 1000;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

impl Scenario {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A usage error with the line of what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("scenario {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        Self::parse(&place, &text)
    }

    /// Checks a scenario's text; `place` names it in messages.
    ///
    /// # Errors
    /// A usage error with the line of what is wrong.
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        let raw: RawScenario = toml::from_str(text).or_usage(place, "")?;
        let mut operations = Vec::with_capacity(raw.operations.len());
        for operation in raw.operations {
            let line = 1 + text[..operation.span().start].matches('\n').count();
            let operation = operation.into_inner();
            let name = operation.name.clone();
            let checked = operation.check(raw.orgs).map_err(|(key, why)| {
                let what = format!("{place}, line {line}: operation `{name}`: {key}: {why}");
                Error::usage(what, "")
            })?;
            operations.push(checked);
        }
        let scenario =
            Self { name: raw.name, shape: raw.arrivals.shape, operations, source: text.into() };
        scenario.check().map_err(|why| Error::usage(format!("{place}: {why}"), ""))?;
        Ok(scenario)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.operations.is_empty() {
            return Err("[[operation]]: needs at least one".into());
        }
        if self.operations.len() > MOST_OPERATIONS {
            return Err(format!("[[operation]]: more than {MOST_OPERATIONS}"));
        }
        let sum: f64 = self.operations.iter().map(|o| o.weight).sum();
        if sum <= 0.0 {
            return Err("[[operation]]: the weights sum to 0; at least one must be above 0".into());
        }
        for (index, operation) in self.operations.iter().enumerate() {
            let name = &operation.name;
            if self.operations[..index].iter().any(|earlier| earlier.name == *name) {
                return Err(format!("[[operation]]: the name `{name}` stands twice"));
            }
            if let Some(row) = &operation.row
                && !self
                    .operations
                    .iter()
                    .any(|o| o.remember.as_ref() == Some(row) && o.row.is_none())
            {
                return Err(format!(
                    "operation `{name}`: row: no operation makes such rows (remember = \"{row}\" \
                     and no row of its own)"
                ));
            }
        }
        Ok(())
    }
}

impl RawOperation {
    fn check(self, orgs: Spread) -> std::result::Result<Operation, (&'static str, String)> {
        if !(0.0..=HEAVIEST).contains(&self.weight) {
            let why = format!("{} is not a number from 0 to {HEAVIEST}", self.weight);
            return Err(("weight", why));
        }
        if !METHODS.contains(&self.method.as_str()) {
            let why = format!("`{}` is none of {}", self.method, METHODS.join(", "));
            return Err(("method", why));
        }
        if !self.path.starts_with('/') {
            return Err(("path", "must begin with /".into()));
        }
        let outside_blanks = self.path.replace("{{ ", "{{").replace(" }}", "}}");
        if !outside_blanks.chars().all(|c| c.is_ascii_graphic()) {
            let why = "holds a space or a character that no URL may hold; write it as %XX";
            return Err(("path", why.into()));
        }
        if self.expect.is_empty() || self.expect.iter().any(|s| !(100..=599).contains(s)) {
            return Err(("expect", "needs statuses from 100 to 599".into()));
        }
        let spread = self.orgs.unwrap_or(orgs);
        if !(0.0..=5.0).contains(&spread.exponent) || !(0.0..=1e6).contains(&spread.flat_head) {
            let why = "exponent goes from 0 to 5, flat_head from 0 to 1000000";
            return Err(("orgs", why.into()));
        }
        let compile = |key, text: &str| Template::compile(text).map_err(|why| (key, why));
        let path = compile("path", &self.path)?;
        let body = self.body.as_deref().map(|text| compile("body", text)).transpose()?;
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            let valid_value = value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
            if HeaderName::try_from(name).is_err() || !valid_value {
                return Err(("headers", format!("`{name}` is no header that can be sent")));
            }
            headers.push((name.to_ascii_lowercase(), compile("headers", value)?));
        }
        let needs_row = path.needs_row() || body.as_ref().is_some_and(Template::needs_row);
        if needs_row && self.row.is_none() {
            return Err(("row", "a blank {{row.…}} needs row = \"NAME\"".into()));
        }
        Ok(Operation {
            writes: self.writes.unwrap_or(!matches!(self.method.as_str(), "GET" | "HEAD")),
            name: self.name,
            weight: self.weight,
            method: self.method,
            path,
            body,
            headers,
            expect: self.expect,
            orgs: spread,
            remember: self.remember,
            row: self.row,
            consumes: self.consumes,
        })
    }
}
