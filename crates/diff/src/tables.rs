//! Whether the tables are still the ones that are compared.
//!
//! A snapshot keeps the rows of its moment, not the tables: what is emptied, rewritten, detached, dropped or
//! swapped since is read as something else or not at all. So whoever has read looks again, and reads anew what
//! has changed.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::direction::Direction;
use super::schema::{PairPlan, Side};
use super::sql;
use cutover_error::Result;
use cutover_evidence::finding::Finding;
use cutover_ground::config::TablePair;
use cutover_ground::pg::{connect_reading, failure, is_passing};

/// The tables of all pairs, as they are compared, and a connection to look at them again.
pub(super) struct Tables<'a> {
    pub(super) looker: PgConnection,
    pub(super) database_url: &'a str,
    pub(super) pairs: &'a [TablePair],
    pub(super) plans: Vec<PairPlan>,
    /// Which side of each is written to.
    pub(super) directions: Vec<Direction>,
    pub(super) frames: Vec<Frame>,
    /// What was told of each, and of which partitions.
    pub(super) told: Vec<Told>,
}

/// What the catalogs said of a pair.
pub(super) struct Told {
    pub(super) findings: Vec<Finding>,
    /// The relations that held the rows of each side then.
    pub(super) parts: [BTreeSet<i64>; 2],
}

impl Tables<'_> {
    /// The relations that hold the rows of each side of a pair by now.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn parts(&mut self, pair: usize) -> Result<[BTreeSet<i64>; 2]> {
        let mut parts = [BTreeSet::new(), BTreeSet::new()];
        for side in Side::BOTH {
            let found = relations(&mut self.looker, &self.plans[pair], side).await?;
            parts[side as usize] = found.into_keys().collect();
        }
        Ok(parts)
    }

    /// What became of a pair's tables since its plan was made.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn changes(&mut self, pair: usize) -> Result<Changes> {
        let looked = self.frames[pair].changes(&mut self.looker, &self.plans[pair]).await;
        match looked {
            // The connection may be what was lost.
            Err(error) if is_passing(&error) => {
                self.looker = connect_reading(self.database_url).await?;
                self.frames[pair].changes(&mut self.looker, &self.plans[pair]).await
            }
            looked => looked,
        }
    }

    /// Makes the plan of a pair anew.
    ///
    /// # Errors
    /// As [`PairPlan::make`].
    pub(super) async fn look_again(&mut self, pair: usize) -> Result<()> {
        let made = PairPlan::make(&mut self.looker, &self.pairs[pair], self.database_url).await?;
        self.plans[pair] = made.0;
        Ok(())
    }
}

/// What is compared beside the relations that hold the rows: columns, triggers, what the names stand for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame([HashMap<String, String>; 2]);

/// What became of the tables of a pair since they were looked at.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Whether there are leaves that were not there.
    pub(super) added: bool,
    /// What is no longer what was read; in words.
    pub(super) moved: Vec<String>,
    /// What the findings about the catalogs no longer hold for; in words.
    pub(super) altered: Vec<String>,
}

/// A relation that holds rows: its name, the file that holds them, its bounds.
type Relation = (String, i64, String);

impl Frame {
    /// Looks at the tables of a pair.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn of(connection: &mut PgConnection, plan: &PairPlan) -> Result<Self> {
        let mut sides = [HashMap::new(), HashMap::new()];
        for side in Side::BOTH {
            let table = plan.table(side);
            let frame = sqlx::query_as(sql::FRAME)
                .bind(table.oid)
                .bind(table.name.to_string())
                .fetch_all(&mut *connection)
                .await;
            let what = || format!("cannot look again at {}", table.name);
            let frame: Vec<(String, String)> = frame.map_err(|e| failure(what(), &e))?;
            sides[side as usize] = frame.into_iter().collect();
        }
        Ok(Self(sides))
    }

    /// What became of the tables since this look and the making of the plan.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn changes(
        &self,
        connection: &mut PgConnection,
        plan: &PairPlan,
    ) -> Result<Changes> {
        let mut changes = Changes::default();
        let now = Self::of(connection, plan).await?;
        for side in Side::BOTH {
            let table = &plan.table(side).name;
            let [before, now] = [self, &now].map(|frame| &frame.0[side as usize]);
            let parts: HashSet<&String> = before.keys().chain(now.keys()).collect();
            let differing = parts.into_iter().filter(|part| before.get(*part) != now.get(*part));
            let mut altered: Vec<String> = differing
                .filter_map(|part| match (before.get(part), now.get(part)) {
                    (Some(_), Some(_)) if part == sql::NAME => {
                        Some(format!("{table} is another table now"))
                    }
                    (Some(_), Some(_)) => Some(format!("{part} of {table} was altered")),
                    // It came or went with the part.
                    (None, _) | (_, None) if part.starts_with(sql::PART) => None,
                    (_, None) => Some(format!("{part} of {table} is gone")),
                    // Its rows are younger than the snapshot.
                    (None, _) if part.starts_with(sql::CHILD) => None,
                    (None, _) => Some(format!("{part} of {table} is new")),
                })
                .collect();
            altered.sort();
            changes.altered.extend(altered);
            let found = relations(connection, plan, side).await?;
            compare(plan, side, &found, &mut changes);
        }
        Ok(changes)
    }
}

/// The relations that hold the rows of a side, by their object identifiers.
async fn relations(
    connection: &mut PgConnection,
    plan: &PairPlan,
    side: Side,
) -> Result<HashMap<i64, Relation>> {
    let table = plan.table(side);
    let found = sqlx::query_as(AssertSqlSafe(sql::relations())).bind(table.oid);
    let found = found.fetch_all(connection).await;
    let found: Vec<(i64, String, i64, String)> =
        found.map_err(|e| failure(format!("cannot look again at {}", table.name), &e))?;
    let found = found.into_iter().map(|(oid, name, file, bound)| (oid, (name, file, bound)));
    Ok(found.collect())
}

fn compare(plan: &PairPlan, side: Side, found: &HashMap<i64, Relation>, changes: &mut Changes) {
    let known: HashSet<i64> = plan.leaves(side).iter().map(|leaf| leaf.oid).collect();
    changes.added |= found.keys().any(|oid| !known.contains(oid));
    for leaf in plan.leaves(side) {
        let what = match found.get(&leaf.oid) {
            None => "was detached or dropped",
            Some((_, file, _)) if *file != leaf.file => "was emptied or rewritten",
            Some((_, _, bound)) if *bound != leaf.bound => "has other bounds",
            Some((name, ..)) if *name != leaf.display => "has another name",
            Some(_) => continue,
        };
        changes.moved.push(format!("{} {what}", leaf.display));
    }
}

impl Changes {
    /// Whether what was read is still there, and what was found still holds.
    pub(super) fn holds(&self) -> bool {
        self.moved.is_empty() && self.altered.is_empty()
    }

    /// Whether all is as it was.
    pub(super) fn is_empty(&self) -> bool {
        !self.added && self.moved.is_empty() && self.altered.is_empty()
    }

    /// What is no longer what was read, the first of it, in words.
    pub(super) fn words(&self) -> String {
        const SHOWN: usize = 3;
        let all: Vec<&String> = self.altered.iter().chain(&self.moved).collect();
        let more = all.len().saturating_sub(SHOWN);
        let shown: Vec<&str> = all.iter().take(SHOWN).map(|text| text.as_str()).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more}", shown.join(", "))
    }
}
