//! What guards the two sides: a side that takes the writes of the other must take all of them, and whoever may
//! use the one must be let in by the other.
//!
//! Constraints are compared by the words in which PostgreSQL prints them, with the columns by the names of the
//! other side. What the written side has as well, or what follows from it, is no difference.

mod rights;
mod sql;
mod types;

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgConnection;

use super::direction::Direction;
use super::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::rows;
use cutover_ground::pg::{of_tree, quote_ident};

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

    /// Asks the catalogs about a side; `$1` is its table.
    async fn ask<T: DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        side: Side,
        query: &str,
    ) -> Result<Vec<T>> {
        let table = self.plan.table(side);
        rows(connection, &table.name, query, |query| query.bind(table.oid)).await
    }

    /// A column of the written side as the kept one calls it.
    fn kept_name<'n>(&'n self, column: &'n str) -> &'n str {
        let known = self.plan.columns.iter().find(|known| known.on(self.written) == column);
        known.map_or(column, |known| known.on(self.kept()))
    }

    /// A definition of the written side in the names of the kept one.
    fn in_kept_names(&self, definition: &str) -> String {
        let mut renamed = String::with_capacity(definition.len());
        let mut word = String::new();
        for c in definition.chars().chain([' ']) {
            if is_of_name(c) {
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
}

/// A constraint of a table, or one that a partition has for itself.
#[derive(Deserialize)]
struct Constraint {
    name: String,
    /// `c` CHECK, `f` foreign key, `x` exclusion.
    kind: String,
    on_table: String,
    /// Whether it is the table's own.
    direct: bool,
    definition: String,
    columns: Vec<String>,
}

async fn constraints(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<Vec<Finding>> {
    let written = sides.ask(connection, sides.written, &of_tree(sql::CONSTRAINTS)).await?;
    let kept: Vec<Constraint> =
        sides.ask(connection, sides.kept(), &of_tree(sql::CONSTRAINTS)).await?;
    let written: Vec<Constraint> =
        written.into_iter().filter(|one: &Constraint| one.direct).collect();
    let known: Vec<String> =
        written.iter().map(|one| sides.in_kept_names(&one.definition)).collect();
    let mut findings: Vec<Finding> = kept
        .iter()
        .filter(|one| !known.contains(&one.definition) && !sides.is_no_more(one))
        .map(|one| sides.stricter_by(one))
        .collect();
    let [from, to] = [sides.written, sides.kept()].map(|side| &sides.plan.table(side).name);
    let lacks =
        |definition: &String| !kept.iter().any(|one| one.direct && one.definition == *definition);
    for (one, _) in written.iter().zip(&known).filter(|(_, known)| lacks(known)) {
        let Constraint { name, definition, columns, .. } = one;
        let detail = format!(
            "{from} has the constraint {name}, {definition}, which {to} has not: nothing guards it once writes \
             go to {to}"
        );
        let finding = sides.plan.finding(CatalogClass::TwinLooser, Severity::Advice, detail);
        findings.push(Finding { columns: columns.clone(), ..finding });
    }
    Ok(findings)
}

impl Sides<'_> {
    fn stricter_by(&self, constraint: &Constraint) -> Finding {
        let Constraint { name, on_table, definition, columns, .. } = constraint;
        let table = &self.plan.table(self.written).name;
        let detail = format!(
            "{on_table} has the constraint {name}, {definition}, which {table} has not: what it refuses there \
             is taken here, and the write fails or is not carried; drop it, or add it to {table}, too"
        );
        self.stricter(columns.clone(), detail)
    }

    /// Whether a constraint of the kept side refuses nothing that gets there: it spells the bounds of a
    /// partition, as is done before one is attached, or asks for a value that the written side asks for, too.
    fn is_no_more(&self, constraint: &Constraint) -> bool {
        let Constraint { kind, direct, definition, columns, .. } = constraint;
        if !direct && kind == "c" && is_of_bounds(self.plan, columns) {
            return true;
        }
        let [column] = columns.as_slice() else { return false };
        let known = self.plan.columns.iter().find(|known| known.on(self.kept()) == column);
        let written =
            known.and_then(|known| self.plan.table(self.written).column(known.on(self.written)));
        asks_for(definition, column) && written.is_some_and(|column| column.not_null)
    }
}

/// Whether columns are those that partitions are made by, and no others. What such a CHECK asks beyond the
/// bounds is not seen.
fn is_of_bounds(plan: &PairPlan, columns: &[String]) -> bool {
    let leaves = plan.leaves(Side::Partitioned).iter();
    let bounds = leaves.filter_map(|leaf| leaf.partition_constraint.as_deref());
    let named: HashSet<&str> = bounds.flat_map(words).collect();
    !columns.is_empty() && columns.iter().all(|column| named.contains(column.as_str()))
}

/// Whether a CHECK asks for a value of a column, and no more.
fn asks_for(definition: &str, column: &str) -> bool {
    [column.to_owned(), quote_ident(column)]
        .iter()
        .any(|name| definition == format!("CHECK (({name} IS NOT NULL))"))
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// The names and words of an expression.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c| !is_of_name(c)).filter(|word| !word.is_empty())
}

/// A unique index of a table, or one that a partition has for itself.
#[derive(Deserialize)]
struct Unique {
    name: String,
    on_table: String,
    /// Whether it is the table's own.
    direct: bool,
    valid: bool,
    /// Whether it is over expressions.
    computed: bool,
    predicate: String,
    /// Whether two NULLs are the same.
    nulls_equal: bool,
    definition: String,
    columns: Vec<String>,
}

async fn uniques(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<Vec<Finding>> {
    let written: Vec<Unique> = sides.ask(connection, sides.written, &of_tree(sql::UNIQUES)).await?;
    let kept: Vec<Unique> = sides.ask(connection, sides.kept(), &of_tree(sql::UNIQUES)).await?;
    let table = sides.plan.table(sides.written);
    // A partitioned table cannot keep rows apart without the columns that it is divided by.
    let possible = |kept: &&Unique| {
        let has = |column: &String| kept.columns.iter().any(|own| own == sides.kept_name(column));
        table.partition_columns.iter().all(has)
    };
    let refused = kept
        .iter()
        .filter(possible)
        .filter(|kept| !written.iter().any(|one| sides.implies(one, kept)));
    let told = refused.map(|Unique { name, on_table, definition, columns, .. }| {
        let table = &table.name;
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
    /// Whether what an index of the kept side keeps apart, one of the written side keeps apart as well.
    fn implies(&self, written: &Unique, kept: &Unique) -> bool {
        if !written.direct || !written.valid {
            return false;
        }
        let same_rows = written.predicate.is_empty()
            || self.in_kept_names(&written.predicate) == kept.predicate;
        if written.computed || kept.computed {
            return same_rows && self.in_kept_names(&written.definition) == kept.definition;
        }
        let nullable = |column: &String| {
            let column = self.plan.table(self.written).column(column);
            column.is_none_or(|column| !column.not_null)
        };
        let nulls =
            written.nulls_equal || !kept.nulls_equal || !written.columns.iter().any(nullable);
        let within = |column: &String| kept.columns.iter().any(|own| own == self.kept_name(column));
        same_rows && nulls && written.columns.iter().all(within)
    }
}

/// A column that a partition alone keeps from being NULL.
#[derive(Deserialize)]
struct NotNull {
    column: String,
    on_table: String,
}

/// Columns that only the kept side, or a partition of it, keeps from being NULL.
async fn not_null(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<Vec<Finding>> {
    let [written, kept] = [sides.written, sides.kept()].map(|side| sides.plan.table(side));
    let below: Vec<NotNull> =
        sides.ask(connection, sides.kept(), &of_tree(sql::NOT_NULL_BELOW)).await?;
    let guards: Vec<Constraint> =
        sides.ask(connection, sides.written, &of_tree(sql::CONSTRAINTS)).await?;
    let mut findings = Vec::new();
    for column in &sides.plan.columns {
        let (here, there) = (column.on(sides.written), column.on(sides.kept()));
        let may_be_null = written.column(here).is_some_and(|column| !column.not_null)
            && !guards.iter().any(|one| one.direct && asks_for(&one.definition, here));
        let on_table = match below.iter().find(|leaf| leaf.column == there) {
            _ if !may_be_null => continue,
            _ if kept.column(there).is_some_and(|column| column.not_null) => kept.name.to_string(),
            Some(leaf) => leaf.on_table.clone(),
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
