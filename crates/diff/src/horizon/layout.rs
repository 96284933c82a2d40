//! What takes rows of a twin, and some of the rows that are there.

use std::collections::BTreeSet;

use serde::Deserialize;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::sql;
use crate::schema::{LEAVES_AT_ONCE, PairPlan, Side};
use cutover_error::Result;
use cutover_ground::pg::catalog::{self, Leaf, Level};
use cutover_ground::pg::{Bound, failure};

/// Leaves in which rows are looked for, where the newest hold none.
const SAMPLED_LEAVES: usize = 40 * LEAVES_AT_ONCE;

/// What takes rows, and what it looks at.
pub(super) struct Layout {
    /// Columns that conditions look at, with the types to cast texts to.
    pub(super) columns: Vec<(String, String)>,
    /// What each leaf takes, those made last first; DEFAULT and what is below it left out.
    pub(super) takes: Vec<String>,
    /// Where rows are, those made last first; empty if they are read through the table itself.
    leaves: Vec<Leaf>,
    /// Whether tables are made as rows come.
    pub(super) grows: bool,
    /// Columns that only a hash looks at: any value stands for all, unless ranges or lists are below it.
    pub(super) hashed: BTreeSet<String>,
    /// Whether ranges or lists are below a hash, of which each part may have other ones.
    pub(super) below_hash: bool,
    /// What the table is divided by, if that is expressions alone.
    pub(super) expression: Option<String>,
}

/// A table that inherits.
#[derive(Deserialize)]
struct Child {
    takes: String,
    columns: Vec<String>,
}

impl Layout {
    /// `None` if a hash alone divides the table, or an extension makes a table for whatever comes.
    pub(super) async fn read(
        connection: &mut PgConnection,
        plan: &PairPlan,
        levels: &[Level],
    ) -> Result<Option<Self>> {
        let twin = plan.table(Side::Partitioned);
        let mut leaves = plan.leaves(Side::Partitioned).to_vec();
        leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.oid));
        let (takes, names, grows): (Vec<String>, BTreeSet<String>, bool) = if levels.is_empty() {
            let children = catalog::rows::<Child>(connection, &twin.name, sql::INHERITED, |q| {
                q.bind(twin.oid)
            });
            let children = children.await?;
            let names = children.iter().flat_map(|child| child.columns.clone()).collect();
            let grows = sqlx::query_as(sql::MAKES_TABLES).bind(twin.oid).fetch_one(connection);
            let (chunks, grows): (bool, bool) =
                grows.await.map_err(|e| failure(format!("cannot look at {}", twin.name), &e))?;
            if chunks {
                return Ok(None);
            }
            leaves.clear();
            (children.into_iter().map(|child| child.takes).collect(), names, grows)
        } else if levels.iter().all(|level| level.strategy == "h") {
            return Ok(None);
        } else {
            let defaults = below_defaults(levels);
            let taken = leaves.iter().filter(|leaf| {
                !leaf.is_default() && !leaf.parent.is_some_and(|parent| defaults.contains(&parent))
            });
            let takes = taken.filter_map(|leaf| leaf.partition_constraint.clone()).collect();
            (takes, levels.iter().flat_map(|level| level.looks_at.clone()).collect(), false)
        };
        let typed = |name: String| {
            let type_name = twin.column(&name)?.bare_type.clone();
            Some((name, type_name))
        };
        let columns: Vec<_> = names.into_iter().filter_map(typed).collect();
        let readable = plan.is_read_by_leaf(Side::Partitioned);
        let leaves = if readable { leaves } else { Vec::new() };
        let looked_at = |hash: bool| {
            let levels = levels.iter().filter(move |level| (level.strategy == "h") == hash);
            levels.flat_map(|level| level.looks_at.clone()).collect::<BTreeSet<_>>()
        };
        let hashed = looked_at(true).difference(&looked_at(false)).cloned().collect();
        let below_hash =
            levels.iter().any(|level| level.strategy != "h" && is_below_hash(level, levels));
        let root = levels.iter().find(|level| level.parent.is_none() && level.columns.is_empty());
        let expression = root.and_then(|level| level.expression.clone());
        Ok(Some(Self { columns, takes, leaves, grows, hashed, below_hash, expression }))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Partitioned tables that take what no other partition takes, and all below them.
fn below_defaults(levels: &[Level]) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    // Those above come first.
    for level in levels {
        let is_below = level.parent.is_some_and(|parent| found.contains(&parent));
        if is_below || level.own_bound() == Some(Bound::Default) {
            found.insert(level.oid);
        }
    }
    found
}

fn is_below_hash(level: &Level, levels: &[Level]) -> bool {
    let above = |level: &Level| levels.iter().find(|other| Some(other.oid) == level.parent);
    let mut ancestors = std::iter::successors(above(level), |level| above(level));
    ancestors.any(|level| level.strategy == "h")
}

/// A row where conditions look at it: for each column a text, or NULL.
pub(super) type Row = Vec<Option<String>>;

/// A row that is there, and the partitioned table that its leaf is a part of.
pub(super) struct Sample {
    pub(super) parent: i64,
    pub(super) row: Row,
}

impl From<(i64, Row)> for Sample {
    fn from((parent, row): (i64, Row)) -> Self {
        Self { parent, row }
    }
}

/// Some rows of each partitioned table of the tree, the newest leaves' first; of legacy if the twin has none.
pub(super) async fn samples(
    connection: &mut PgConnection,
    plan: &PairPlan,
    layout: &Layout,
) -> Result<Vec<Sample>> {
    let what = || format!("cannot read rows of {}", plan.table(Side::Partitioned).name);
    let names = layout.names();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let parents: BTreeSet<Option<i64>> = layout.leaves.iter().map(|leaf| leaf.parent).collect();
    for leaves in layout.leaves.chunks(LEAVES_AT_ONCE).take(SAMPLED_LEAVES / LEAVES_AT_ONCE) {
        let unseen: Vec<&Leaf> =
            leaves.iter().filter(|leaf| !seen.contains(&leaf.parent.unwrap_or_default())).collect();
        if unseen.is_empty() {
            continue;
        }
        let query = sql::samples(&unseen, &names);
        let rows = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await;
        let rows: Vec<(i64, Row)> = rows.map_err(|e| failure(what(), &e))?;
        seen.extend(rows.iter().map(|(parent, _)| *parent));
        found.extend(rows.into_iter().map(Sample::from));
        if seen.len() >= parents.len() {
            break;
        }
    }
    let on_legacy: Option<Vec<String>> = names
        .iter()
        .map(|name| {
            let column = plan.columns.iter().find(|c| c.on(Side::Partitioned) == name)?;
            Some(column.on(Side::Legacy).to_owned())
        })
        .collect();
    // Relation by relation: a statement about all leaves of a large table would cost the server too much.
    let asked = [(Side::Partitioned, Some(names)), (Side::Legacy, on_legacy)];
    for (side, names) in asked {
        let Some(names) = names else { continue };
        if side == Side::Partitioned && !layout.leaves.is_empty() {
            continue;
        }
        for from in plan.relations(side).iter().take(LEAVES_AT_ONCE) {
            if !found.is_empty() {
                break;
            }
            let query = sql::sample(0, from, &names, 100);
            let rows = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await;
            let rows: Vec<(i64, Row)> = rows.map_err(|e| failure(what(), &e))?;
            found.extend(rows.into_iter().map(Sample::from));
        }
    }
    Ok(found)
}
