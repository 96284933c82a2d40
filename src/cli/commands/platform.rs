//! `cutover platform`: the reference service alone.

use std::net::SocketAddr;

use chrono::Utc;
use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, values};
use crate::error::{Error, Result};
use crate::platform::{self, FlagChange, Flags, Misbehaviour};
use crate::rehearsal::reference::failure;

/// Arguments of `platform`.
#[derive(Debug, Args)]
pub struct PlatformArgs {
    /// PostgreSQL to serve from; migrated first
    #[arg(long, env = "CUTOVER_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: String,
    /// Address to listen on; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:4000", value_name = "ADDR", value_parser = values::listen)]
    pub listen: SocketAddr,
    /// Redis for the cache; without it the cache is in memory
    #[arg(long, env = "CUTOVER_REDIS_URL", hide_env_values = true, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Streaming replica to read from
    #[arg(long, env = "CUTOVER_REPLICA_URL", hide_env_values = true, value_name = "URL")]
    pub replica_url: Option<String>,
    /// The same PostgreSQL behind a pooler in transaction mode; all but migrations goes there
    #[arg(long, env = "CUTOVER_POOLER_URL", hide_env_values = true, value_name = "URL")]
    pub pooler_url: Option<String>,
    /// The same replica behind a pooler in transaction mode
    #[arg(long, env = "CUTOVER_REPLICA_POOLER_URL", hide_env_values = true, value_name = "URL")]
    pub replica_pooler_url: Option<String>,
    /// Let the header X-Cutover-Mode choose the side of a request
    #[arg(long)]
    pub mode_header: bool,
    /// Who reads from the partitioned tables: off, on, or a percentage such as 5%;
    /// default: USE_PARTITIONED_TABLES and USE_PARTITIONED_TABLES_PERCENTAGE
    #[arg(long, value_name = "off|on|PCT%")]
    pub partitioned: Option<String>,
    /// Go wrong on purpose, for example slow-partitioned=25%; may be given more than once
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub misbehave: Vec<String>,
}

/// Migrates, serves until told to stop, and says where as soon as it does.
///
/// # Errors
/// Wrong arguments before anything is touched; else what the platform could not do.
pub async fn run(args: PlatformArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let change = match &args.partitioned {
        Some(text) => text.parse().map_err(|e: platform::Error| named("--partitioned", &e))?,
        None => flags_of_environment()?,
    };
    let misbehave = args
        .misbehave
        .iter()
        .map(|text| text.parse::<Misbehaviour>().map_err(|e| named("--misbehave", &e)))
        .collect::<Result<Vec<_>>>()?;
    let options = platform::Options {
        database_url: args.database_url,
        listen: args.listen,
        redis_url: args.redis_url,
        replica_url: args.replica_url,
        pooler_url: args.pooler_url,
        replica_pooler_url: args.replica_pooler_url,
        mode_header: args.mode_header,
        flags: Flags::default().changed(change).map_err(failure)?,
        misbehave,
    };
    options.check().map_err(failure)?;
    platform::migrate(&options.database_url, Utc::now().date_naive()).await.map_err(failure)?;
    let ready = |address: SocketAddr| {
        printer.line_of_json(&json!({ "base_url": format!("http://{address}") }));
    };
    platform::serve(options, ready, stop).await.map_err(failure)?;
    Ok(Exit::OK)
}

/// The handbook's environment variables.
fn flags_of_environment() -> Result<FlagChange> {
    let read = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let refuse = |name: &str, text: &str, allowed: &str| {
        Err(Error::usage(format!("{name} is `{text}`; it must be {allowed}"), ""))
    };
    let mut change = FlagChange::default();
    let name = "USE_PARTITIONED_TABLES";
    if let Some(text) = read(name) {
        change.enabled = match text.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => return refuse(name, &text, "true or false"),
        };
    }
    let name = "USE_PARTITIONED_TABLES_PERCENTAGE";
    if let Some(text) = read(name) {
        change.percentage = match text.parse() {
            Ok(percentage) => Some(percentage),
            Err(_) => return refuse(name, &text, "a number from 0 to 100"),
        };
    }
    Ok(change)
}

fn named(flag: &str, error: &platform::Error) -> Error {
    Error::usage(format!("{flag}: {error}"), error.hint().unwrap_or_default())
}
