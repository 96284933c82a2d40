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

/// Settings under which equal values always look equal, and under which row-level security raises an error
/// instead of hiding rows: a session where one of them does not hold is not used.
const RESTED_ON: [(&str, &str); 6] = [
    ("row_security", "off"),
    ("timezone", "UTC"),
    ("datestyle", "ISO, YMD"),
    ("intervalstyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
];

/// The same for a session that only reads: no slip of ours and no function that a statement calls can change
/// anything.
const READ_ONLY: (&str, &str) = ("default_transaction_read_only", "on");

/// Settings under which a transaction that keeps a snapshot for others is not ended for idling, and a
/// statement ends with the program that asked it.
const MANNERS: [(&str, &str); 3] = [
    ("application_name", "cutover"),
    ("idle_in_transaction_session_timeout", "0"),
    ("client_connection_check_interval", "5s"),
];

/// What only reads waits for no lock for long: what it would wait for may be waiting for it.
const PATIENCE: (&str, &str) = ("lock_timeout", "60s");

/// A statement that takes longer is told of with one `-v`.
const SLOW_STATEMENT: Duration = Duration::from_secs(1);

/// A pooler speaks the protocol, and refuses what it cannot promise.
const PROTOCOL_VIOLATION: &str = "08P01";

/// What a pooler does that lets everybody in.
const SWALLOWED: &str = " (it drops what the first message asks for, row_security among it, as PgBouncer does \
    with ignore_startup_parameters)";

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

    /// Sets what a session of ours needs, in the one statement that looks whether it is ours; and looks with
    /// another whether it is there.
    pub(super) async fn settle(&self, connection: &mut PgConnection, mark: &Mark) -> Result<()> {
        let reads = self.access == Access::Read;
        let rested_on = RESTED_ON.into_iter().chain(reads.then_some(READ_ONLY));
        let settings = rested_on.clone().chain(MANNERS).chain(reads.then_some(PATIENCE));
        let statement = AssertSqlSafe(sql::settle(settings, reads, &mark.0));
        let settled = connection.fetch_optional(statement).await;
        if settled.map_err(|error| failure("cannot set up the session", &error))?.is_none() {
            return Err(self.pooled(""));
        }
        let (names, wanted): (Vec<&str>, Vec<&str>) = rested_on.unzip();
        let other = sqlx::query_as(sql::NOT_HELD).bind(names).bind(wanted).persistent(false);
        let other: Option<(String, String, String)> = other
            .fetch_optional(connection)
            .await
            .map_err(|error| failure("cannot read the session's settings", &error))?;
        match other {
            None => Ok(()),
            Some((name, wanted, held)) => Err(self.not_held(&name, &wanted, &held)),
        }
    }

    fn not_held(&self, name: &str, wanted: &str, held: &str) -> Error {
        let place = place(&self.options);
        Error::run(
            format!(
                "{place} does not keep to what a session asks for: {name} is {held}, not {wanted}"
            ),
            "give the server's own address: a pooler in between swallows settings, PgBouncer those of \
             ignore_startup_parameters",
        )
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

    /// `said`: what it says; nothing if it let us in and dropped what was asked of it.
    fn pooled(&self, said: &str) -> Error {
        let place = place(&self.options);
        let said = if said.is_empty() { SWALLOWED } else { said };
        Error::usage(
            format!(
                "{place} is a pooler, whose sessions others get as well, and this needs one of its \
                 own{said}"
            ),
            "give the server's own address, for example with --database-url",
        )
    }
}
