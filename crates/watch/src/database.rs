//! What the database says at a look, if one is named: whether the dual-write triggers are at work, how
//! far its replicas lag, how many connections are in use. That it says nothing is an observation, too.

use std::time::{Duration, Instant};

use super::sql;
use cutover_error::Result;
use cutover_evidence::watch::Sample;
use cutover_ground::config::Config;
use cutover_ground::pg::{Lag, Shared};

/// How long one look may take, the connection included.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server works on it.
const LOOK_LIMIT: Duration = Duration::from_secs(4);

/// The figures of one look, in the order of the statement.
type Figures = (i64, Option<i64>, Option<i64>, i64, i64, Option<i64>, i64);

/// What a look at the database brought.
pub(super) struct Seen {
    at: Instant,
    figures: Result<Figures, String>,
}

/// The database, and a connection to it for as long as it holds.
pub(super) struct Database {
    url: String,
    /// Of the pairs whose trigger the configuration names: legacy table, and the trigger.
    tables: Vec<String>,
    triggers: Vec<String>,
    connection: Option<Shared>,
    lag: Lag,
    /// The most replicas that any look saw.
    most_replicas: i64,
}

impl Database {
    pub(super) fn new(config: &Config, url: &str) -> Result<Self> {
        let (mut tables, mut triggers) = (Vec::new(), Vec::new());
        for pair in &config.tables {
            if let Some(trigger) = &pair.trigger {
                tables.push(pair.legacy_name()?.to_string());
                triggers.push(trigger.clone());
            }
        }
        let (connection, lag) = (None, Lag::default());
        Ok(Self { url: url.to_owned(), tables, triggers, connection, lag, most_replicas: 0 })
    }

    /// What the database says now.
    pub(super) async fn look(&mut self) -> Seen {
        let at = Instant::now();
        let asked = tokio::time::timeout(DATABASE_TIMEOUT, self.ask()).await;
        Seen { at, figures: asked.unwrap_or_else(|_| Err("timeout".into())) }
    }

    /// Adds it to a look.
    pub(super) fn add(&mut self, Seen { at, figures }: Seen, look: &mut Sample) {
        let (off, primary, replica, replicas, hidden, connections, max) = match figures {
            Ok(figures) => figures,
            Err(why) => {
                // Whatever is still on its way must not be taken for the next answer.
                self.connection = None;
                look.database_error = Some(why);
                return;
            }
        };
        look.triggers_off = (!self.triggers.is_empty()).then(|| off.unsigned_abs());
        let lag_s =
            primary.zip(replica).map(|(primary, replica)| self.lag.seen(at, primary, replica));
        look.replica_lag_s = look.replica_lag_s.into_iter().chain(lag_s).reduce(f64::max);
        self.most_replicas = self.most_replicas.max(replicas);
        look.replicas_gone = Some((self.most_replicas - replicas).unsigned_abs());
        if hidden > 0 {
            let why = "the role may not see how far the replicas are: GRANT pg_monitor to it";
            look.database_error = Some(why.into());
        }
        look.connections = connections.map(i64::unsigned_abs);
        look.connections_max = Some(max.unsigned_abs());
    }

    async fn ask(&mut self) -> Result<Figures, String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let fresh = Shared::connect(&self.url, LOOK_LIMIT).await;
                none.insert(fresh.map_err(|error| error.to_string())?)
            }
        };
        let asked = sqlx::query_as(sql::LOOK).bind(&self.tables).bind(&self.triggers);
        connection.one(asked).await.map_err(|error| error.to_string())
    }
}
