//! `cutover drill`: emergencies rehearsed against the clock.

use std::fmt::Write;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, intents, values};
use crate::drill::Name;
use crate::error::{Context, Error, Result};
use crate::evidence::drill::Drill;
use crate::evidence::fault::PlantedFault;
use crate::evidence::verdict::{Action, Decision};
use crate::http::{Endpoint, TrustedRoots};
use crate::pg;
use crate::rehearsal::{self, DrillOptions, FaultOptions};
use crate::run_folder::RunFolder;

/// Arguments of `drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// standard-rollback, emergency-rollback, disable-org, redis-down, replica-lag,
    /// pgbouncer-restart, primary-restart, missing-partition, restore; or all. Alone: faults, which
    /// plants every fault of the catalogue while a load runs and says who saw it
    #[arg(value_name = "NAME", required = true, num_args = 1..)]
    pub names: Vec<String>,
    /// Where the target is; without one a local rig is started.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Organisations to seed into the rig
    #[arg(long, value_name = "N", default_value = "1000", value_parser = values::orgs)]
    pub orgs: u64,
    /// Of the faults, only those whose name holds this text
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
}

/// The scorecard, which is no drill like the others.
const FAULTS: &str = "faults";

impl DrillArgs {
    fn resolve(&self) -> Result<DrillOptions> {
        let config = self.target.read_config()?;
        let target = self.target.both_or_none(&config)?;
        if let Some((_, base_url)) = &target {
            let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
            Endpoint::new(base_url, &roots)?;
        }
        let mut names = Vec::new();
        for text in &self.names {
            match text.as_str() {
                "all" => names.extend(Name::ALL),
                text => names.push(text.parse()?),
            }
        }
        Ok(DrillOptions {
            names,
            target,
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
/// If a drill is refused on the target, or the rig does not start.
pub async fn run(args: DrillArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    if args.names.iter().any(|name| name == FAULTS) {
        return plant_faults(&args, printer, stop).await;
    }
    if !args.only.is_empty() {
        let what = "--only: it chooses among faults, not among drills";
        return Err(Error::usage(what, "cutover drill faults --only TEXT, or name the drills"));
    }
    let options = args.resolve()?;
    let target = options.target.as_ref();
    let place = intents::place(target.map(|(url, _)| url.as_str()), target.map(|(_, url)| url));
    let changes: Vec<_> = target.map(|_| intents::drill(&args.names)).into_iter().collect();
    intents::announce(printer, &options.config.environment, &place, &changes, &[])?;
    pg::refuse_pooler(target.map(|(url, _)| url.as_str())).await?;
    let folder = RunFolder::create(args.target.out.as_deref())?;
    let drills = rehearsal::drill(&options, &folder, &printer.context(stop)).await?;
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

/// Plants the faults, and says who saw each.
async fn plant_faults(
    args: &DrillArgs,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Exit> {
    if args.names.len() > 1 {
        let what = "drill faults: it takes the rig for itself";
        return Err(Error::usage(what, "run the other drills in a run of their own"));
    }
    let config = args.target.read_config()?;
    if args.target.both_or_none(&config)?.is_some() {
        let what = "drill faults: it breaks tables, triggers and the platform on purpose";
        return Err(Error::usage(what, "leave the target away: it starts a rig of its own"));
    }
    let options = FaultOptions {
        only: args.only.clone(),
        rng_seed: args.target.rng_seed,
        as_of: chrono::Utc::now().date_naive(),
        executable: std::env::current_exe().or_run("cannot find this program's own path", "")?,
    };
    let folder = RunFolder::create(args.target.out.as_deref())?;
    let faults = rehearsal::plant_faults(&options, &folder, &printer.context(stop)).await?;
    for fault in &faults {
        printer.result(&score(fault));
    }
    let passed = faults.iter().filter(|fault| fault.passed()).count();
    printer.result(&format!("{passed} of {} faults seen as they should be", faults.len()));
    printer.json(&serde_json::json!({ "dir": folder.path(), "faults": faults }));
    printer.note(&format!("evidence: {}", folder.path().join("faults.json").display()));
    Ok(match faults.iter().find(|fault| !fault.passed()) {
        None => Exit::OK,
        // One that was missed outweighs one that could not be played.
        Some(_) if faults.iter().any(|f| !f.passed() && f.broke.is_empty()) => {
            Exit::NO_GO_PERFORMANCE
        }
        Some(_) => Exit::INCONCLUSIVE,
    })
}

/// A fault in a line; in a second one what it should have been, if it was not so.
fn score(fault: &PlantedFault) -> String {
    let word = match (fault.passed(), fault.expected.is_empty()) {
        (true, true) => "QUIET",
        (true, false) => "SEEN",
        (false, _) if !fault.broke.is_empty() => "BROKE OFF",
        (false, true) => "ALARM",
        (false, false) => "MISSED",
    };
    let after = fault.seen_after_s.map_or(String::new(), |after_s| format!("{after_s:.1} s"));
    let decision = fault.decision.map_or("no verdict", Decision::label);
    let action = fault.action.map_or("", Action::label);
    let by = words(&fault.seen_by);
    let name = &fault.name;
    let mut text = format!("{word:<9} {name:<34} {after:>7}  {decision}: {action}  {by}");
    if !fault.passed() {
        let (expected, action) = (words(&fault.expected), fault.expected_action.label());
        let _ = write!(text, "\n          expected: {expected} and {action}");
        if !fault.classes_missed.is_empty() {
            let _ = write!(text, "; not found: {}", words(&fault.classes_missed));
        }
        if !fault.broke.is_empty() {
            let _ = write!(text, "; {}", fault.broke);
        }
    }
    text
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

fn words(of: &[impl ToString]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
