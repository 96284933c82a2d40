//! `cutover init`: what you need to start with your own platform.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::{Exit, Printer};
use crate::config::Config;
use crate::error::foreign::line;
use crate::error::{Context, Error, Result};
use crate::run_folder::{Place, write_whole};
use crate::scenario::{FromLog, LogOptions, Scenario, Summary, from_log};
use crate::{discover, pg, seed};

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Access log to make a scenario of: combined format (Apache, nginx) or JSON lines (nginx,
    /// Caddy, Envoy), plain or gzip; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub from_access_log: Option<PathBuf>,
    /// PostgreSQL to look for table pairs in, which is only read; CUTOVER_DATABASE_URL if no access
    /// log is named
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Of an access log: the file to write [default: standard output]. Of a database: the folder for
    /// cutover.toml, seed.toml and scenario.toml [default: the working folder]. Nothing that is there
    /// is overwritten
    #[arg(long, value_name = "FILE|DIR")]
    pub out: Option<PathBuf>,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
    /// The column of the tables that tells orgs apart [default: the usual names]
    #[arg(long, value_name = "COLUMN")]
    pub org: Option<String>,
    /// Do not try triggers that make their statements up; the try is undone in any case
    #[arg(long)]
    pub no_probe: bool,
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
    /// The request header that carries the org, if the log's field does not tell
    #[arg(long, value_name = "HEADER")]
    pub org_header: Option<String>,
}

/// Makes the files to start from, of a database, an access log, or both, and says what they were made
/// from.
///
/// # Errors
/// A usage error if nothing is named to start from, the log cannot be read, nothing in it can be
/// driven, or a file is there already; a run error if the database cannot be asked. Nothing is
/// written then.
pub async fn run(args: &InitArgs, printer: &Printer) -> Result<Exit> {
    let of_environment = || std::env::var("CUTOVER_DATABASE_URL").ok();
    let url = match &args.from_access_log {
        Some(_) => args.database_url.clone(),
        None => args.database_url.clone().or_else(of_environment),
    };
    match (url, &args.from_access_log) {
        (Some(url), log) => of_database(args, &url, log.as_deref(), printer).await,
        (None, Some(log)) => of_access_log(args, log, printer),
        (None, None) => {
            let what = "nothing is named to start from: give --from-access-log FILE or \
                        --database-url URL";
            let hint = "a database tells its table pairs, an access log becomes a scenario for `cutover \
                        drive --scenario`";
            Err(Error::usage(what, hint))
        }
    }
}

/// The files made of a database; the scenario of the access log if one is named.
const FILES: [&str; 3] = ["cutover.toml", "seed.toml", "scenario.toml"];

async fn of_database(
    args: &InitArgs,
    url: &str,
    log: Option<&Path>,
    printer: &Printer,
) -> Result<Exit> {
    pg::options(url)?;
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from("."));
    let paths = FILES.map(|name| folder.join(name));
    not_there(args, &paths)?;
    let scenario = log.map(|log| read_log(args, log)).transpose()?;
    let found = discover::look(url, args.org.as_deref(), !args.no_probe).await?;
    let (told, scenario) = match scenario {
        Some(FromLog { text, summary }) => (Some(told(&summary)), text),
        None => (None, found.scenario()),
    };
    let texts = [found.config(), found.seed_profile(), scenario];
    // What could not be read back would be no start.
    Config::parse("the new cutover.toml", &texts[0])?;
    if found.pairs.iter().any(|pair| pair.org.is_some() && !pair.key.is_empty()) {
        seed::Profile::parse_text("the new seed.toml", &texts[1])?;
    }
    Scenario::parse("the new scenario.toml", &texts[2])?;
    let _folder = Place::make(&folder)?;
    // Whoever came meanwhile is not overwritten either.
    not_there(args, &paths)?;
    for (path, text) in paths.iter().zip(&texts) {
        write_whole(path, text.as_bytes())?;
    }
    let mut lines = vec![format!("{}: {} table pairs", found.database, found.pairs.len())];
    lines.extend(found.told().iter().map(|told| line(told).into_owned()));
    lines.extend(told);
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    lines.push(format!("written: {}", names.join(", ")));
    let [config, seed, scenario] = &names[..] else { unreachable!("three files are written") };
    lines.push(format!(
        "next: look at the lines that say CHECK, then\n  cutover check-config --config {config} \
         --profile-file {seed} --scenario {scenario}"
    ));
    printer.result(&lines.join("\n"));
    printer.json(&json!({
        "database": found.database, "files": names,
        "pairs": found.pairs.iter().map(object).collect::<Vec<_>>(),
        "untied": found.untied.iter().map(object).collect::<Vec<_>>(),
        "without_legacy": found.alone,
    }));
    Ok(Exit::OK)
}

fn object(pair: &discover::Pair) -> serde_json::Value {
    json!({
        "name": pair.name, "legacy": pair.legacy.name.to_string(),
        "partitioned": pair.twin.name.to_string(), "org": pair.org,
        "groups": pair.groups(), "key": pair.key,
        "ignore": pair.ignore, "only_legacy": pair.only_legacy, "only_partitioned": pair.only_twin,
        "triggers": pair.triggers.iter().map(|t| &t.name).collect::<Vec<_>>(),
        "writes": pair.writes, "untied": pair.untied,
    })
}

/// Refuses to overwrite what is there, unless told.
fn not_there(args: &InitArgs, paths: &[PathBuf]) -> Result<()> {
    match paths.iter().find(|path| !args.force && path.exists()) {
        None => Ok(()),
        Some(path) => {
            let what = format!("--out {}: is there already", path.display());
            Err(Error::usage(what, "give another name, move that file away, or add --force"))
        }
    }
}

fn read_log(args: &InitArgs, log: &Path) -> Result<FromLog> {
    let options = LogOptions {
        org_param: args.org_param.clone(),
        org_field: args.org_field.clone(),
        org_segment: args.org_segment.clone(),
        org_header: args.org_header.clone(),
    };
    match log {
        dash if dash == Path::new("-") => from_log("standard input", std::io::stdin(), &options),
        path => from_log(&path.display().to_string(), open(path)?, &options),
    }
}

fn of_access_log(args: &InitArgs, log: &Path, printer: &Printer) -> Result<Exit> {
    not_there(args, args.out.as_slice())?;
    let FromLog { text, summary } = read_log(args, log)?;
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
