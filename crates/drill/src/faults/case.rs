//! One case: how it is planted, what a comparison at rest finds, and what has to come of it under load.

use serde::Deserialize;

use cutover_error::{Context, Error, Result};
use cutover_evidence::class::FindingClass;
use cutover_evidence::fault::Sight;
use cutover_evidence::verdict::Action;
use cutover_ground::config::TablePair;

/// A file of the catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// In words, its number in the catalogue first if it has one.
    pub fault: String,
    /// Plants it; `{role}` is the role that reads if one is `refused`.
    #[serde(default)]
    pub sql: String,
    /// What several sessions do then, in this order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What a comparison at rest finds, and nothing else, a line each.
    #[serde(default)]
    pub expect: Vec<String>,
    /// What the comparison says where it refuses, read by a role of its own.
    pub refused: Option<String>,
    /// What stands in the way of `repair.sql`; without it the next comparison finds no row.
    pub unrepairable: Option<String>,
    /// What is compared; the reference schema's pairs unless the case makes its own.
    #[serde(default = "TablePair::reference")]
    pub tables: Vec<TablePair>,
    /// What the platform is told to do wrong.
    #[serde(default)]
    pub misbehave: Vec<String>,
    /// What has to come of it while a load runs.
    pub under_load: Expected,
}

/// What has to come of a fault that is planted while a load runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// What has to see it; nothing if nothing is wrong.
    pub seen_by: Vec<Sight>,
    /// What the verdict has to ask for.
    pub action: Action,
    /// More statements that plant it, for what only a load can show.
    #[serde(default)]
    pub sql: String,
    /// Whether it takes a load long enough to compare latencies.
    #[serde(default)]
    pub long: bool,
    /// Operations of the built-in scenario that are to take most of the load.
    #[serde(default)]
    pub often: Vec<String>,
}

/// What one session does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which; each keeps its connection.
    pub session: String,
    /// What it sends.
    pub sql: String,
    /// Whether it waits for another session's lock; the next step is taken when it does.
    #[serde(default)]
    pub blocks: bool,
    /// The SQLSTATE it fails with.
    pub fails: Option<String>,
    /// Whether the connection is lost afterwards.
    #[serde(default)]
    pub killed: bool,
}

impl Case {
    /// Reads a file.
    ///
    /// # Errors
    /// A usage error that names it.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let case: Self = toml::from_str(text).or_usage(format!("fault {name}"), "")?;
        if let Some(line) = case.expect.iter().find(|line| class_of(line).is_none()) {
            return Err(Error::usage(
                format!("fault {name}: no finding is of the class in `{line}`"),
                "",
            ));
        }
        Ok(Self { name: name.to_owned(), ..case })
    }

    /// Classes that a comparison at rest finds, each once.
    pub fn classes(&self) -> Vec<FindingClass> {
        let mut classes: Vec<FindingClass> =
            self.expect.iter().filter_map(|line| class_of(line)).collect();
        classes.sort_unstable_by_key(|class| class.word());
        classes.dedup();
        classes
    }

    /// How it is planted, in a few words.
    pub fn planted(&self) -> String {
        let sessions: std::collections::BTreeSet<&str> =
            self.steps.iter().map(|step| step.session.as_str()).collect();
        match (sessions.len(), self.misbehave.as_slice()) {
            (0, []) => "SQL".into(),
            (1, []) => "SQL, a session cut off".into(),
            (many, []) => format!("SQL, {many} sessions"),
            (_, misbehave) => format!("platform: {}", misbehave.join(", ")),
        }
    }
}

/// A line that is expected names a table, then the class.
fn class_of(line: &str) -> Option<FindingClass> {
    FindingClass::of_word(line.split(' ').nth(1)?)
}
