//! Looks at the database once a second while the load runs, on a connection of its own. That it
//! cannot be seen is an observation, never a reason to stop.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio_util::sync::CancellationToken;

use super::org_sizes::OrgSizes;
use super::sql;
use cutover_error::{Context, Result};
use cutover_evidence::drive::{DatabasePoint, StatementShare};
use cutover_ground::config::TablePair;
use cutover_ground::pg;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// After this the database counts as silent.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Statements that are kept.
const MOST_STATEMENTS: usize = 20;

/// The counters of the database, in the order of `DatabasePoint`.
type Counters = (i64, i64, i64, i64, i64, i64, i64, i64);
/// Text, calls and milliseconds of each statement.
type Statements = HashMap<i64, (String, i64, f64)>;

/// Classes of the orgs by the rows they have in the legacy tables.
///
/// # Errors
/// If the database does not answer, or not in time.
pub async fn org_sizes(database_url: &str, tables: &[TablePair]) -> Result<OrgSizes> {
    let what = "cannot count the rows of each org";
    let mut connection = pg::connect_reading(database_url).await?;
    sqlx::raw_sql(sql::LONGEST_LOOK_SQL).execute(&mut connection).await.or_run(what, "")?;
    let mut rows_of: HashMap<u64, u64> = HashMap::new();
    for pair in tables.iter().filter(|pair| pair.org_column().is_some()) {
        let rows: Vec<(i64, i64)> = sqlx::query_as(AssertSqlSafe(sql::rows_by_org(pair)?))
            .fetch_all(&mut connection)
            .await
            .or_run(what, "")?;
        for (org, rows) in rows {
            *rows_of.entry(org.unsigned_abs()).or_default() += rows.unsigned_abs();
        }
    }
    let _ = connection.close().await;
    Ok(OrgSizes::new(rows_of.into_iter().collect()))
}

/// Watches until `stop`; nothing if no database is named.
pub(super) async fn watch(
    database_url: Option<String>,
    begin: Instant,
    stop: CancellationToken,
) -> (Vec<DatabasePoint>, Vec<StatementShare>) {
    let Some(url) = database_url else { return Default::default() };
    let mut watcher = Watcher { url, connection: None, last: None };
    let before = watcher.statements().await;
    let mut points = Vec::new();
    loop {
        let at_s = begin.elapsed().as_secs_f64();
        let looked = tokio::time::timeout(LOOK_TIMEOUT, watcher.look()).await;
        let point = looked.unwrap_or_else(|_| Err("no answer in time".into()));
        if point.is_err() {
            // Whatever is still on its way must not be taken for the next answer.
            watcher.connection = None;
        }
        match point {
            // The first look only tells where the counters stand.
            Ok(None) => {}
            Ok(Some(point)) => points.push(DatabasePoint { at_s, ..point }),
            Err(error) => {
                points.push(DatabasePoint { at_s, error: Some(error), ..DatabasePoint::default() });
            }
        }
        if stop.is_cancelled() {
            let after = watcher.statements().await;
            return (points, shares(before.unwrap_or_default(), after.unwrap_or_default()));
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

struct Watcher {
    url: String,
    connection: Option<PgConnection>,
    last: Option<Counters>,
}

impl Watcher {
    async fn connected(&mut self) -> std::result::Result<&mut PgConnection, String> {
        if self.connection.is_none() {
            let mut fresh =
                pg::connect_reading(&self.url).await.map_err(|error| error.to_string())?;
            let set = sqlx::raw_sql(sql::SESSION).execute(&mut fresh).await;
            set.map_err(|error| error.to_string())?;
            self.connection = Some(fresh);
        }
        Ok(self.connection.as_mut().expect("just connected"))
    }

    async fn look(&mut self) -> std::result::Result<Option<DatabasePoint>, String> {
        let message = |error: sqlx::Error| error.to_string();
        let connection = self.connected().await?;
        let waits: Vec<(String, i64)> =
            sqlx::query_as(sql::WAITS).fetch_all(&mut *connection).await.map_err(message)?;
        let now: Counters =
            sqlx::query_as(sql::COUNTERS).fetch_one(connection).await.map_err(message)?;
        let Some(last) = self.last.replace(now) else { return Ok(None) };
        // A counter that went backwards was reset: nothing is known of that second.
        let since = |now: i64, last: i64| (now - last).max(0).unsigned_abs();
        let waits: BTreeMap<String, u64> =
            waits.into_iter().map(|(event, count)| (event, count.unsigned_abs())).collect();
        Ok(Some(DatabasePoint {
            waits,
            commits: since(now.0, last.0),
            rollbacks: since(now.1, last.1),
            blocks_hit: since(now.2, last.2),
            blocks_read: since(now.3, last.3),
            rows_returned: since(now.4, last.4),
            rows_fetched: since(now.5, last.5),
            temp_bytes: since(now.6, last.6),
            deadlocks: since(now.7, last.7),
            ..DatabasePoint::default()
        }))
    }

    /// What each statement has taken so far; `None` if nobody counts.
    async fn statements(&mut self) -> Option<Statements> {
        let look = async {
            let connection = self.connected().await.ok()?;
            let (there,): (i64,) =
                sqlx::query_as(sql::HAS_STATEMENTS).fetch_one(&mut *connection).await.ok()?;
            if there == 0 {
                return None;
            }
            let rows: Vec<(i64, String, i64, f64)> =
                sqlx::query_as(sql::STATEMENTS).fetch_all(connection).await.ok()?;
            Some(rows.into_iter().map(|(id, query, calls, ms)| (id, (query, calls, ms))).collect())
        };
        tokio::time::timeout(LOOK_TIMEOUT, look).await.ok().flatten()
    }
}

/// What statements took between two looks, most expensive first.
fn shares(before: Statements, after: Statements) -> Vec<StatementShare> {
    let mut shares: Vec<StatementShare> = after
        .into_iter()
        .map(|(id, (query, calls, total_ms))| {
            let (calls_before, ms_before) =
                before.get(&id).map_or((0, 0.0), |(_, calls, ms)| (*calls, *ms));
            let calls = (calls - calls_before).max(0).unsigned_abs();
            StatementShare { query, calls, total_ms: (total_ms - ms_before).max(0.0) }
        })
        .filter(|share| share.calls > 0)
        .collect();
    shares.sort_by(|a, b| b.total_ms.total_cmp(&a.total_ms));
    shares.truncate(MOST_STATEMENTS);
    shares
}
