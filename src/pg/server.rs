//! Questions about the server and the database as a whole.

use super::{connect, describe, sql};
use crate::error::{Context, Result};

/// The server's version as it states it.
///
/// # Errors
/// Where the server cannot be reached.
pub async fn server_version(database_url: &str) -> Result<String> {
    ask(database_url, sql::SERVER_VERSION).await
}

/// Whether the database holds no table of anybody's.
///
/// # Errors
/// Where the server cannot be reached.
pub async fn is_empty(database_url: &str) -> Result<bool> {
    ask(database_url, sql::IS_EMPTY).await
}

async fn ask<T>(database_url: &str, question: &'static str) -> Result<T>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    T: Send + Unpin,
{
    let mut connection = connect(database_url).await?;
    let (answer,) = sqlx::query_as::<_, (T,)>(question)
        .fetch_one(&mut connection)
        .await
        .or_run(format!("PostgreSQL at {} does not answer", describe(database_url)), "")?;
    Ok(answer)
}
