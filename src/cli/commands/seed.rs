//! `cutover seed`: synthetic data.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs};
use crate::error::{Context, Error, Result};
use crate::evidence::manifest::Manifest;
use crate::seed::{self, Existing, Options, Profile, Replicate, Shard};

/// Arguments of `seed`.
#[derive(Debug, Args)]
#[command(
    after_help = "Any org can be explained: --show-org 123 prints its rows again, without a database."
)]
pub struct SeedArgs {
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Organisations to generate (of all shards together)
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub orgs: u64,
    /// Day the calendar is anchored to; all data lies before it. Default: today, or as recorded
    /// where a run is resumed or another shard began
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub as_of: Option<NaiveDate>,
    /// Mean number of transactions of an org over all pairs
    #[arg(long, default_value_t = 10.5, value_name = "M")]
    pub transactions_per_org: f64,
    /// Description of your own tables; default: the reference schema's
    #[arg(long, value_name = "FILE")]
    pub profile_file: Option<PathBuf>,
    /// Load one part of several, for example 2/3
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    pub shard: Option<Shard>,
    /// Empty the tables first
    #[arg(long, conflicts_with_all = ["resume", "append"])]
    pub reset: bool,
    /// Finish what an interrupted run began
    #[arg(long, conflicts_with = "append")]
    pub resume: bool,
    /// Add orgs behind those that are there
    #[arg(long)]
    pub append: bool,
    /// Database connections that load at once
    #[arg(long, default_value_t = 4, value_name = "C")]
    pub connections: usize,
    /// How the twins are filled
    #[arg(long, value_enum, default_value_t = By::Copy)]
    pub replicate: By,
    /// Print the rows of one org as JSON, a line per row, and load nothing
    #[arg(long, value_name = "ID")]
    pub show_org: Option<u64>,
}

/// How the twins are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// By COPY, like the legacy tables.
    Copy,
    /// By the triggers, as the platform's own writes are.
    Trigger,
}

/// Generates and loads, or shows one org.
///
/// # Errors
/// What the act could not do.
pub async fn run(args: SeedArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let profile = match &args.profile_file {
        Some(path) => Profile::read(path)?,
        None => Profile::reference(),
    };
    let mut options = resolve(&args);
    options.check()?;
    let url = args.target.database_url.as_deref().ok_or_else(|| {
        Error::usage("--database-url is not given", "or set CUTOVER_DATABASE_URL")
    })?;
    let out = args.target.out.as_deref();
    if let Some(folder) = out {
        let hint = "give a folder that can be created";
        std::fs::create_dir_all(folder).or_usage(format!("--out {}", folder.display()), hint)?;
    }
    if args.as_of.is_none() && (args.resume || args.shard.is_some()) {
        options.as_of = seed::recorded_as_of(url, &options).await?.unwrap_or(options.as_of);
    }
    printer.note(&format!("rng seed {}, as of {}", options.rng_seed, options.as_of));
    let manifest = seed::run(url, &profile, &options, &printer.context(stop)).await?;
    if let Some(folder) = out {
        write_manifest(folder, &manifest)?;
    }
    printer.json(&manifest);
    printer.result(&summary(&manifest));
    Ok(Exit::OK)
}

fn resolve(args: &SeedArgs) -> Options {
    let defaults = Options::default();
    Options {
        orgs: args.orgs,
        rng_seed: args.target.rng_seed,
        as_of: args.as_of.unwrap_or(defaults.as_of),
        transactions_per_org: args.transactions_per_org,
        connections: args.connections,
        existing: match args {
            SeedArgs { reset: true, .. } => Existing::Reset,
            SeedArgs { resume: true, .. } => Existing::Resume,
            SeedArgs { append: true, .. } => Existing::Append,
            _ => Existing::Refuse,
        },
        shard: args.shard,
        replicate: match args.replicate {
            By::Copy => Replicate::Copy,
            By::Trigger => Replicate::Trigger,
        },
        ..defaults
    }
}

fn parse_shard(text: &str) -> std::result::Result<Shard, String> {
    let numbers = text.split_once('/').map(|(index, count)| (index.parse(), count.parse()));
    match numbers {
        Some((Ok(index), Ok(count))) if index >= 1 && index <= count => Ok(Shard { index, count }),
        _ => Err("write I/N with I from 1 to N, for example 2/3".into()),
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<()> {
    let path = folder.join("manifest.json");
    let text = serde_json::to_string_pretty(manifest).expect("evidence types serialise");
    std::fs::write(&path, text + "\n").or_run(format!("cannot write {}", path.display()), "")
}

fn summary(manifest: &Manifest) -> String {
    let mut lines = vec![format!("{} orgs in {:.1} s", manifest.orgs, manifest.duration_s)];
    for table in &manifest.tables {
        lines.push(format!(
            "  {:<14} {:>12} rows on each side, sum {:>24}, digest {}",
            table.name, table.rows, table.amount_sum, table.digest
        ));
    }
    lines.join("\n")
}
