//! A program of the target's own: it switches a flag, or says what only its owner knows.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use cutover_error::{Context, Error, Result};

/// How long it may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs program and arguments to their end; what it printed. `setting` is if they are named.
///
/// # Errors
/// A run error if it cannot be started, takes longer than 30 s, or does not end with 0.
pub async fn run_program(setting: &str, argv: &[String]) -> Result<String> {
    let Some((program, arguments)) = argv.split_first() else {
        let what = format!("{setting} command names no program");
        return Err(Error::usage(what, "give program and arguments as a list"));
    };
    // An argument may be a secret.
    let place = format!("{setting} command `{program}`");
    let command =
        Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PROGRAM_TIMEOUT, command)
        .await
        .or_run(format!("{place}: no end within {} s", PROGRAM_TIMEOUT.as_secs()), "")?
        .or_run(&place, "give program and arguments as a list")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::run(format!("{place}: {}", output.status), said))
}
