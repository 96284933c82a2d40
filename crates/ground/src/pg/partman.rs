//! What `pg_partman` says of the tables that it keeps.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::catalog::Listed;
use super::{QualifiedName, failure, sql};
use cutover_error::Result;

/// The tables that partitions are made after, as `schema.table`, if the extension is there and lets us read;
/// `tables` are all tables of the database. They hold no rows and are nobody's twin.
///
/// # Errors
/// A run error if the server fails.
pub async fn templates(connection: &mut PgConnection, tables: &[Listed]) -> Result<Vec<String>> {
    let keeps = |table: &&Listed| {
        let has_column = table.columns.iter().any(|column| column == "template_table");
        table.name == "part_config" && table.readable && has_column
    };
    let mut found = Vec::new();
    for table in tables.iter().filter(keeps) {
        let name = QualifiedName { schema: table.schema.clone(), name: table.name.clone() };
        let names = sqlx::query_scalar(AssertSqlSafe(sql::templates(&name))).persistent(false);
        let names = names.fetch_all(&mut *connection).await;
        let names: Vec<String> = names.map_err(|e| failure(format!("cannot read {name}"), &e))?;
        found.extend(names);
    }
    Ok(found)
}
