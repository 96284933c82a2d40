//! Secrets come from the environment or from files, never from the configuration itself, and no
//! message of ours shows one.

use std::path::Path;

use cutover_error::{Context, Error, Result};

/// Reads a secret from the variable or the file that is named; `None` if neither is. A final line
/// break of a file is left out.
///
/// # Errors
/// A usage error that names `place` and the variable or file, never what is in it.
pub fn secret(place: &str, env: Option<&str>, file: Option<&Path>) -> Result<Option<String>> {
    let text = match (env, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            let what = format!("{place}: a variable and a file are named");
            return Err(Error::usage(what, "name one of them"));
        }
        (Some(name), None) => std::env::var(name).map_err(|_| {
            let what = format!("{place}: the environment has no variable {name} that is text");
            Error::usage(what, format!("export {name}"))
        })?,
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            text.or_usage(format!("{place}: {}", file.display()), "give a readable text file")?
        }
    };
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        let from = env.map_or_else(|| format!("{file:?}"), str::to_owned);
        return Err(Error::usage(format!("{place}: the secret in {from} is empty"), ""));
    }
    Ok(Some(text.to_owned()))
}
