//! A session of our own: one of the server's for as long as it lasts, with settings that nobody else
//! gets to feel.
//!
//! Behind a pooler a session is the server's for a transaction or so, and then somebody else's, with
//! all that was set in it. So each connection carries a mark in its first message, one that means
//! nothing to anybody, and the first statement sets what we need only where that mark came through:
//! a pooler refuses such a message, or keeps it to itself and hands out a session that began before.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use log::LevelFilter;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::connect::{self, place};
use super::{failure, options, sql};
use cutover_error::{Error, Result};

/// Settings under which equal values always look equal, under which row-level security
/// raises an error instead of hiding rows, under which a transaction that keeps a snapshot for others is
/// not ended for idling, and a statement ends with the program that asked it.
const SETTINGS: [(&str, &str); 9] = [
    ("application_name", "cutover"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("row_security", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    ("client_connection_check_interval", "5s"),
];

/// What is added for a session that only reads: each of its transactions is read-only, so that no slip
/// of ours and no function that a statement calls can change anything; and it waits for no lock for
/// long: what it would wait for may be waiting for it.
const READING: [(&str, &str); 2] =
    [("default_transaction_read_only", "on"), ("lock_timeout", "60s")];

/// A statement that takes longer is told of with one `-v`.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// A pooler speaks the protocol, and refuses what it cannot promise.
const PROTOCOL_VIOLATION: &str = "08P01";

/// Whether a session may write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Access {
    Read,
    Write,
}

/// How sessions of our own are opened.
pub(super) struct Own {
    options: PgConnectOptions,
    access: Access,
}

/// What a connection's first message carries.
pub(super) struct Mark(String);

impl Own {
    pub(super) fn new(database_url: &str, access: Access) -> Result<Self> {
        let mut options = options(database_url)?;
        if access == Access::Read {
            // What only reads shows its statements to whoever asks: their values stand elsewhere.
            options = options.log_statements(LevelFilter::Trace);
            options = options.log_slow_statements(LevelFilter::Debug, SLOW_STATEMENT);
        }
        tracing::debug!(server = place(&options), "connecting");
        Ok(Self { options, access })
    }

    /// Where they are opened.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// The same by another way, if there is one.
    pub(super) fn by_way_of(self, options: Option<PgConnectOptions>) -> Self {
        Self { options: options.unwrap_or(self.options), ..self }
    }

    /// Options for one connection, and the mark they carry.
    pub(super) fn marked(&self) -> (PgConnectOptions, Mark) {
        // A hasher's key is drawn anew each time.
        let mark = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        (self.options.clone().options([(sql::MARK, &mark)]), Mark(mark))
    }

    /// Opens one.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let (options, mark) = self.marked();
        let connected = PgConnection::connect_with(&options).await;
        let mut connection = connected.map_err(|error| self.refused(&error))?;
        self.settle(&mut connection, &mark).await?;
        Ok(connection)
    }

    /// Sets what a session of ours needs, in the one statement that looks whether it is ours.
    pub(super) async fn settle(&self, connection: &mut PgConnection, mark: &Mark) -> Result<()> {
        let reading: &[_] = if self.access == Access::Read { &READING } else { &[] };
        let settings = SETTINGS.iter().chain(reading).copied();
        let statement = AssertSqlSafe(sql::settle(settings, &mark.0));
        let settled = connection.fetch_optional(statement).await;
        match settled.map_err(|error| failure("cannot set up the session", &error))? {
            Some(_) => Ok(()),
            None => Err(self.pooled("")),
        }
    }

    /// Why nobody was let in.
    pub(super) fn refused(&self, error: &sqlx::Error) -> Error {
        let code = error.as_database_error().and_then(|error| error.code());
        match error.as_database_error() {
            Some(said) if code.is_some_and(|code| code == PROTOCOL_VIOLATION) => {
                self.pooled(&format!(" (it says: {})", said.message()))
            }
            _ => connect::refused(&self.options, error),
        }
    }

    fn pooled(&self, said: &str) -> Error {
        let place = place(&self.options);
        Error::usage(
            format!(
                "{place} is a pooler, whose sessions others get as well, and this needs one of its \
                 own{said}"
            ),
            "give the server's own address, for example with --database-url",
        )
    }
}
