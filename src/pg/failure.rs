//! What PostgreSQL refused, with advice for the cases that people can mend.

use crate::error::Error;

/// Turns a failed statement into a run error: what we were doing, what the server said, a hint.
///
/// The kind is told by SQLSTATE, never by the text of the message.
pub fn failure(what: impl std::fmt::Display, error: &sqlx::Error) -> Error {
    let Some(database) = error.as_database_error() else {
        let hint = "the connection to the server was lost; is it still running?";
        return Error::run(format!("{what}: {error}"), hint);
    };
    let code = database.code().unwrap_or_default();
    let hint = match code.as_ref() {
        "42501" => {
            "use a role that may SELECT from both tables and sees every row \
             (their owner, or one with BYPASSRLS)"
        }
        "57014" => "the server ended the statement; raise statement_timeout for this role",
        "57P01" | "57P02" | "57P03" => "the server is shutting down or starting",
        "53300" => "the server has no connection to spare; raise max_connections",
        "40001" => "a replica ended the statement; raise max_standby_streaming_delay there",
        "55P03" => "another session holds a lock on the table; raise lock_timeout or try again",
        _ => "",
    };
    Error::run(format!("{what}: {} (SQLSTATE {code})", database.message()), hint)
}
