//! Whoever waits for one of our sessions is seen and let through.
//!
//! A lock of ours, or a snapshot that a concurrent index waits for, may keep a change of a table waiting, and
//! behind that change every statement of the application that needs the table. So a session of its own
//! looks ten times a second whether anybody waits for us. If so, the work at hand is given up: its token is
//! cancelled, then its statements are, or its sessions; whoever did the work lets go of its transaction and begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{connect_reading, failure, sql};
use cutover_error::{Error, Result};

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often dead rows are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(2);

/// Looks after sessions for which others may wait.
pub struct Waiters {
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Our sessions; when each began, because numbers of processes are given again, and what is done to it.
    sessions: HashMap<i32, (String, Means)>,
    /// Of the work at hand.
    token: CancellationToken,
    /// How many pieces of work there were.
    pieces: u64,
    /// Why the watching ended, if it did.
    failed: Option<Error>,
    /// Dead rows of the database, when the work at hand began and at the last count.
    dead_rows: Option<[i64; 2]>,
}

/// How a session is made to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Its statement is cancelled; whoever has the connection goes on with it.
    Cancel,
    /// It ends. A server that waits for us to take its rows heeds nothing less.
    End,
}

/// A session that is looked after, as long as this value.
pub struct Watched {
    pid: i32,
    shared: Arc<Mutex<Shared>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.lock().expect("no panic while held").sessions.remove(&self.pid);
    }
}

/// A session as the server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub(super) pid: i32,
    pub(super) began: String,
}

impl Session {
    /// The session of a connection.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn of(connection: &mut PgConnection) -> Result<Self> {
        let asked = sqlx::query_as(sql::OWN_SESSION).fetch_one(connection).await;
        let (pid, began) = asked.map_err(|e| failure("cannot ask for the own session", &e))?;
        Ok(Self { pid, began })
    }
}

impl Waiters {
    /// Begins to look, over a connection of its own.
    ///
    /// # Errors
    /// A run error if the server cannot be reached.
    pub async fn watch(database_url: &str) -> Result<Self> {
        let connection = connect_reading(database_url).await?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let task = tokio::spawn(look(connection, shared.clone()));
        Ok(Self { shared, task })
    }

    /// Looks after a session from now on.
    pub fn look_after(&self, session: &Session, means: Means) -> Watched {
        let Session { pid, began } = session.clone();
        self.shared.lock().expect("no panic while held").sessions.insert(pid, (began, means));
        Watched { pid, shared: self.shared.clone() }
    }

    /// A new piece of work: its token is cancelled when somebody waits for one of our sessions.
    pub fn begin(&self) -> CancellationToken {
        let mut shared = self.shared.lock().expect("no panic while held");
        (shared.token, shared.dead_rows) = (CancellationToken::new(), None);
        shared.pieces += 1;
        if shared.failed.is_some() {
            shared.token.cancel();
        }
        shared.token.clone()
    }

    /// Rows that died since the work at hand began, in all tables of the database: vacuum cannot remove
    /// them before our snapshot has gone.
    pub fn dead_rows(&self) -> u64 {
        let counted = self.shared.lock().expect("no panic while held").dead_rows;
        counted.map_or(0, |[first, last]| u64::try_from(last - first).unwrap_or_default())
    }

    /// Why nobody looks any more; `None` while somebody does.
    pub fn failed(&self) -> Option<Error> {
        self.shared.lock().expect("no panic while held").failed.clone()
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(mut connection: PgConnection, shared: Arc<Mutex<Shared>>) {
    let mut counted = Instant::now();
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let looked = look_once(&mut connection, &shared, counted.elapsed() > COUNT_INTERVAL).await;
        match looked {
            Ok(true) => counted = Instant::now(),
            Ok(false) => {}
            Err(error) => {
                // Unseen, others might wait for long: the work ends.
                let mut shared = shared.lock().expect("no panic while held");
                let what = "nobody sees any more whether others wait for us";
                shared.failed = Some(failure(what, &error));
                shared.token.cancel();
                return;
            }
        }
    }
}

/// Cancels the token; false if another piece of work has begun since, which nobody waits for yet.
fn give_up(shared: &Mutex<Shared>, piece: u64) -> bool {
    let shared = shared.lock().expect("no panic while held");
    let same = shared.pieces == piece;
    if same {
        shared.token.cancel();
    }
    same
}

/// Returns whether dead rows were counted.
async fn look_once(
    connection: &mut PgConnection,
    shared: &Mutex<Shared>,
    count_dead: bool,
) -> sqlx::Result<bool> {
    let (sessions, piece) = {
        let shared = shared.lock().expect("no panic while held");
        (shared.sessions.clone(), shared.pieces)
    };
    if sessions.is_empty() {
        return Ok(false);
    }
    let pids: Vec<i32> = sessions.keys().copied().collect();
    let waited_for: bool =
        sqlx::query_scalar(sql::WAITED_FOR).bind(&pids).fetch_one(&mut *connection).await?;
    // First the token: whoever meets a statement that was cancelled knows why.
    if waited_for && give_up(shared, piece) {
        tracing::debug!("somebody waits for us: what is under way is given up");
        let of = |means| sessions.iter().filter(move |(_, session)| session.1 == means);
        for (means, statement) in [(Means::End, sql::END), (Means::Cancel, sql::CANCEL)] {
            let (pids, began): (Vec<i32>, Vec<&str>) =
                of(means).map(|(pid, session)| (*pid, session.0.as_str())).unzip();
            let ended = sqlx::query(statement).bind(&pids).bind(&began);
            ended.execute(&mut *connection).await?;
        }
    }
    if count_dead {
        let dead: i64 = sqlx::query_scalar(sql::DEAD_ROWS).fetch_one(connection).await?;
        let mut shared = shared.lock().expect("no panic while held");
        let first = shared.dead_rows.map_or(dead, |[first, _]| first.min(dead));
        shared.dead_rows = Some([first, dead]);
    }
    Ok(count_dead)
}
