//! What a database tells of itself to somebody who is about to use `cutover` on it: which tables are
//! pairs, what ties them, and the files to start from. It reads catalogs; triggers that make their statements up
//! are tried on a row, which is undone.

mod columns;
mod config;
mod matching;
mod pairs;
mod scenario;
mod seed;
mod trying;

use std::time::Duration;

pub use pairs::Pair;

use cutover_error::Result;
use cutover_ground::pg::catalog::{self, Choices, ForeignKey, Table};
use cutover_ground::pg::reach::Reach;
use cutover_ground::pg::{self, QualifiedName, describe};

/// What was found in a database.
#[derive(Debug, Clone)]
pub struct Found {
    /// `host:port/database`.
    pub database: String,
    /// The table pairs that triggers tie.
    pub pairs: Vec<Pair>,
    /// Pairs that are proposed in comments alone, each with its reason.
    pub untied: Vec<Pair>,
    /// Partitioned tables for which no legacy table was found, and why not.
    pub alone: Vec<String>,
    /// Tables that pairs refer to, each with its foreign keys' target column.
    referred: Vec<Referred>,
}

/// A table that holds one row per org, because the pairs' org column refers to it.
#[derive(Debug, Clone)]
struct Referred {
    table: Table,
    key: String,
    unique: Vec<String>,
    choices: Vec<Choices>,
    foreign_keys: Vec<ForeignKey>,
}

/// How long the server may work on one question about its catalogs.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Asks a database for its table pairs; `org` is the column that tells orgs apart, if somebody named it, and
/// `tries` says whether triggers that make their statements up may be tried on a row.
///
/// # Errors
/// A run error if it cannot be reached or refuses, a usage error if no pair has the column `org`.
pub async fn look(database_url: &str, org: Option<&str>, tries: bool) -> Result<Found> {
    let mut shared = pg::Shared::connect(database_url, LOOK_LIMIT).await?;
    let mut connection = shared.look().await?;
    let tables = catalog::all_tables(&mut connection).await?;
    let reach = Reach::look(&mut connection, None).await?;
    let templates = pg::templates(&mut connection, &tables).await?;
    let known = matching::Known { tables: &tables, reach: &reach, templates: &templates };
    let (mut matches, alone) = matching::matches(&known);
    if tries {
        trying::try_untied(&mut connection, database_url, &mut matches).await?;
    }
    let mut all = Vec::new();
    for found in matches {
        all.push(Pair::look(&mut connection, found, database_url).await?);
    }
    pairs::name(&mut all);
    pairs::choose_org(&mut all, org)?;
    let (untied, pairs): (Vec<Pair>, Vec<Pair>) =
        all.into_iter().partition(|pair| pair.untied.is_some());
    let mut referred: Vec<Referred> = Vec::new();
    for pair in &pairs {
        let Some(key) = pair.org_refers_to() else { continue };
        let name = QualifiedName { schema: key.schema.clone(), name: key.name.clone() };
        if referred.iter().any(|referred| referred.table.name == name) {
            continue;
        }
        let table = Table::find(&mut connection, &name, database_url).await?;
        let choices = table.choices(&mut connection).await?;
        let foreign_keys = table.foreign_keys(&mut connection).await?;
        let unique = pairs::unique(&table.indexes(&mut connection).await?);
        let key = key.referred[0].clone();
        referred.push(Referred { table, key, unique, choices, foreign_keys });
    }
    connection.commit().await.map_err(|error| pg::failure("cannot look to the end", &error))?;
    shared.close().await;
    Ok(Found { database: describe(database_url), pairs, untied, alone, referred })
}

impl Found {
    /// A commented `cutover.toml`.
    pub fn config(&self) -> String {
        config::text(self)
    }

    /// A seed profile.
    pub fn seed_profile(&self) -> String {
        seed::text(self)
    }

    /// A scenario; its paths have to be replaced by the platform's.
    pub fn scenario(&self) -> String {
        scenario::text(self)
    }

    /// What was found, for people: a line or two a pair.
    pub fn told(&self) -> Vec<String> {
        let all = self.pairs.iter().chain(&self.untied);
        let mut lines: Vec<String> = all.flat_map(Pair::told).collect();
        lines.extend(self.alone.iter().cloned());
        lines
    }
}

/// A text of TOML, quoted.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of texts of TOML.
fn list<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// Text of others within a comment: on one line, whatever is in it.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A table's name as a configuration writes it.
fn written(name: &QualifiedName) -> String {
    let part = |part: &str| {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { part.to_owned() } else { format!("\"{}\"", part.replace('"', "\"\"")) }
    };
    format!("{}.{}", part(&name.schema), part(&name.name))
}
