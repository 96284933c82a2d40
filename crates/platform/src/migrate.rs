//! Brings the reference schema to its newest version; running it again changes nothing.

use chrono::{Datelike, Months, NaiveDate};
use sqlx::{Connection, PgConnection};

use super::sql;
use crate::database;
use crate::error::{Context, Result};

/// The migrations in order: name and text.
const MIGRATIONS: [(&str, &str); 5] = [
    ("0001_tables", include_str!("migrations/0001_tables.sql")),
    ("0002_partitioned_twins", include_str!("migrations/0002_partitioned_twins.sql")),
    ("0003_dual_write", include_str!("migrations/0003_dual_write.sql")),
    ("0004_idempotency_keys", include_str!("migrations/0004_idempotency_keys.sql")),
    ("0005_carry_truncate", include_str!("migrations/0005_carry_truncate.sql")),
];

/// How many months of partitions stand before and after the month of `as_of`.
const MONTHS_BACK: u32 = 24;
const MONTHS_AHEAD: u32 = 3;

/// Applies the migrations that are not there yet, each in a transaction of its own, and makes the
/// monthly partitions from 24 months before `as_of` to 3 months after it.
///
/// Several processes may call it at once: an advisory lock lets them in one after the other.
///
/// # Errors
/// A run error that names the migration; that migration is rolled back whole.
pub async fn migrate(database_url: &str, as_of: NaiveDate) -> Result<()> {
    let mut connection = database::connect(database_url).await?;
    let place = database::describe(database_url);
    let failed = |what: &str| format!("cannot migrate {place}: {what}");
    sqlx::query(sql::MIGRATION_LOCK)
        .execute(&mut connection)
        .await
        .or_run(failed("lock"), "is another migration stuck?")?;
    sqlx::query(sql::MIGRATION_TABLE)
        .execute(&mut connection)
        .await
        .or_run(failed("schema_migrations"), "may this user create tables?")?;
    for (name, text) in MIGRATIONS {
        apply(&mut connection, name, text).await.or_run(
            failed(name),
            "the tables may have been made by other means; use an empty database",
        )?;
    }
    let first = as_of.with_day(1).unwrap_or(as_of) - Months::new(MONTHS_BACK);
    sqlx::query(sql::ENSURE_PARTITIONS)
        .bind(first)
        .bind(as_of + Months::new(MONTHS_AHEAD))
        .execute(&mut connection)
        .await
        .or_run(failed("monthly partitions"), "")?;
    // Closing the session gives the lock back.
    connection.close().await.or_run(failed("close"), "")
}

/// Whether the reference schema was begun in this database: [`migrate`] then finishes it, also if
/// it was interrupted between two migrations, and makes the partitions that are missing.
///
/// # Errors
/// A run error if the database cannot be asked.
pub async fn is_begun(database_url: &str) -> Result<bool> {
    let mut connection = database::connect(database_url).await?;
    let what = format!("cannot read the schema of {}", database::describe(database_url));
    sqlx::query_scalar(sql::IS_BEGUN).fetch_one(&mut connection).await.or_run(what, "")
}

async fn apply(
    connection: &mut PgConnection,
    name: &'static str,
    text: &'static str,
) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    let claimed = sqlx::query(sql::MIGRATION_RECORD).bind(name).execute(&mut *transaction).await?;
    if claimed.rows_affected() == 1 {
        sqlx::raw_sql(text).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
