//! What PostgreSQL refused, with advice for the cases that people can mend.

use std::fmt::Display;
use std::sync::Arc;

use cutover_error::{Error, foreign};

/// What an error comes from that may not come again: somebody ended what was under way, and a new session may
/// do it.
#[derive(Debug)]
struct Passing;

impl Display for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ended from outside")
    }
}

impl std::error::Error for Passing {}

/// Whether a failure was no answer to what was asked: the connection was lost, or somebody ended the session or
/// cancelled the statement.
pub fn is_passing(error: &Error) -> bool {
    matches!(error, Error::Run { source: Some(source), .. } if source.is::<Passing>())
}

fn passing(what: String, hint: &str) -> Error {
    Error::Run { what, hint: hint.into(), source: Some(Arc::new(Passing)) }
}

/// Turns a failed statement into a run error: what we were doing, what the server said, a hint.
pub fn failure(what: impl Display, error: &sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(database) => refused(what, &database.code().unwrap_or_default(), database.message()),
        None => lost(what, error),
    }
}

/// The connection broke in the middle.
pub(super) fn lost(what: impl Display, error: impl Display) -> Error {
    let hint = "the connection to the server was lost; is it still running?";
    passing(format!("{what}: {error}"), hint)
}

/// A session ended by an administrator, a crash, a timeout; a statement cancelled by somebody, or by a standby
/// that goes on replaying.
const PASSING: [&str; 7] = ["57P01", "57P02", "57P05", "57014", "25P03", "25P04", "40001"];

/// The server refused; the hint goes by the SQLSTATE, never by the text of the message.
pub(super) fn refused(what: impl Display, code: &str, message: &str) -> Error {
    let hint = match code {
        "42501" => {
            "GRANT SELECT on both tables and their sequences to this role, which has to see every \
             row (as their owner does, or a role with BYPASSRLS)"
        }
        "28P01" | "28000" => "check user and password, and whether pg_hba.conf lets this user in",
        "3D000" => "check the name of the database",
        "57014" => {
            "somebody cancelled the statement (pg_cancel_backend), or statement_timeout of this role or \
             database is too short for it"
        }
        "57P01" => {
            "an administrator ended the session (pg_terminate_backend), or the server is shutting down"
        }
        "57P02" | "57P03" => "the server is shutting down or starting",
        "25P04" => "transaction_timeout of this role or database is too short",
        "53300" => "the server has no connection to spare; raise max_connections",
        "40001" => "a replica ended the statement; raise max_standby_streaming_delay there",
        "55P03" => {
            "another session holds a lock on the table, or waits for one; try again once it is done"
        }
        _ => "",
    };
    // It may quote a value.
    let what = format!("{what}: {} (SQLSTATE {code})", foreign::line(message));
    if PASSING.contains(&code) { passing(what, hint) } else { Error::run(what, hint) }
}
