//! `cutover seed`: synthetic data.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, intents, values};
use crate::error::{Error, Result};
use crate::evidence::manifest::Manifest;
use crate::rehearsal::reference::failure;
use crate::run_folder::RunFolder;
use crate::seed::{self, Existing, Options, Profile, Replicate, Shard};
use crate::{pg, platform};

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
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = values::seeded_orgs)]
    #[arg(allow_negative_numbers = true)]
    pub orgs: u64,
    /// Day the calendar is anchored to; all data lies before it. Default: today, or as recorded
    /// where a run is resumed or another shard began
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = values::day)]
    pub as_of: Option<NaiveDate>,
    /// Mean number of transactions of an org over all pairs
    #[arg(long, default_value_t = 10.5, value_name = "M", value_parser = values::transactions)]
    #[arg(allow_negative_numbers = true)]
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
    /// The database's name, to confirm --reset anywhere but on a local rig
    #[arg(long, value_name = "DATABASE", requires = "reset")]
    pub yes_reset: Option<String>,
    /// Finish what an interrupted run began
    #[arg(long, conflicts_with = "append")]
    pub resume: bool,
    /// Add orgs behind those that are there
    #[arg(long)]
    pub append: bool,
    /// Database connections that load at once
    #[arg(long, default_value_t = 4, value_name = "C", value_parser = values::database_connections)]
    pub connections: usize,
    /// How the twins are filled
    #[arg(long, value_enum, default_value_t = By::Copy)]
    pub replicate: By,
    /// Print the rows of one org as JSON, a line per row, and load nothing
    #[arg(long, value_name = "ID", value_parser = values::seeded_orgs)]
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
    seed::check(&profile, &options)?;
    if let Some(org) = args.show_org {
        return show_org(&profile, &options, org, printer);
    }
    let url = args.target.required_database_url()?;
    let config = args.target.read_config()?;
    let intents = [intents::seed(&profile, args.reset)];
    intents::announce(
        printer,
        &config.environment,
        &intents::place(Some(url), None),
        &intents,
        &[],
    )?;
    pg::refuse_pooler(Some(url)).await?;
    let folder = args.target.out.as_deref().map(|out| RunFolder::create(Some(out))).transpose()?;
    if args.as_of.is_none() && (args.resume || args.shard.is_some()) {
        options.as_of = seed::recorded_as_of(url, &options).await?.unwrap_or(options.as_of);
    }
    if args.reset {
        confirm_reset(url, args.yes_reset.as_deref()).await?;
    }
    // Begun also counts: a kill may have come between two migrations.
    let reference = args.profile_file.is_none();
    if reference && (pg::is_empty(url).await? || platform::is_begun(url).await.map_err(failure)?) {
        platform::migrate(url, options.as_of).await.map_err(failure)?;
    }
    printer.note(&format!("rng seed {}, as of {}", options.rng_seed, options.as_of));
    let loaded = seed::run(url, &profile, &options, &printer.context(stop)).await;
    if let Err(Error::Interrupted) = loaded {
        printer.note("what was loaded stays; repeat it with --resume to finish");
    }
    let manifest = loaded?;
    if let Some(folder) = folder {
        let text = serde_json::to_vec_pretty(&manifest).expect("evidence types serialise");
        folder.write("manifest.json", &text)?;
    }
    printer.json(&manifest);
    printer.result(&summary(&manifest));
    Ok(Exit::OK)
}

/// Emptying tables that are not a rig's takes the database's name.
async fn confirm_reset(url: &str, confirmed: Option<&str>) -> Result<()> {
    let (rig, name) = seed::rig_and_name(url).await?;
    if rig || confirmed == Some(name.as_str()) {
        return Ok(());
    }
    let what =
        format!("--reset would empty tables of {}, which is not a local rig", pg::describe(url));
    Err(Error::usage(what, format!("if that is meant, add --yes-reset {name}")))
}

fn show_org(profile: &Profile, options: &Options, org: u64, printer: &Printer) -> Result<Exit> {
    let rows = seed::show_org(profile, options, org)?;
    printer.json(&serde_json::json!({ "org": org, "rows": rows }));
    if !printer.is_json() {
        for row in &rows {
            printer.result(&serde_json::to_string(row).expect("text serialises"));
        }
    }
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
    values::shard(text).map(|shard| Shard { index: shard.index as u32, count: shard.of as u32 })
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
