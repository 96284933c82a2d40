//! The session that tries: its limits, the rows it chooses from, one try after the other.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgDatabaseError};

use super::sql;
use super::target::Target;
use crate::refusals::endless_call;
use cutover_error::Result;
use cutover_ground::pg::connect;

/// The SQLSTATE with which everything ends that went through.
const UNDONE: &str = "CU000";
/// The SQLSTATE of a try that found every row held by somebody else.
const HELD: &str = "CU001";
/// SQLSTATEs of a try that was in somebody's way: a lock, a conflict, a deadlock.
const IN_THE_WAY: [&str; 3] = ["55P03", "40001", "40P01"];
/// The SQLSTATE of a try that took longer than it may hold a row.
const TOO_SLOW: &str = "57014";

/// The SQLSTATE of a session that is gone.
const LOST: &str = "08006";

/// How often a try is repeated at least; a busy table is not a faulty one.
const ATTEMPTS: u32 = 6;
/// How long to wait before it is, times the number of the attempt.
const RETRY_DELAY: Duration = Duration::from_millis(30);
/// How long all tries of a session together may wait for more attempts than that.
const SPARE: Duration = Duration::from_secs(10);

/// What is tried: the first of `attempts` counts that the table accepts.
pub(super) struct Trial {
    pub(super) attempts: Vec<Value>,
    /// What is said if none of them came to anything.
    pub(super) reason: &'static str,
    /// Whether the last refusal tells more than the first.
    pub(super) last: bool,
}

/// What one try showed.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Shown {
    pub(super) tried: bool,
    /// Which attempt it was.
    pub(super) attempt: usize,
    pub(super) reason: Option<String>,
    pub(super) code: Option<String>,
    /// Where the error came up: the functions at work, the innermost first.
    pub(super) context: Option<String>,
    pub(super) rows_differ: bool,
    /// Columns in which the sides differ after it.
    pub(super) differing: Vec<String>,
    /// Those in which they did before.
    pub(super) before: Vec<String>,
}

impl Shown {
    /// Columns that it was seen to leave behind: what it changed, and what agreed before.
    pub(super) fn left_behind(&self, changed: Option<&String>) -> impl Iterator<Item = &String> {
        let agreed = |name: &String| !self.before.contains(name);
        self.differing.iter().filter(move |name| Some(*name) == changed || agreed(name))
    }
}

/// Why nothing can be tried at all.
pub(super) enum Refused {
    /// No row stands on both sides.
    NoRow,
    /// The server said so.
    Server { code: String, message: String },
}

/// A session of its own, always in a transaction that has failed, or in none.
pub(super) struct Session<'p> {
    connection: PgConnection,
    target: &'p Target<'p>,
    rows: Value,
    /// What is left of [`SPARE`].
    spare: Duration,
}

/// How a statement that always ends in an error ended.
enum Ended<T> {
    Shown(T),
    Failed { code: String, message: String, context: Option<String> },
}

impl<'p> Session<'p> {
    /// Connects and chooses rows.
    pub(super) async fn open(
        database_url: &str,
        target: &'p Target<'p>,
    ) -> Result<std::result::Result<Self, Refused>> {
        let mut connection = connect(database_url).await?;
        let prepared = sqlx::raw_sql(AssertSqlSafe(sql::prepare(target)));
        if let Err(error) = prepared.execute(&mut connection).await {
            return match error.as_database_error() {
                Some(refusal) => Ok(Err(refused(refusal))),
                None => Ok(Err(Refused::Server { code: LOST.into(), message: error.to_string() })),
            };
        }
        let mut session = Self { connection, target, rows: json!([]), spare: SPARE };
        Ok(session.choose().await?.map(|()| session))
    }

    async fn choose(&mut self) -> Result<std::result::Result<(), Refused>> {
        let script = sql::pick(self.target);
        let mut attempt = 1;
        loop {
            let (again, failed) = match self.run::<Value>(script.clone()).await? {
                Ended::Shown(rows) if rows.as_array().is_some_and(|rows| !rows.is_empty()) => {
                    self.rows = rows;
                    return Ok(Ok(()));
                }
                Ended::Shown(_) => return Ok(Err(Refused::NoRow)),
                Ended::Failed { code, message, .. } => {
                    (may_pass(&code), Refused::Server { code, message })
                }
            };
            if !again || !self.waits(attempt).await {
                return Ok(Err(failed));
            }
            attempt += 1;
        }
    }

    /// Tries something, again where somebody was in the way.
    pub(super) async fn try_it(&mut self, trial: &Trial, shields: &[String]) -> Result<Shown> {
        let mut attempt = 1;
        loop {
            let script = sql::probe(self.target, trial, &self.rows, shields);
            match self.run::<Shown>(script).await? {
                Ended::Shown(shown) => return Ok(shown),
                Ended::Failed { code, message, context } => {
                    let reason = match code.as_str() {
                        HELD => "others hold every row that was chosen".to_owned(),
                        TOO_SLOW => "it takes longer than a row may be held for it".to_owned(),
                        _ => message,
                    };
                    // What never ends takes as long each time.
                    let endless = endless_call(&code, context.as_deref().unwrap_or_default());
                    let again = may_pass(&code) && endless.is_none();
                    let held = code == HELD;
                    let (reason, code) = (Some(reason), Some(code));
                    let shown = Shown { reason, code, context, ..Shown::default() };
                    if !again || !self.waits(attempt).await {
                        return Ok(shown);
                    }
                    // They may have been changed meanwhile. If there is none, the last answer stands.
                    if held && self.choose().await?.is_err() {
                        return Ok(shown);
                    }
                }
            }
            attempt += 1;
        }
    }

    /// Waits for another attempt, if there is to be one.
    async fn waits(&mut self, attempt: u32) -> bool {
        let delay = RETRY_DELAY * attempt;
        if attempt >= ATTEMPTS {
            let Some(spare) = self.spare.checked_sub(delay) else { return false };
            self.spare = spare;
        }
        tokio::time::sleep(delay).await;
        true
    }

    async fn run<T: DeserializeOwned>(&mut self, script: String) -> Result<Ended<T>> {
        let outcome = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut self.connection).await;
        let error = match outcome {
            Ok(_) => {
                let message = "the probe ended without a word".to_owned();
                return Ok(Ended::Failed { code: "00000".into(), message, context: None });
            }
            Err(error) => error,
        };
        let Some(refusal) = error.as_database_error() else {
            let message = error.to_string();
            return Ok(Ended::Failed { code: LOST.into(), message, context: None });
        };
        let code = refusal.code().unwrap_or_default().into_owned();
        let told = refusal.downcast_ref::<PgDatabaseError>();
        let detail = told.detail().unwrap_or_default();
        Ok(match (code.as_str(), serde_json::from_str(detail)) {
            (UNDONE, Ok(shown)) => Ended::Shown(shown),
            _ => {
                let (message, context) = (refusal.message().to_owned(), told.r#where());
                Ended::Failed { code, message, context: context.map(str::to_owned) }
            }
        })
    }
}

/// Whether the same may go through a moment later.
fn may_pass(code: &str) -> bool {
    [HELD, TOO_SLOW].contains(&code) || IN_THE_WAY.contains(&code)
}

fn refused(error: &dyn sqlx::error::DatabaseError) -> Refused {
    let code = error.code().unwrap_or_default().into_owned();
    Refused::Server { code, message: error.message().to_owned() }
}
