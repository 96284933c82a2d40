//! Which tables a write of a table reaches, found out by trying: for triggers that make their statements up.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgDatabaseError;

use super::Reach;
use super::sql;
use crate::pg::catalog::Table;
use crate::pg::{connect, quote_ident};
use cutover_error::Result;

/// What a trial showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Tried {
    /// The tables that were written, the one that was tried among them, by the oids of their roots.
    Wrote(BTreeSet<i64>),
    /// Nothing; why.
    Not(String),
}

/// Writes a row of a table as it is, deletes it and puts it back, in a transaction that is always undone,
/// and holds it for less than 200 ms. It is not done if the triggers take what undoing does not give back;
/// `other` is the table that they may write without naming it.
///
/// # Errors
/// A run error if the server cannot be reached.
pub async fn try_writes(
    database_url: &str,
    reach: &Reach,
    table: &Table,
    other: i64,
) -> Result<Tried> {
    let effects = ["INSERT", "UPDATE", "DELETE"]
        .into_iter()
        .flat_map(|event| reach.effects(table.oid, event, other));
    let effects: BTreeSet<String> = effects.map(|effect| effect.to_string()).collect();
    if !effects.is_empty() {
        return Ok(Tried::Not(effects.into_iter().collect::<Vec<_>>().join("; ")));
    }
    let columns = table.columns.iter().filter(|column| !column.generated);
    let columns: Vec<String> = columns.map(|column| quote_ident(&column.name)).collect();
    let plan = json!({
        "table": table.name.to_string(), "columns": columns.join(", "), "column": columns.first(),
    });
    let mut connection = connect(database_url).await?;
    let script = sql::trial(&plan.to_string());
    let outcome = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await;
    // Dropped rather than closed: it stands in a failed transaction and ends with its session.
    drop(connection);
    let error = match outcome {
        Ok(_) => return Ok(Tried::Not("it ended without a word".into())),
        Err(error) => error,
    };
    let refusal = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>());
    let wrote =
        refusal.filter(|refusal| refusal.code() == "CU000").and_then(PgDatabaseError::detail);
    Ok(match wrote.and_then(|wrote| serde_json::from_str(wrote).ok()) {
        Some(wrote) => Tried::Wrote(wrote),
        None => Tried::Not(error.to_string()),
    })
}
