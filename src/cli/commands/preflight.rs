//! `cutover preflight`, `smoke`, `pilot` and `post-rollout`: the handbook's checklists as commands.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, intents, values};
use crate::config::WritingAct;
use crate::error::foreign::line;
use crate::error::{Context, Result};
use crate::evidence::checklist::Checklist;
use crate::evidence::verdict::State;
use crate::preflight::{self, Milestone, PilotOptions};
use crate::run_folder::{Place, write_whole};

/// Arguments of `preflight` and `smoke`.
#[derive(Debug, Args)]
pub struct ChecklistArgs {
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Arguments of `post-rollout`.
#[derive(Debug, Args)]
pub struct PostRolloutArgs {
    /// Which of the handbook's lists
    #[arg(value_enum, default_value_t = When::Day1)]
    pub when: When,
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// How long after 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// Row counts, triggers, reads, cache, alerts.
    #[value(name = "day-1")]
    Day1,
    /// The same, and how the partitions lie.
    #[value(name = "week-1")]
    Week1,
    /// The same, what hangs on the legacy tables, and the backup.
    #[value(name = "month-1")]
    Month1,
}

/// Arguments of `pilot`.
#[derive(Debug, Args)]
pub struct PilotArgs {
    /// Only orgs with fewer transactions
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = values::count)]
    #[arg(allow_negative_numbers = true)]
    pub fewer_than: i64,
    /// At most so many, the newest first
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = values::count)]
    #[arg(allow_negative_numbers = true)]
    pub orgs: i64,
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Goes through the pre-rollout checklist.
///
/// # Errors
/// If no target is named; what fails on it is an item of the list.
pub async fn preflight(
    args: ChecklistArgs,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Exit> {
    let config = args.target.read_config()?;
    let base_url = args.target.required_base_url(&config)?;
    let database_url = args.target.required_database_url()?;
    let (mut changes, mut left_out) = (Vec::new(), Vec::new());
    match config.environment.allows(WritingAct::Drive) {
        true => changes.push(intents::test_rows(&config)),
        false => left_out.push("whether a write through the platform stands on both sides".into()),
    }
    let place = intents::place(Some(database_url), Some(&base_url));
    intents::announce(printer, &config.environment, &place, &changes, &left_out)?;
    let _folder = args.target.out.as_deref().map(Place::make_own).transpose()?;
    let context = printer.context(stop);
    let list = preflight::preflight(&config, database_url, &base_url, &context).await?;
    show(&list, args.target.out.as_deref(), printer)
}

/// Runs the smoke tests.
///
/// # Errors
/// If no platform is named; what fails on it is an item of the list.
pub async fn smoke(
    args: ChecklistArgs,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Exit> {
    let config = args.target.read_config()?;
    let base_url = args.target.required_base_url(&config)?;
    args.target.checked_database_url()?;
    let (place, changes) = (intents::place(None, Some(&base_url)), [intents::test_rows(&config)]);
    intents::announce(printer, &config.environment, &place, &changes, &[])?;
    let _folder = args.target.out.as_deref().map(Place::make_own).transpose()?;
    let list = preflight::smoke(&config, &base_url, &printer.context(stop)).await?;
    show(&list, args.target.out.as_deref(), printer)
}

/// Goes through a post-rollout checklist.
///
/// # Errors
/// If no target is named; what fails on it is an item of the list.
pub async fn post_rollout(
    args: PostRolloutArgs,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Exit> {
    let config = args.target.read_config()?;
    let base_url = args.target.required_base_url(&config)?;
    let database_url = args.target.required_database_url()?;
    let place = intents::place(Some(database_url), Some(&base_url));
    intents::announce(printer, &config.environment, &place, &[], &[])?;
    let _folder = args.target.out.as_deref().map(Place::make_own).transpose()?;
    let milestone = match args.when {
        When::Day1 => Milestone::Day1,
        When::Week1 => Milestone::Week1,
        When::Month1 => Milestone::Month1,
    };
    let context = printer.context(stop);
    let list =
        preflight::post_rollout(&config, milestone, database_url, &base_url, &context).await?;
    show(&list, args.target.out.as_deref(), printer)
}

fn show(list: &Checklist, out: Option<&Path>, printer: &Printer) -> Result<Exit> {
    for item in &list.items {
        let word = match (item.state, item.optional) {
            (State::Pass, _) => "pass",
            (State::Fail, _) => "FAIL",
            (State::Unknown, false) => "unknown",
            (State::Unknown, true) => "open",
        };
        printer.result(&line(&format!("{word:<8} {}: {}", item.title, item.seen)));
        if !item.advice.is_empty() {
            printer.result(&format!("         → {}", item.advice));
        }
    }
    printer.json(list);
    if let Some(out) = out {
        let json = serde_json::to_vec_pretty(list).or_run("checklist", "")?;
        write_whole(&out.join(format!("{}.json", list.name)), &json)?;
    }
    Ok(match list.state() {
        State::Pass => Exit::OK,
        State::Fail => Exit::NO_GO_PERFORMANCE,
        State::Unknown => Exit::INCONCLUSIVE,
    })
}

/// Selects the pilot orgs and writes them in every form that somebody needs.
///
/// # Errors
/// If the database does not answer, no org fits, or the folder cannot be written.
pub async fn pilot(args: PilotArgs, printer: &Printer) -> Result<Exit> {
    let database_url = args.target.required_database_url()?;
    let environment = args.target.read_config()?.environment;
    let place = intents::place(Some(database_url), None);
    intents::announce(printer, &environment, &place, &[], &[])?;
    let options = PilotOptions { fewer_than: args.fewer_than, orgs: args.orgs };
    let out = args.target.out.clone().unwrap_or_else(|| PathBuf::from("reports/pilot"));
    let _folder = Place::make_own(&out)?;
    let pilot = preflight::pilot(database_url, options).await?;
    let files = [
        ("pilot-orgs.txt", &pilot.list),
        ("launchdarkly.json", &pilot.rule),
        ("pilot-check.sql", &pilot.check),
        ("flags.json", &pilot.flags),
    ];
    for (name, text) in files {
        write_whole(&out.join(name), text.as_bytes())?;
    }
    printer.result(&format!("{} pilot orgs in {}", pilot.orgs.len(), out.display()));
    let list = out.join("pilot-orgs.txt");
    printer.result(&format!("check exactly those: cutover diff --orgs-file {}", list.display()));
    printer.json(&serde_json::json!({ "dir": out, "orgs": pilot.orgs }));
    Ok(Exit::OK)
}
