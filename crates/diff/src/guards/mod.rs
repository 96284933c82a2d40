//! What guards the two sides: a side that takes the writes of the other must take all of them, and whoever may
//! use the one must be let in by the other.
//!
//! Constraints are compared by the words in which PostgreSQL prints them, with the columns by the names of the
//! other side. What the written side has as well, or what follows from it, is no difference.

mod rights;
mod sql;
mod types;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::direction::Direction;
use super::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::{failure, of_tree};

/// Looks at what guards both sides of a pair.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn check(
    connection: &mut PgConnection,
    plan: &PairPlan,
    direction: &Direction,
) -> Result<Vec<Finding>> {
    let sides = Sides { plan, written: direction.written };
    let mut findings = constraints(connection, &sides).await?;
    findings.extend(uniques(connection, &sides).await?);
    findings.extend(not_null(connection, &sides).await?);
    findings.extend(types::check(connection, &sides).await?);
    findings.extend(rights::check(connection, &sides, direction).await?);
    findings.extend(rights::row_security(connection, &sides).await?);
    Ok(findings)
}

/// A pair by the way that its writes take.
struct Sides<'a> {
    plan: &'a PairPlan,
    written: Side,
}

impl Sides<'_> {
    /// The side that is kept.
    fn kept(&self) -> Side {
        match self.written {
            Side::Legacy => Side::Partitioned,
            Side::Partitioned => Side::Legacy,
        }
    }

    fn oid(&self, side: Side) -> i64 {
        self.plan.table(side).oid
    }

    /// A column of the written side as the kept one calls it.
    fn kept_name<'n>(&'n self, column: &'n str) -> &'n str {
        let known = self.plan.columns.iter().find(|known| known.on(self.written) == column);
        known.map_or(column, |known| known.on(self.kept()))
    }

    /// A definition of the written side in the names of the kept one.
    fn in_kept_names(&self, definition: &str) -> String {
        let of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let mut renamed = String::with_capacity(definition.len());
        let mut word = String::new();
        for c in definition.chars().chain([' ']) {
            if of_name(c) {
                word.push(c);
            } else {
                renamed.push_str(self.kept_name(&word));
                word.clear();
                renamed.push(c);
            }
        }
        renamed.truncate(renamed.trim_end().len());
        renamed
    }

    fn stricter(&self, columns: Vec<String>, detail: String) -> Finding {
        let finding = self.plan.finding(CatalogClass::TwinStricter, Severity::Error, detail);
        Finding { columns, ..finding }
    }

    fn looser(&self, columns: Vec<String>, detail: String) -> Finding {
        let finding = self.plan.finding(CatalogClass::TwinLooser, Severity::Advice, detail);
        Finding { columns, ..finding }
    }
}

/// A constraint: name, kind, table, whether it is the table's own, definition, columns.
type Constraint = (String, String, String, bool, String, Vec<String>);

async fn constraints(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<Vec<Finding>> {
    let written = constraints_of(connection, sides, sides.written).await?;
    let kept = constraints_of(connection, sides, sides.kept()).await?;
    let table = &sides.plan.table(sides.written).name;
    let own = |all: &[Constraint]| -> Vec<String> {
        all.iter().filter(|one| one.3).map(|one| one.4.clone()).collect()
    };
    let known: Vec<String> = own(&written).iter().map(|text| sides.in_kept_names(text)).collect();
    let mut findings = Vec::new();
    for (name, kind, on_table, direct, definition, columns) in &kept {
        // A partition's bounds are often spelled as a CHECK before it is attached.
        let is_bound = !direct && kind == "c" && is_of_bounds(sides.plan, columns);
        if known.contains(definition) || is_bound || asks_for_a_value(sides, definition, columns) {
            continue;
        }
        let detail = format!(
            "{on_table} has the constraint {name}, {definition}, which {table} has not: what it refuses there \
             is taken here, and the write fails or is not carried; drop it, or add it to {table}, too"
        );
        findings.push(sides.stricter(columns.clone(), detail));
    }
    let there = own(&kept);
    for (name, _, _, _, definition, columns) in written.iter().filter(|one| one.3) {
        if there.contains(&sides.in_kept_names(definition)) {
            continue;
        }
        let twin = &sides.plan.table(sides.kept()).name;
        let detail = format!(
            "{table} has the constraint {name}, {definition}, which {twin} has not: nothing guards it once \
             writes go to {twin}"
        );
        findings.push(sides.looser(columns.clone(), detail));
    }
    Ok(findings)
}

async fn constraints_of(
    connection: &mut PgConnection,
    sides: &Sides<'_>,
    side: Side,
) -> Result<Vec<Constraint>> {
    let asked = sqlx::query_as(AssertSqlSafe(of_tree(sql::CONSTRAINTS))).bind(sides.oid(side));
    let what = || format!("cannot read the constraints of {}", sides.plan.table(side).name);
    asked.fetch_all(connection).await.map_err(|error| failure(what(), &error))
}

/// Whether columns are those that partitions are made by, and no others.
fn is_of_bounds(plan: &PairPlan, columns: &[String]) -> bool {
    let leaves = plan.leaves(Side::Partitioned).iter();
    let bounds: Vec<&str> =
        leaves.filter_map(|leaf| leaf.partition_constraint.as_deref()).collect();
    let by = &plan.table(Side::Partitioned).partition_columns;
    let named = |column: &String| {
        by.contains(column) || bounds.iter().any(|bound| bound.contains(column.as_str()))
    };
    !columns.is_empty() && !bounds.is_empty() && columns.iter().all(named)
}

/// Whether a CHECK asks no more than that a column, which the written side keeps from being NULL, is not.
fn asks_for_a_value(sides: &Sides<'_>, definition: &str, columns: &[String]) -> bool {
    let [column] = columns else { return false };
    let plain = definition == format!("CHECK (({column} IS NOT NULL))");
    let known = sides.plan.columns.iter().find(|known| known.on(sides.kept()) == column);
    let written =
        known.and_then(|known| sides.plan.table(sides.written).column(known.on(sides.written)));
    plain && written.is_some_and(|column| column.not_null)
}

/// A unique index: name, table, whether it is the table's own, valid, computed, predicate, whether NULLs are
/// equal, definition, columns.
type Unique = (String, String, bool, bool, bool, String, bool, String, Vec<String>);

async fn uniques(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<Vec<Finding>> {
    let mut of = Vec::new();
    for side in [sides.written, sides.kept()] {
        let asked = sqlx::query_as(AssertSqlSafe(of_tree(sql::UNIQUES))).bind(sides.oid(side));
        let what = || format!("cannot read the indexes of {}", sides.plan.table(side).name);
        let found: Vec<Unique> =
            asked.fetch_all(&mut *connection).await.map_err(|error| failure(what(), &error))?;
        of.push(found);
    }
    let table = &sides.plan.table(sides.written).name;
    // A partitioned table cannot keep rows apart without the columns that it is divided by.
    let by = &sides.plan.table(sides.written).partition_columns;
    let possible = |kept: &&Unique| {
        by.iter().all(|column| kept.8.iter().any(|k| k == sides.kept_name(column)))
    };
    let refused = of[1]
        .iter()
        .filter(possible)
        .filter(|kept| !of[0].iter().any(|one| sides.implies(one, kept)));
    let told = refused.map(|(name, on_table, _, _, _, _, _, definition, columns)| {
        let detail = format!(
            "{on_table} has the unique index {name}, {definition}, and nothing of {table} keeps the same rows \
             apart: rows that are taken there are refused here; make it no longer unique, or make {table} \
             unique in the same columns"
        );
        sides.stricter(columns.clone(), detail)
    });
    Ok(told.collect())
}

impl Sides<'_> {
    /// Whether what one index of the written side keeps apart, an index of the kept side keeps apart as well.
    fn implies(&self, written: &Unique, kept: &Unique) -> bool {
        let (_, _, direct, valid, computed, predicate, nulls_equal, definition, columns) = written;
        let (_, _, _, _, kept_computed, kept_predicate, kept_nulls, kept_definition, kept_columns) =
            kept;
        if !direct || !valid {
            return false;
        }
        let same_rows = predicate.is_empty() || self.in_kept_names(predicate) == *kept_predicate;
        if *computed || *kept_computed {
            return same_rows && self.in_kept_names(definition) == *kept_definition;
        }
        let nullable = |column: &String| {
            let column = self.plan.table(self.written).column(column);
            column.is_none_or(|column| !column.not_null)
        };
        let nulls = *nulls_equal || !kept_nulls || !columns.iter().any(nullable);
        let within =
            |column: &String| kept_columns.iter().any(|kept| kept == self.kept_name(column));
        same_rows && nulls && columns.iter().all(within)
    }
}

/// Columns that only the kept side, or a partition of it, keeps from being NULL.
async fn not_null(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<Vec<Finding>> {
    let kept = sides.plan.table(sides.kept());
    let written = sides.plan.table(sides.written);
    let asked = sqlx::query_as(AssertSqlSafe(of_tree(sql::NOT_NULL_BELOW))).bind(kept.oid);
    let what = || format!("cannot read the columns below {}", kept.name);
    let below: Vec<(String, String)> =
        asked.fetch_all(&mut *connection).await.map_err(|error| failure(what(), &error))?;
    let guarded = constraints_of(connection, sides, sides.written).await?;
    let mut findings = Vec::new();
    for column in &sides.plan.columns {
        let (here, there) = (column.on(sides.written), column.on(sides.kept()));
        let is_null = written.column(here).is_some_and(|column| !column.not_null);
        let by_check = format!("CHECK (({here} IS NOT NULL))");
        if !is_null || guarded.iter().any(|one| one.3 && one.4 == by_check) {
            continue;
        }
        let on_table = match below.iter().find(|(name, _)| name == there) {
            _ if kept.column(there).is_some_and(|column| column.not_null) => kept.name.to_string(),
            Some((_, leaf)) => leaf.clone(),
            None => continue,
        };
        let detail = format!(
            "{on_table}.{there} is NOT NULL, {}.{here} may be NULL: a row without a value is taken there and \
             refused here; drop NOT NULL, or set it on {}, too",
            written.name, written.name
        );
        findings.push(sides.stricter(vec![here.to_owned()], detail));
    }
    Ok(findings)
}
