//! From the file to a scenario: everything checked before the first request, errors with their line
//! and column.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::arrivals::Shape;
use super::blank::Names;
use super::feeder::Feeder;
use super::file::RawScenario;
use super::operation::{Operation, check_spread};
use super::token::Signer;
use cutover_error::{Context, Error, Result, toml_message};

/// A checked scenario, templates compiled.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// How arrivals follow each other.
    pub shape: Shape,
    /// The operations in the order of the file.
    pub operations: Vec<Operation>,
    /// Names of the rows that operations keep and work on.
    pub rows: Vec<String>,
    /// CSV files that blanks are filled from.
    pub feeders: Vec<Feeder>,
    /// Signs `{{token}}`.
    pub signer: Option<Signer>,
    /// The file's text, for the run's digest of its configuration.
    pub source: String,
}

/// Most operations; a report of more could not be read.
const MOST_OPERATIONS: usize = 1000;

/// One step from the file's top to a value: a key, or the number of a table of the same name.
enum Step {
    Key(&'static str),
    Number(usize),
}

/// Where something is wrong, and what.
struct Wrong {
    at: Vec<Step>,
    why: String,
}

impl Scenario {
    /// Reads and checks a file; the files it names are looked for beside it.
    ///
    /// # Errors
    /// A usage error with line and column of what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("scenario {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        Self::parse_beside(&place, &text, path.parent().unwrap_or(Path::new("")))
    }

    /// Checks a scenario's text; `place` names it in messages.
    ///
    /// # Errors
    /// A usage error with line and column of what is wrong.
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        Self::parse_beside(place, text, Path::new(""))
    }

    fn parse_beside(place: &str, text: &str, folder: &Path) -> Result<Self> {
        let raw: RawScenario =
            toml::from_str(text).map_err(|e| toml_message(&e, text)).or_usage(place, "")?;
        check(raw, text, folder).map_err(|wrong| {
            let at = locate(text, &wrong.at);
            let before = &text[..at];
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
            let what = format!("{place}, line {line}, column {column}: {}", wrong.why);
            Error::usage(what, "")
        })
    }

    /// The same without what changes data, and without what works on rows that only such an operation
    /// makes; and what was left out, by name.
    ///
    /// # Errors
    /// A usage error if nothing is left.
    pub fn reads_only(mut self) -> Result<(Self, Vec<String>)> {
        let mut left_out = Vec::new();
        let changes = |operation: &Operation| operation.writes || operation.write.is_some();
        let keeps: Vec<usize> = self
            .operations
            .iter()
            .filter(|o| !changes(o) && o.row.is_none())
            .filter_map(|o| o.remember)
            .collect();
        self.operations.retain(|operation| {
            let kept = !changes(operation) && operation.row.is_none_or(|row| keeps.contains(&row));
            if !kept {
                left_out.push(operation.name.clone());
            }
            kept
        });
        if self.operations.iter().all(|operation| operation.weight == 0.0) {
            let what = format!("--read-only: every operation of `{}` changes data", self.name);
            let hint = "give --scenario one that reads; an operation reads with GET, HEAD or \
                        writes = false, on no row that another one makes";
            return Err(Error::usage(what, hint));
        }
        if !left_out.is_empty() {
            self.source.push_str("\n# only what reads\n");
        }
        Ok((self, left_out))
    }

    /// Names of the operations that change data.
    pub fn writers(&self) -> Vec<&str> {
        let writers = self.operations.iter().filter(|o| o.weight > 0.0 || o.remember.is_some());
        writers.filter(|o| o.writes || o.write.is_some()).map(|o| o.name.as_str()).collect()
    }

    /// Whether each of the orgs `1..=orgs` has what the scenario needs for it.
    ///
    /// # Errors
    /// A usage error that names the first org without a line in a feeder.
    pub fn check_orgs(&self, orgs: u64) -> Result<()> {
        for feeder in &self.feeders {
            if let Some((org, count)) = feeder.orgs_missing(orgs) {
                let name = &feeder.name;
                let what = format!("feeder `{name}`: no line for org {org}, {count} orgs in all");
                return Err(Error::usage(what, "complete the CSV file, or lower --orgs"));
            }
        }
        Ok(())
    }
}

fn check(raw: RawScenario, text: &str, folder: &Path) -> std::result::Result<Scenario, Wrong> {
    let wrong = |at: Vec<Step>, why: String| Wrong { at, why };
    let under = |table, key| vec![Step::Key(table), Step::Key(key)];
    raw.arrivals
        .check()
        .map_err(|why| wrong(vec![Step::Key("arrivals")], format!("[arrivals] {why}")))?;
    check_spread(raw.orgs)
        .map_err(|why| wrong(vec![Step::Key("orgs")], format!("[orgs]: {why}")))?;
    let mut feeders: Vec<Feeder> = Vec::new();
    for (number, feeder) in raw.feeder.iter().enumerate() {
        let at = vec![Step::Key("feeder"), Step::Number(number)];
        if feeders.iter().any(|earlier| earlier.name == feeder.name) {
            return Err(wrong(at, format!("[[feeder]]: the name `{}` stands twice", feeder.name)));
        }
        let read = Feeder::read(feeder, folder)
            .map_err(|why| wrong(at, format!("[[feeder]] `{}`: {why}", feeder.name)))?;
        feeders.push(read);
    }
    let names = Names { feeders: &feeders, token: raw.token.is_some() };
    let signer =
        match &raw.token {
            None => None,
            Some(token) => Some(Signer::new(token, folder, names).map_err(|(key, why)| {
                wrong(under("token", key), format!("[token] {key}: {why}"))
            })?),
        };
    check_rows(&raw)?;
    let mut row_names = BTreeMap::new();
    for operation in &raw.operation {
        for name in operation.remember.iter().chain(&operation.row) {
            let next = row_names.len();
            row_names.entry(name.clone()).or_insert(next);
        }
    }
    let mut operations = Vec::with_capacity(raw.operation.len());
    for (number, operation) in raw.operation.into_iter().enumerate() {
        let name = operation.name.clone();
        let checked = operation.check(raw.orgs, &row_names, names).map_err(|(key, why)| {
            let at = vec![Step::Key("operation"), Step::Number(number), Step::Key(key)];
            wrong(at, format!("operation `{name}`: {key}: {why}"))
        })?;
        operations.push(checked);
    }
    let mut rows = vec![String::new(); row_names.len()];
    for (name, index) in row_names {
        rows[index] = name;
    }
    let (name, shape, source) = (raw.name, raw.arrivals, text.to_owned());
    Ok(Scenario { name, shape, operations, rows, feeders, signer, source })
}

/// What the operations have to be together.
fn check_rows(raw: &RawScenario) -> std::result::Result<(), Wrong> {
    let wrong = |at: Vec<Step>, why: String| Err(Wrong { at, why });
    let top = || vec![Step::Key("operation")];
    if raw.operation.is_empty() || raw.operation.len() > MOST_OPERATIONS {
        return wrong(top(), format!("[[operation]]: needs 1 to {MOST_OPERATIONS} of them"));
    }
    if raw.operation.iter().all(|operation| operation.weight == 0.0) {
        let why = "[[operation]]: the weights sum to 0; at least one must be above 0";
        return wrong(top(), why.into());
    }
    for (number, operation) in raw.operation.iter().enumerate() {
        let name = &operation.name;
        let at = |key| vec![Step::Key("operation"), Step::Number(number), Step::Key(key)];
        if raw.operation[..number].iter().any(|earlier| earlier.name == *name) {
            return wrong(at("name"), format!("[[operation]]: the name `{name}` stands twice"));
        }
        let makes = |row: &String| {
            raw.operation.iter().any(|o| o.remember.as_ref() == Some(row) && o.row.is_none())
        };
        if let Some(row) = operation.row.as_ref().filter(|row| !makes(row)) {
            let why = format!(
                "operation `{name}`: row: no operation makes such rows (remember = \"{row}\" \
                 and no row of its own)"
            );
            return wrong(at("row"), why);
        }
    }
    Ok(())
}

/// The byte at which the value of a path begins, or the last part of it that is there.
fn locate(text: &str, path: &[Step]) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 0 };
    let mut at = 0;
    let mut table = Some(document.get_ref());
    let mut list = None;
    for step in path {
        let next = match (step, table, list) {
            (Step::Key(key), Some(table), _) => {
                let table: &DeTable<'_> = table;
                table.iter().find(|(name, _)| name.get_ref().as_ref() == *key).map(
                    |(name, value)| {
                        at = name.span().start;
                        value
                    },
                )
            }
            (Step::Number(number), _, Some(values)) => {
                let values: &toml::de::DeArray<'_> = values;
                values.get(*number).inspect(|value| at = value.span().start)
            }
            _ => None,
        };
        let Some(value) = next else { break };
        (table, list) = match value.get_ref() {
            DeValue::Table(table) => (Some(table), None),
            DeValue::Array(values) => (None, Some(values)),
            _ => (None, None),
        };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = \"x\"\n\n[[operation]]\nname = \"a\"\nweight = 1\npath = \"/\"\n";

    fn error(text: &str) -> String {
        Scenario::parse("s", text).expect_err(text).to_string()
    }

    #[test]
    fn an_error_names_line_and_column() {
        assert!(Scenario::parse("s", GOOD).is_ok());
        for (from, to, place) in [
            ("weight = 1", "weight = -1", "line 5, column 1: operation `a`: weight"),
            ("path = \"/\"", "path = \"/{{orgs}}\"", "line 6, column 1: operation `a`: path"),
            ("path = \"/\"", "path = \"/<b>\"", "line 6, column 1: operation `a`: path"),
            ("path = \"/\"", "path = \"/\"\n  row = \"r\"", "line 7, column 3: operation `a`: row"),
            (
                "name = \"x\"",
                "name = \"x\"\narrivals = { shape = \"ramp\", from = -1, to = 1 }",
                "line 2, column 1: [arrivals]",
            ),
            ("name = \"a\"", "name = \"a\"\ncolour = 1", "line 5, column 1"),
            (
                "weight = 1",
                "weight = 1\nbody = '{\"a\":}'",
                "line 6, column 1: operation `a`: body: is not JSON",
            ),
            (
                "[[operation]]",
                "[[feeder]]\nname = \"f\"\nfile = \"nowhere.csv\"\n[[operation]]",
                "line 3, column",
            ),
            (
                "[[operation]]",
                "[token]\nclaims = \"{}\"\n[[operation]]",
                "line 3, column 2: [token] secret_env",
            ),
        ] {
            let message = error(&GOOD.replacen(from, to, 1));
            assert!(message.contains(place), "{message}\nshould name: {place}");
        }
    }

    #[test]
    fn feeders_are_read_and_checked_against_the_orgs() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("our own folder");
        };
        write("tokens.csv", "org,token\n1,aa\n2,bb\n");
        let feeder = "[[feeder]]\nname = \"t\"\nfile = \"tokens.csv\"\nby = \"org\"\n[[operation]]";
        let text = GOOD.replace("[[operation]]", feeder)
            + "headers = { authorization = \"Bearer {{feed.t.token}}\" }\n";
        write("scenario.toml", &text);
        let path = folder.path().join("scenario.toml");
        let scenario = Scenario::read(&path).expect("a scenario");
        assert!(scenario.check_orgs(2).is_ok());
        let message = scenario.check_orgs(4).expect_err("org 3 has no line").to_string();
        assert!(message.contains("org 3, 2 orgs"), "{message}");
        assert_eq!(scenario.feeders[0].get(2, 0, 1), Some("bb"));
        write("scenario.toml", &text.replace("t.token", "t.tokens"));
        let message = Scenario::read(&path).expect_err("no such column").to_string();
        assert!(message.contains("no column `tokens`; there are: org, token"), "{message}");
    }

    #[test]
    fn query_parameters_are_encoded() {
        let text =
            GOOD.to_owned() + "query = { org = \"{{org}}\", \"a b\" = \"x & {{int:5..5}}\" }\n";
        let scenario = Scenario::parse("s", &text).expect("a scenario");
        let values = super::super::Values {
            org: 7,
            draw: 0,
            turn: 0,
            unique: 0,
            as_of: chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date"),
            row: None,
            feeders: &[],
            signer: None,
        };
        let path = scenario.operations[0].path.fill(&values);
        assert_eq!(path, "/?a%20b=x%20%26%205&org=7");
    }

    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/scenario.schema.json");
        let schema = super::super::file::json_schema();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, &schema).expect("our own folder");
        }
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(published, schema, "write it anew: UPDATE_SCHEMA=1 cargo test schema");
    }
}
