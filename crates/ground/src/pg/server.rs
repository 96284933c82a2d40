//! Questions about the server and the database as a whole.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;

use super::{Shared, describe, failure, sql};
use cutover_error::{Context, Result};
use cutover_evidence::trigger::TriggerState;

/// The server's version as it states it.
///
/// # Errors
/// If the server cannot be reached.
pub async fn server_version(database_url: &str) -> Result<String> {
    ask(database_url, sql::SERVER_VERSION).await
}

/// In which sessions each of these triggers fires, each named by its table and its own name; `None`
/// for one that is not there.
///
/// # Errors
/// If the server cannot be reached.
pub async fn trigger_states(
    database_url: &str,
    tables: &[String],
    triggers: &[String],
) -> Result<Vec<Option<TriggerState>>> {
    let mut shared = Shared::connect(database_url, QUESTION_LIMIT).await?;
    let asked = sqlx::query_as(sql::TRIGGER_STATES).bind(tables).bind(triggers);
    let found: sqlx::Result<Vec<(Option<String>,)>> = shared.all(asked).await;
    shared.close().await;
    let found = found.map_err(|error| failure("cannot look at the triggers", &error))?;
    Ok(found.into_iter().map(|(letter,)| TriggerState::of(&letter?)).collect())
}

/// Whether the database holds no table of anybody's.
///
/// # Errors
/// If the server cannot be reached.
pub async fn is_empty(database_url: &str) -> Result<bool> {
    ask(database_url, sql::IS_EMPTY).await
}

/// How far a replica has replayed its primary's log; `None` for a server that takes writes.
///
/// # Errors
/// If the server fails.
pub async fn replay_position(connection: &mut PgConnection) -> Result<Option<String>> {
    let position: Option<(Option<String>, Option<String>)> = sqlx::query_as(sql::REPLAY_POSITION)
        .fetch_optional(connection)
        .await
        .map_err(|e| failure("cannot ask whether the server is a replica", &e))?;
    Ok(position.map(|(position, committed)| {
        let unknown = || "unknown".to_owned();
        format!(
            "{}, last transaction committed {}",
            position.unwrap_or_else(unknown),
            committed.unwrap_or_else(unknown)
        )
    }))
}

/// The number of the server's cluster, which its replicas share and no other server has, whatever
/// both are called; `None` if the role may not ask.
///
/// # Errors
/// If the server fails.
pub async fn system_identifier(connection: &mut PgConnection) -> Result<Option<String>> {
    let failed = |e| failure("cannot ask for the server's system identifier", &e);
    // Asked for without being allowed to, it would end the transaction at hand.
    let may_ask = sqlx::query_scalar(sql::MAY_ASK_IDENTIFIER).fetch_one(&mut *connection).await;
    match may_ask.map_err(failed)? {
        true => sqlx::query_scalar(sql::SYSTEM_IDENTIFIER)
            .fetch_one(connection)
            .await
            .map(Some)
            .map_err(failed),
        false => Ok(None),
    }
}

/// Bytes a second that come over the wire from the server, at best of three attempts: a busy
/// machine is no thin wire.
///
/// # Errors
/// If the server fails.
pub async fn wire_speed(connection: &mut PgConnection) -> Result<f64> {
    let mut best = 0.0_f64;
    for _ in 0..3 {
        let began = Instant::now();
        let asked = sqlx::query_scalar::<_, String>(sql::WIRE_PROBE).fetch_one(&mut *connection);
        let probe = asked.await.map_err(|e| failure("cannot measure the wire", &e))?;
        best = best.max(probe.len() as f64 / began.elapsed().as_secs_f64().max(1e-6));
        if began.elapsed() > LONG_PROBE {
            break;
        }
    }
    Ok(best)
}

/// A probe that took so long needs no second one.
const LONG_PROBE: Duration = Duration::from_millis(500);

/// How long a question of a word may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);

async fn ask<T>(database_url: &str, question: &'static str) -> Result<T>
where
    (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    T: Send + Unpin,
{
    let mut shared = Shared::connect(database_url, QUESTION_LIMIT).await?;
    let answer = shared.one(sqlx::query_as::<_, (T,)>(question)).await;
    shared.close().await;
    let what = format!("PostgreSQL at {} does not answer", describe(database_url));
    answer.map(|(answer,)| answer).or_run(what, "")
}
