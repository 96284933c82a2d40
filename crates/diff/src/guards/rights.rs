//! Who may use the two sides, and which rows of them.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;

use super::{Sides, sql};
use crate::direction::Direction;
use crate::schema::Side;
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::failure;

/// Rights on the written side whose holders have not the same on the other: reads are routed there, and a
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
    let asked = sqlx::query_as(sql::RIGHTS)
        .bind(from.oid)
        .bind(to.oid)
        .bind(names(sides.written))
        .bind(names(sides.kept()));
    let refused = |error| failure(format!("cannot read the rights on {}", from.name), &error);
    let missing: Vec<(String, String, String)> =
        asked.fetch_all(&mut *connection).await.map_err(refused)?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let writes_as_owner = direction.by_triggers() && carried_by_owner(connection, sides).await?;
    let needed = |right: &&(String, String, String)| {
        right.1 == "SELECT" || right.1.starts_with("USAGE") || !writes_as_owner
    };
    let mut by_holder: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for (holder, right, column) in missing.iter().filter(needed) {
        by_holder.entry((holder, column)).or_default().push(right);
    }
    let told = by_holder.into_iter().map(|((holder, column), rights)| {
        let grant = |right: &&str| match (right.starts_with("USAGE"), column) {
            (true, _) => format!("GRANT {right} TO {holder}"),
            (false, "") => format!("GRANT {right} ON {} TO {holder}", to.name),
            (false, column) => format!("GRANT {right} ({column}) ON {} TO {holder}", to.name),
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
        let table = sides.plan.table(side);
        let refused =
            |error| failure(format!("cannot read the policies of {}", table.name), &error);
        let asked = sqlx::query_as(sql::POLICIES).bind(table.oid);
        let found: (bool, bool, Vec<String>) =
            asked.fetch_one(&mut *connection).await.map_err(refused)?;
        of.push(found);
    }
    let (enabled, forced, policies) = &of[0];
    let mut policies: Vec<String> = policies.iter().map(|one| sides.in_kept_names(one)).collect();
    policies.sort();
    let (kept_enabled, kept_forced, kept_policies) = &of[1];
    // Policies of a table without row security say nothing.
    let alike = match (enabled, kept_enabled) {
        (false, false) => true,
        (true, true) => forced == kept_forced && policies == *kept_policies,
        _ => false,
    };
    if alike {
        return Ok(None);
    }
    let [from, to] = [sides.written, sides.kept()].map(|side| &sides.plan.table(side).name);
    let words = |enabled: &bool, forced: &bool, policies: &[String]| {
        let on = match (enabled, forced) {
            (false, _) => "off",
            (true, false) => "on",
            (true, true) => "forced",
        };
        let policies = if policies.is_empty() { "no policy".into() } else { policies.join(" · ") };
        format!("{on}, {policies}")
    };
    let detail = format!(
        "row security is {} on {from} and {} on {to}: the application sees other rows on one side than on the \
         other; give both the same",
        words(enabled, forced, &policies),
        words(kept_enabled, kept_forced, kept_policies)
    );
    Ok(Some(sides.plan.finding(CatalogClass::RowSecurityDiffers, Severity::Error, detail)))
}
