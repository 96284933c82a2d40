//! Who may use the two sides, and which rows of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use super::{Sides, sql};
use crate::direction::Direction;
use crate::schema::Side;
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::rows;
use cutover_ground::pg::{failure, quote_ident};

/// A right that its holder has not on the other side, too.
#[derive(Deserialize)]
struct Right {
    /// A role, or `public`.
    holder: String,
    privilege: String,
    /// The column as the other side calls it; empty for the whole table.
    column: String,
}

/// Rights on the written side whose holders have not the same on the other: if reads are routed there, and a
/// trigger writes there with the rights of whoever writes here, unless its function works with its owner's.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn check(
    connection: &mut PgConnection,
    sides: &Sides<'_>,
    direction: &Direction,
) -> Result<Vec<Finding>> {
    let [from, to] = [sides.written, sides.kept()].map(|side| sides.plan.table(side));
    let names = |side: Side| -> Vec<String> {
        sides.plan.columns.iter().map(|column| column.on(side).to_owned()).collect()
    };
    let (here, there) = (names(sides.written), names(sides.kept()));
    let missing: Vec<Right> = rows(connection, &from.name, sql::RIGHTS, |query| {
        query.bind(from.oid).bind(to.oid).bind(here).bind(there)
    })
    .await?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let writes_as_owner = direction.by_triggers() && carried_by_owner(connection, sides).await?;
    // Nobody reads the tables that were left behind.
    let is_read = sides.written == Side::Legacy;
    let mut by_holder: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Right { holder, privilege, column } in &missing {
        let needed = match privilege.as_str() {
            "SELECT" => is_read,
            privilege if privilege.starts_with("USAGE") => is_read || !writes_as_owner,
            _ => !writes_as_owner,
        };
        if needed {
            by_holder.entry((holder, column)).or_default().push(privilege);
        }
    }
    let told = by_holder.into_iter().map(|((holder, column), rights)| {
        let whom = if holder == "public" { "PUBLIC".to_owned() } else { quote_ident(holder) };
        let grant = |right: &&str| match (right.starts_with("USAGE"), column) {
            (true, _) => format!("GRANT {right} TO {whom}"),
            (false, "") => format!("GRANT {right} ON {} TO {whom}", to.name),
            (false, column) => {
                format!("GRANT {right} ({}) ON {} TO {whom}", quote_ident(column), to.name)
            }
        };
        let grants: Vec<String> = rights.iter().map(grant).collect();
        let detail = format!(
            "{holder} may use {} and has not the same rights on {} ({}): its statements fail there; {}",
            from.name,
            to.name,
            rights.join(", "),
            grants.join("; ")
        );
        let finding = sides.plan.finding(CatalogClass::GrantMissing, Severity::Error, detail);
        let columns = if column.is_empty() { Vec::new() } else { vec![column.to_owned()] };
        Finding { columns, ..finding }
    });
    Ok(told.collect())
}

/// Whether every trigger that may carry works with its owner's rights.
async fn carried_by_owner(connection: &mut PgConnection, sides: &Sides<'_>) -> Result<bool> {
    let table = sides.plan.table(sides.written);
    let triggers = table.triggers(&mut *connection).await?;
    let names: Vec<&str> = triggers.iter().map(|trigger| trigger.name.as_str()).collect();
    let asked = sqlx::query_scalar(sql::DEFINERS).bind(table.oid).bind(names);
    let refused = |error| failure(format!("cannot read the triggers of {}", table.name), &error);
    asked.fetch_one(connection).await.map_err(refused)
}

/// Row security of a table.
#[derive(Deserialize)]
struct RowSecurity {
    enabled: bool,
    /// Whether it holds for the owner, too.
    forced: bool,
    policies: Vec<String>,
}

impl RowSecurity {
    /// In words.
    fn words(&self) -> String {
        let on = match (self.enabled, self.forced) {
            (false, _) => return "off".into(),
            (true, false) => "on",
            (true, true) => "forced",
        };
        match self.policies.as_slice() {
            [] => format!("{on}, no policy"),
            policies => format!("{on}, {}", policies.join(" · ")),
        }
    }
}

/// Row security that lets other rows through on one side than on the other.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn row_security(
    connection: &mut PgConnection,
    sides: &Sides<'_>,
) -> Result<Option<Finding>> {
    let mut of = Vec::new();
    for side in [sides.written, sides.kept()] {
        let found: Vec<RowSecurity> = sides.ask(connection, side, sql::POLICIES).await?;
        of.extend(found);
    }
    let [written, kept] = of.as_mut_slice() else { return Ok(None) };
    for policy in &mut written.policies {
        *policy = sides.in_kept_names(policy);
    }
    // By bytes on both sides, whatever the server sorts by.
    written.policies.sort();
    kept.policies.sort();
    // Policies of a table without row security say nothing: its words are the same, too.
    if written.words() == kept.words() {
        return Ok(None);
    }
    let [from, to] = [sides.written, sides.kept()].map(|side| &sides.plan.table(side).name);
    let detail = format!(
        "row security is {} on {from} and {} on {to}: the application sees other rows on one side than on the \
         other; give both the same",
        written.words(),
        kept.words()
    );
    Ok(Some(sides.plan.finding(CatalogClass::RowSecurityDiffers, Severity::Error, detail)))
}
