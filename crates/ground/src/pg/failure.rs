//! What PostgreSQL refused, with advice for the cases that people can mend.

use std::fmt::Display;

use cutover_error::{Error, foreign};

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
    Error::run(format!("{what}: {error}"), hint)
}

/// The server refused; the hint goes by the SQLSTATE, never by the text of the message.
pub(super) fn refused(what: impl Display, code: &str, message: &str) -> Error {
    let hint = match code {
        "42501" => {
            "GRANT SELECT on both tables and their sequences to this role, which has to see every \
             row (as their owner does, or a role with BYPASSRLS)"
        }
        "28P01" | "28000" => "check user and password, and whether pg_hba.conf lets this user in",
        "3D000" => "check the name of the database",
        "57014" => "the server ended the statement; raise statement_timeout for this role",
        "57P01" | "57P02" | "57P03" => "the server is shutting down or starting",
        "53300" => "the server has no connection to spare; raise max_connections",
        "40001" => "a replica ended the statement; raise max_standby_streaming_delay there",
        "55P03" => {
            "another session holds a lock on the table, or waits for one; try again once it is done"
        }
        _ => "",
    };
    // It may quote a value.
    Error::run(format!("{what}: {} (SQLSTATE {code})", foreign::line(message)), hint)
}
