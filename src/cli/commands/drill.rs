//! `cutover drill`: emergencies rehearsed against the clock.

use std::fmt::Write;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, intents, values};
use crate::drill::Name;
use crate::error::{Context, Result};
use crate::evidence::drill::Drill;
use crate::rehearsal::{self, DrillOptions};
use crate::run_folder::RunFolder;

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// standard-rollback, emergency-rollback, disable-org, redis-down, replica-lag,
    /// pgbouncer-restart, primary-restart, missing-partition, restore; or all
    #[arg(value_name = "NAME", required = true, num_args = 1..)]
    pub names: Vec<String>,
    /// Where the target is; without one a local rig is started.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Organisations to seed into the rig
    #[arg(long, value_name = "N", default_value = "1000", value_parser = values::orgs)]
    pub orgs: u64,
}

impl DrillArgs {
    fn resolve(&self) -> Result<DrillOptions> {
        let config = self.target.read_config()?;
        let mut names = Vec::new();
        for text in &self.names {
            match text.as_str() {
                "all" => names.extend(Name::ALL),
                text => names.push(text.parse()?),
            }
        }
        Ok(DrillOptions {
            names,
            target: self.target.both_or_none(&config)?,
            config,
            orgs: self.orgs,
            rng_seed: self.target.rng_seed,
            as_of: chrono::Utc::now().date_naive(),
            executable: std::env::current_exe()
                .or_run("cannot find this program's own path", "")?,
        })
    }
}

/// Runs the drills and says how each went.
///
/// # Errors
/// Where a drill is refused on the target, or the rig does not start.
pub async fn run(args: DrillArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let options = args.resolve()?;
    let target = options.target.as_ref();
    let place = intents::place(target.map(|(url, _)| url.as_str()), target.map(|(_, url)| url));
    let changes: Vec<_> = target.map(|_| intents::drill(&args.names)).into_iter().collect();
    intents::announce(printer, &options.config.environment, &place, &changes, &[])?;
    let folder = RunFolder::create(args.target.out.as_deref())?;
    let outcome = rehearsal::drill(&options, &folder, &printer.context(stop)).await;
    if outcome.is_err() {
        // Removes it only where nothing is in it.
        let _ = std::fs::remove_dir(folder.path());
    }
    let drills = outcome?;
    for drill in &drills {
        printer.result(&line(drill));
    }
    printer.json(&serde_json::json!({ "dir": folder.path(), "drills": drills }));
    printer.note(&format!("evidence: {}", folder.path().join("drills.json").display()));
    Ok(if drills.iter().all(Drill::passed) {
        Exit::OK
    } else if drills.iter().any(|drill| drill.measured_s.is_none()) {
        Exit::INCONCLUSIVE
    } else {
        Exit::NO_GO_PERFORMANCE
    })
}

fn line(drill: &Drill) -> String {
    let word = match (drill.passed(), drill.measured_s) {
        (true, _) => "PROVEN",
        (false, Some(_)) => "NOT PROVEN",
        (false, None) => "BROKE OFF",
    };
    let mut text = format!("{word:<10} {:<19}", drill.name);
    if let (Some(measured_s), Some(limit_s)) = (drill.measured_s, drill.limit_s) {
        let _ = write!(text, " {measured_s:>6.1} s of {limit_s:.0} s");
    }
    if !drill.passed() {
        let _ = write!(text, "\n           {}", drill.note);
    }
    text
}
