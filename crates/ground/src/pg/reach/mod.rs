//! What a write of a table reaches by its triggers: the functions that they call, those that these
//! call, the tables that are written on the way, and their triggers again.
//!
//! All of it comes from the catalogs and from reading the functions' bodies; nothing is tried.

mod body;
mod effects;
mod sql;
mod ties;
mod trial;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use self::body::{Body, Write};
use super::catalog::{Trigger, rows};
use cutover_error::Result;

pub use self::body::Verb;
pub use self::effects::Effect;
pub use self::ties::{Tie, set_aside};
pub use self::trial::{Tried, try_writes};

/// Rounds of callees and tables that are followed; what lies deeper is told as not seen.
const ROUNDS: usize = 12;

/// What the triggers of some tables reach.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    firings: Vec<Firing>,
    functions: HashMap<i64, Function>,
    relations: Vec<Relation>,
    sequences: Vec<Sequence>,
    tables: HashMap<i64, Touched>,
    /// Names of functions that were looked up.
    asked: HashSet<String>,
    /// Whether some of it lies deeper than was looked.
    is_cut: bool,
}

/// A trigger, and the table whose writes fire it.
#[derive(Debug, Clone, Deserialize)]
pub struct Firing {
    /// The table it belongs to, by the root of its tree.
    pub root: i64,
    /// The trigger.
    #[serde(flatten)]
    pub trigger: Trigger,
    function_oid: i64,
    #[serde(default)]
    arguments: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Function {
    oid: i64,
    display: String,
    schema: String,
    name: String,
    source: String,
    parsed: String,
    language: String,
    trusted: bool,
    visible: bool,
    extension: Option<String>,
    search_path: Option<String>,
    #[serde(skip)]
    body: Body,
}

/// A relation that a body may name, and the table that it belongs to.
#[derive(Debug, Clone, Deserialize)]
struct Relation {
    name: String,
    schema: String,
    visible: bool,
    root: i64,
}

/// A sequence that a body may name.
#[derive(Debug, Clone, Deserialize)]
struct Sequence {
    name: String,
    schema: String,
    visible: bool,
    quoted: String,
}

/// What a write of a table touches beside its own rows.
#[derive(Debug, Clone, Deserialize)]
struct Touched {
    oid: i64,
    name: String,
    schema: String,
    plain_name: String,
    divided: bool,
    rules: bool,
    foreign_part: Option<String>,
    /// Columns that number rows, each with its sequence if that is known.
    numbered: Vec<(String, Option<String>)>,
    computed: Vec<(String, i64)>,
    cascades: Vec<(i64, char, char)>,
}

impl Reach {
    /// Follows the triggers of these tables, given by the oids of their roots; `None` for all tables
    /// of the database.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn look(connection: &mut PgConnection, tables: Option<&[i64]>) -> Result<Self> {
        let what = "the triggers";
        let mut reach = Self::default();
        let asked = tables.map(<[i64]>::to_vec);
        reach.firings = rows(connection, what, sql::FIRINGS, |q| q.bind(asked)).await?;
        let mut new: Vec<i64> = match tables {
            Some(tables) => tables.to_vec(),
            None => reach.with_triggers().into_iter().collect(),
        };
        let mut known: HashSet<i64> = new.iter().copied().collect();
        for round in 0.. {
            reach.load_tables(connection, &new).await?;
            reach.load_functions(connection).await?;
            reach.load_relations(connection).await?;
            new = reach.touched().into_iter().filter(|root| known.insert(*root)).collect();
            if new.is_empty() {
                break;
            }
            if round == ROUNDS {
                reach.is_cut = true;
                break;
            }
            if tables.is_some() {
                let asked = Some(new.clone());
                reach.firings.extend(
                    rows::<Firing>(connection, what, sql::FIRINGS, |q| q.bind(asked)).await?,
                );
            }
        }
        Ok(reach)
    }

    /// Tables that are written, or that a foreign key carries a write to.
    fn touched(&self) -> BTreeSet<i64> {
        let cascades = self.tables.values().flat_map(|table| &table.cascades);
        let mut roots: BTreeSet<i64> = cascades.map(|(table, ..)| *table).collect();
        for firing in &self.firings {
            roots.extend(self.writes(firing).into_iter().map(|(root, _)| root));
        }
        roots
    }

    async fn load_tables(&mut self, connection: &mut PgConnection, oids: &[i64]) -> Result<()> {
        let found: Vec<Touched> =
            rows(connection, "the tables", sql::TABLES, |q| q.bind(oids.to_vec())).await?;
        self.tables.extend(found.into_iter().map(|table| (table.oid, table)));
        Ok(())
    }

    /// Loads what triggers and defaults call, and what that calls.
    async fn load_functions(&mut self, connection: &mut PgConnection) -> Result<()> {
        for _ in 0..ROUNDS {
            let computed = self.tables.values().flat_map(|table| table.computed.iter());
            let oids =
                self.firings.iter().map(|f| f.function_oid).chain(computed.map(|(_, oid)| *oid));
            let oids: BTreeSet<i64> =
                oids.filter(|oid| !self.functions.contains_key(oid)).collect();
            let called: BTreeSet<String> =
                self.functions.values().flat_map(Function::called).collect();
            let names: Vec<String> =
                called.into_iter().filter(|name| self.asked.insert(name.clone())).collect();
            if oids.is_empty() && names.is_empty() {
                return Ok(());
            }
            let oids: Vec<i64> = oids.into_iter().collect();
            let found: Vec<Function> =
                rows(connection, "the functions", sql::FUNCTIONS, |q| q.bind(oids).bind(names))
                    .await?;
            for mut function in found {
                function.body = Body::read(&format!("{};\n{}", function.source, function.parsed));
                self.functions.entry(function.oid).or_insert(function);
            }
        }
        self.is_cut = true;
        Ok(())
    }

    async fn load_relations(&mut self, connection: &mut PgConnection) -> Result<()> {
        let writes = self.functions.values().flat_map(|function| &function.body.writes);
        let names: BTreeSet<String> = writes.map(|write| write.table.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        self.relations = rows(connection, "the tables", sql::RELATIONS, |q| q.bind(names)).await?;
        let taken = self.functions.values().flat_map(|function| &function.body.sequences);
        let names: BTreeSet<String> = taken.flatten().map(|(_, name)| name.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        self.sequences =
            rows(connection, "the sequences", sql::SEQUENCES, |q| q.bind(names)).await?;
        Ok(())
    }

    /// A trigger's function and all that it calls.
    fn called_by(&self, firing: &Firing) -> Vec<&Function> {
        self.closure(firing.function_oid)
    }

    fn closure(&self, function: i64) -> Vec<&Function> {
        let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![function]);
        while let Some(oid) = open.pop() {
            let Some(function) = self.functions.get(&oid).filter(|_| seen.insert(oid)) else {
                continue;
            };
            found.push(function);
            for (schema, name) in &function.body.calls {
                let named = |other: &&Function| {
                    other.name == *name
                        && schema.as_ref().is_none_or(|schema| *schema == other.schema)
                };
                let all: Vec<&Function> = self.functions.values().filter(named).collect();
                let near = |other: &&Function| other.visible || other.schema == function.schema;
                let any_near = all.iter().any(near);
                open.extend(all.into_iter().filter(|o| !any_near || near(o)).map(|o| o.oid));
            }
        }
        found
    }

    /// The tables that a trigger's functions name and write, by the roots of their trees.
    fn writes(&self, firing: &Firing) -> Vec<(i64, &Write)> {
        let near = self.tables.get(&firing.root).map(|table| table.schema.as_str());
        let mut found = Vec::new();
        for function in self.called_by(firing) {
            for write in &function.body.writes {
                found.extend(self.resolve(write, function, near).map(|root| (root, write)));
            }
        }
        found
    }

    /// The table that a body means.
    fn resolve(&self, write: &Write, function: &Function, near: Option<&str>) -> Option<i64> {
        let named = |relation: &&Relation| {
            relation.name == write.table
                && write.schema.as_ref().is_none_or(|schema| *schema == relation.schema)
        };
        let all: Vec<&Relation> = self.relations.iter().filter(named).collect();
        let path = function.search_path.as_deref().unwrap_or_default();
        let on_path =
            |r: &&&Relation| path.split(',').any(|part| part.trim().trim_matches('"') == r.schema);
        let of_table = |r: &&&Relation| near == Some(r.schema.as_str());
        let found = all.iter().find(on_path).or_else(|| all.iter().find(of_table));
        let found = found.or_else(|| all.iter().find(|r| r.visible)).or(all.first());
        found.map(|relation| relation.root)
    }
}

impl Function {
    fn called(&self) -> impl Iterator<Item = String> + '_ {
        self.body.calls.iter().map(|(_, name)| name.clone())
    }
}
