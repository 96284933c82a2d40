//! Reads a case, plants its fault, and says in words what a diff found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use cutover::config::TablePair;
use cutover::evidence::finding::{Finding, Severity};
use serde::Deserialize;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::task::JoinHandle;

use crate::support;

/// A file of this folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// In words, its number in the catalogue first.
    pub fault: String,
    /// Plants it; `{role}` is the role that reads where one is `refused`.
    pub sql: String,
    /// What several sessions do then, in this order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What has to be found, and nothing else.
    pub expect: Vec<String>,
    /// What the diff says where it refuses to compare, read by a role of its own.
    pub refused: Option<String>,
    /// What stands in the way of `repair.sql`; without it the next diff finds no row.
    pub unrepairable: Option<String>,
    #[serde(default = "TablePair::reference")]
    pub tables: Vec<TablePair>,
}

/// What one session does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which; each keeps its connection.
    session: String,
    sql: String,
    /// Whether it waits for another session's lock; the next step is taken when it does.
    #[serde(default)]
    blocks: bool,
    /// The SQLSTATE it fails with.
    fails: Option<String>,
    /// Whether the connection is lost afterwards.
    #[serde(default)]
    killed: bool,
}

/// All cases, in the order of their names.
pub fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diff_cases");
    let files = std::fs::read_dir(folder).expect("the folder of cases").map(|f| f.expect("a file"));
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    paths.sort();
    assert!(paths.len() > 50, "only {} cases", paths.len());
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a readable case");
        let case = toml::from_str::<Case>(&text);
        let mut case = case.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        case.name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        case
    };
    paths.iter().map(read).collect()
}

impl Case {
    /// A database with the fault in it; `role` stands for `{role}`.
    pub async fn plant(&self, role: &str) -> support::TestDatabase {
        let database = support::reference_database().await;
        support::execute(&database.url, &self.sql.replace("{role}", role)).await;
        let mut sessions = HashMap::new();
        for step in &self.steps {
            step.take(&self.name, &database.url, &mut sessions).await;
        }
        for (_, session) in sessions {
            session.idle(&self.name).await.close().await.expect("the connection closes");
        }
        database
    }
}

/// A connection, or what goes on over it.
enum Session {
    Idle(PgConnection),
    Busy(JoinHandle<(PgConnection, Option<String>)>, Option<String>),
}

impl Session {
    async fn idle(self, case: &str) -> PgConnection {
        match self {
            Self::Idle(connection) => connection,
            Self::Busy(work, expected) => {
                let (connection, failed) = work.await.expect("a step does not panic");
                assert_eq!(failed, expected, "{case}");
                connection
            }
        }
    }
}

impl Step {
    async fn take(&self, case: &str, url: &str, sessions: &mut HashMap<String, Session>) {
        let mut connection = match sessions.remove(&self.session) {
            Some(session) => session.idle(case).await,
            None => cutover::pg::connect(url).await.expect("the test server answers"),
        };
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap_or_default();
        let sql = self.sql.clone();
        let work = tokio::spawn(async move {
            let outcome = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
            let failed = outcome.err().map(|error| {
                let code = error.as_database_error().and_then(|e| e.code().map(Into::into));
                code.unwrap_or_else(|| error.to_string())
            });
            (connection, failed)
        });
        let session = Session::Busy(work, self.fails.clone());
        let session = if self.blocks {
            assert!(waits_for_a_lock(url, pid).await, "{case}: nothing held `{}` up", self.sql);
            session
        } else {
            Session::Idle(session.idle(case).await)
        };
        if !self.killed {
            sessions.insert(self.session.clone(), session);
        }
    }
}

async fn waits_for_a_lock(url: &str, pid: i32) -> bool {
    let mut connection = cutover::pg::connect(url).await.expect("the test server answers");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::time::Instant::now() < end {
        let waits: bool = sqlx::query_scalar("SELECT cardinality(pg_blocking_pids($1)) > 0")
            .bind(pid)
            .fetch_one(&mut connection)
            .await
            .expect("an answer");
        if waits {
            return true;
        }
    }
    false
}

/// A finding as a line of `expect`: `table class`, then for a row `org=… key=…`, for a catalog
/// finding its severity, then `columns=…` and for catalog findings and misrouted rows
/// `partition=…`. A date of a key is told as days from today.
pub fn told(finding: &Finding) -> String {
    let mut text = format!("{} {}", finding.table, finding.class);
    match (&finding.org_id, finding.severity) {
        (Some(org), _) => text += &format!(" org={org}"),
        (None, Some(Severity::Error)) => text += " error",
        (None, _) => text += " advice",
    }
    for (column, value) in &finding.key {
        let value = value.clone().unwrap_or_else(|| "NULL".into());
        text += &format!(" {column}={}", days_from_today(&value).unwrap_or(value));
    }
    if !finding.columns.is_empty() {
        text += &format!(" columns={}", finding.columns.join(","));
    }
    let leaf_matters = finding.org_id.is_none() || finding.class == "misrouted";
    if let Some(leaf) = finding.partition.as_ref().filter(|_| leaf_matters) {
        text += &format!(" partition={leaf}");
    }
    text
}

fn days_from_today(value: &str) -> Option<String> {
    let date = chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?;
    Some((date - chrono::Utc::now().date_naive()).num_days().to_string())
}

/// Which check sees findings of a class.
fn check_of(class: &str) -> &'static str {
    match class {
        "missing" | "extra" | "mismatched" | "duplicate" | "wrong_org" | "misrouted"
        | "null_org" | "null_key" => "rows",
        "trigger_column_missing" | "trigger_swallows_errors" | "trigger_coverage_unknown" => {
            "probe of the triggers"
        }
        "trigger_event_missing" => "triggers, catalog and probe",
        _ => "catalog",
    }
}

/// `docs/faults.md`: what is planted, how, and which check sees it.
pub fn scoreboard(cases: &[Case]) -> String {
    let mut text = String::from(
        "# Faults, planted and seen\n\n\
         Each line is a case file of `tests/diff_cases/`, planted in a real database by `tests/diff/`: the \
         diff has to find\nexactly these classes, at the org and key that the file names, and nothing \
         else. This page is made from the files\n(`CUTOVER_WRITE_SCOREBOARD=1 cargo test --test diff \
         scoreboard`); a test fails where it is out of date.\n\n\
         | fault | planted | seen by | classes |\n| --- | --- | --- | --- |\n",
    );
    for case in cases {
        let mut classes: Vec<&str> =
            case.expect.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        classes.sort_unstable();
        classes.dedup();
        let mut checks: Vec<&str> = classes.iter().map(|class| check_of(class)).collect();
        checks.sort_unstable();
        checks.dedup();
        let seen = match (&case.refused, checks.is_empty()) {
            (Some(why), _) => format!("refuses to compare: {why}"),
            (None, true) if case.fault.starts_with("34") => "the load's ledger alone".into(),
            (None, true) => "nothing to see".into(),
            (None, false) => checks.join(", "),
        };
        let sessions: std::collections::BTreeSet<&str> =
            case.steps.iter().map(|step| step.session.as_str()).collect();
        let how = match sessions.len() {
            0 => "SQL".into(),
            1 => "SQL, a session cut off".into(),
            many => format!("SQL, {many} sessions"),
        };
        let fault = case.fault.replace('|', "\\|");
        text += &format!(
            "| {fault} | {how}: [{name}](../tests/diff_cases/{name}.toml) | {seen} | {} |\n",
            classes.join(", "),
            name = case.name
        );
    }
    text
}
