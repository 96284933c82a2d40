//! `cutover init`: what you need to start with your own platform.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, Printer};
use crate::error::{Context, Error, Result};
use crate::run_folder::write_whole;
use crate::scenario::{FromLog, LogOptions, Summary, from_log};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Access log to make a scenario of: combined format (Apache, nginx) or JSON lines (nginx,
    /// Caddy, Envoy), plain or gzip; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub from_access_log: Option<PathBuf>,
    /// File to write; must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The query parameter that names the org [default: the usual names]
    #[arg(long, value_name = "NAME")]
    pub org_param: Option<String>,
    /// The log's field that names the org: of JSON lines with dots inside, as in
    /// request.headers.X-Org-Id; of combined format `user`, or the name of a name=value at the end
    #[arg(long, value_name = "FIELD")]
    pub org_field: Option<String>,
    /// The path segment that names the org: its number from 1, or the segment before it
    #[arg(long, value_name = "SEGMENT")]
    pub org_segment: Option<String>,
    /// The request header that carries the org, where the log's field does not tell
    #[arg(long, value_name = "HEADER")]
    pub org_header: Option<String>,
}

/// Makes a scenario and says what it was made from.
///
/// # Errors
/// A usage error where nothing is named to start from, the log cannot be read, or nothing in it can
/// be driven; nothing is written then.
pub fn run(args: &InitArgs, printer: &Printer) -> Result<Exit> {
    let Some(log) = &args.from_access_log else {
        let what = "nothing is named to start from: give --from-access-log FILE";
        let hint = "an access log becomes a scenario for `cutover drive --scenario`";
        return Err(Error::usage(what, hint));
    };
    if let Some(out) = args.out.as_deref().filter(|out| out.exists()) {
        let what = format!("--out {}: is there already", out.display());
        return Err(Error::usage(what, "give another name, or move that file away"));
    }
    let options = LogOptions {
        org_param: args.org_param.clone(),
        org_field: args.org_field.clone(),
        org_segment: args.org_segment.clone(),
        org_header: args.org_header.clone(),
    };
    let FromLog { text, summary } = match log.as_path() {
        dash if dash == Path::new("-") => from_log("standard input", std::io::stdin(), &options)?,
        path => from_log(&path.display().to_string(), open(path)?, &options)?,
    };
    match &args.out {
        Some(out) => {
            write_whole(out, text.as_bytes())?;
            printer.result(&told(&summary));
            printer.result(&format!("scenario: {}", out.display()));
            printer.json(&json!({ "scenario": out, "summary": summary }));
        }
        None => {
            printer.note(&told(&summary));
            if !printer.is_json() {
                printer.result(text.trim_end());
            }
            printer.json(&json!({ "scenario": null, "text": text, "summary": summary }));
        }
    }
    Ok(Exit::OK)
}

fn open(path: &Path) -> Result<impl Read + Send + 'static> {
    let place = format!("--from-access-log {}", path.display());
    let hint = "give the path of a readable access log, or - for standard input";
    let file = File::open(path).or_usage(&place, hint)?;
    let is_file = file.metadata().is_ok_and(|found| !found.is_dir());
    is_file.then_some(file).ok_or_else(|| Error::usage(format!("{place}: is a folder"), hint))
}

/// What was read, for people.
fn told(summary: &Summary) -> String {
    let mut lines = vec![
        format!(
            "{} requests in {} lines, {} to {}: {} a second, {}",
            summary.requests,
            summary.lines,
            summary.from,
            summary.to,
            summary.rate_per_s,
            summary.arrivals
        ),
        format!("{} orgs: {}", summary.orgs, summary.popularity),
    ];
    for operation in summary.operations.iter().take(20) {
        let waits = if operation.driven { "" } else { "  (in comments)" };
        let (method, path, weight) = (&operation.method, &operation.path, operation.weight);
        lines.push(format!("{weight:7.3} %  {method:6} {path}{waits}"));
    }
    if summary.operations.len() > 20 {
        lines.push(format!("           and {} more", summary.operations.len() - 20));
    }
    for unread in &summary.unread {
        let (number, reason) = (unread.lines, &unread.reason);
        lines.push(format!("not read: {number} lines, as line {}: {reason}", unread.example_line));
    }
    lines.extend(summary.left_out.iter().map(|what| format!("not driven or not known: {what}")));
    lines.join("\n")
}
