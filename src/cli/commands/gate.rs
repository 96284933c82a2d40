//! `cutover gate`: the verdict again, from the run's folder alone.

use std::path::{Path, PathBuf};

use clap::Args;

use super::report;
use crate::cli::{Exit, NotifyArgs, Printer, values, verdict_text};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::evidence::limits::Phase;
use crate::evidence::rollout::RolloutStep;
use crate::evidence::run_record::{Question, RunRecord};
use crate::{gate, rehearsal, run_folder};

/// Arguments of `gate`.
#[derive(Debug, Clone, Args)]
pub struct GateArgs {
    /// The run's folder, for example reports/latest
    pub run_dir: PathBuf,
    /// Phase of the handbook: dev, staging, pilot, increment or post-rollout [default: the run's own]
    #[arg(long, value_name = "PHASE", value_parser = phase)]
    pub phase: Option<Phase>,
    /// The increment that is asked about, percent of orgs; implies --phase increment
    #[arg(long, value_name = "PCT", value_parser = increment)]
    pub increment: Option<f64>,
    /// An earlier run, or a folder of runs, that this one must not be slower than
    #[arg(long, value_name = "RUN_DIR")]
    pub baseline: Option<PathBuf>,
    /// Of a folder of runs, look at the newest so many
    #[arg(long, value_name = "N", default_value = "14", requires = "baseline")]
    #[arg(value_parser = values::runs, allow_negative_numbers = true)]
    pub nights: usize,
    /// A further folder whose drills.json, faults.json and watch.jsonl count; the run's own always do
    #[arg(long, value_name = "DIR")]
    pub evidence: Vec<PathBuf>,
    /// Whom to tell.
    #[command(flatten)]
    pub notify: NotifyArgs,
}

fn phase(text: &str) -> Result<Phase, String> {
    let named = Phase::ALL.into_iter().find(|phase| phase.as_str() == text);
    named.ok_or_else(|| format!("give one of {}", Phase::ALL.map(Phase::as_str).join(", ")))
}

fn increment(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent),
        _ => Err("give a percentage above 0 and up to 100".into()),
    }
}

/// Holds the record against earlier runs; refuses if none can be compared.
fn earlier_runs(
    record: &mut RunRecord,
    baseline: &Path,
    args: &GateArgs,
    p: &Printer,
) -> Result<()> {
    rehearsal::hold_against(record, baseline, args.nights)?;
    for run in &record.incomparable {
        p.note(&format!("run {} is left out: {}", run.run_id, run.why));
    }
    if record.history.is_empty() {
        let what = "no run there can be compared with this one";
        return Err(Error::usage(
            format!("--baseline {}: {what}", baseline.display()),
            "runs compare on the same kind of machine, with the same scenario and data",
        ));
    }
    Ok(())
}

/// Asks about what the arguments name, and otherwise about what the run was made for: not about what
/// somebody asked last.
fn ask(record: &mut RunRecord, args: &GateArgs) {
    let stands = Question { phase: record.phase, increment_percent: record.increment_percent };
    let own = record.made_for.unwrap_or(stands);
    let implied = args.increment.map_or(own.phase, |_| Phase::Increment);
    record.phase = args.phase.unwrap_or(implied);
    record.increment_percent = args.increment.or(own.increment_percent);
    let asked = Question { phase: record.phase, increment_percent: record.increment_percent };
    record.made_for = Some(own).filter(|own| *own != asked);
}

/// Takes what drills and hours of watching have left in the run's own folder and in those named, and
/// only that: what an earlier question brought along is not the run's.
fn outside_evidence(record: &mut RunRecord, args: &GateArgs) -> Result<()> {
    (record.drills, record.faults, record.watch) = (Vec::new(), Vec::new(), None);
    if let Some(missing) = args.evidence.iter().find(|folder| !folder.is_dir()) {
        let what = format!("--evidence {}: there is no such folder", missing.display());
        return Err(Error::usage(
            what,
            "give one that holds drills.json, faults.json or watch.jsonl",
        ));
    }
    let mut samples = Vec::new();
    for folder in std::iter::once(&args.run_dir).chain(&args.evidence) {
        let found = run_folder::read_outside(folder)?;
        let fresh: Vec<_> =
            found.drills.into_iter().filter(|drill| !record.drills.contains(drill)).collect();
        record.drills.extend(fresh);
        let fresh: Vec<_> =
            found.faults.into_iter().filter(|fault| !record.faults.contains(fault)).collect();
        record.faults.extend(fresh);
        samples.extend(found.samples);
        let own = *folder == args.run_dir;
        let unlisted = found.files.into_iter().filter(|file| own && !record.files.contains(file));
        let unlisted: Vec<_> = unlisted.collect();
        record.files.extend(unlisted);
    }
    if !samples.is_empty() {
        record.watch = Some(gate::watched(&samples, record.target.base_url.as_deref()));
    }
    Ok(())
}

/// The record with everything it is to be judged by; `None` if it cannot be trusted at all.
fn read(args: &GateArgs, printer: &Printer) -> Result<Option<RunRecord>> {
    let read = run_folder::read_record(&args.run_dir).and_then(|mut record| {
        rehearsal::judge_steps(&args.run_dir, &mut record);
        outside_evidence(&mut record, args)?;
        Ok(record)
    });
    match read {
        // Evidence that cannot be read is evidence that cannot be trusted.
        Err(error @ Error::Run { .. }) => {
            printer.error(&error);
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// What a rollout noted of an increment.
struct Noted {
    step: RolloutStep,
    /// What of the rollout is not as it was left.
    altered: Vec<String>,
}

/// Of a rollout, the run of the increment that is asked about, its last attempt, and what was noted of
/// it.
fn run_of_increment(args: &GateArgs) -> Result<Option<(PathBuf, Noted)>> {
    let Some(mut whole) = run_folder::read_record(&args.run_dir).ok() else { return Ok(None) };
    rehearsal::judge_steps(&args.run_dir, &mut whole);
    let Some(rollout) = whole.rollout else { return Ok(None) };
    let Some(percent) = args.increment else {
        return match args.baseline {
            None => Ok(None),
            Some(_) => {
                let what = "--baseline: a whole rollout has no load of its own to compare";
                Err(Error::usage(what, "ask about one of its increments: --increment PCT"))
            }
        };
    };
    let asked = rollout.steps.iter().find(|step| step.percent == percent);
    let step = asked.filter(|step| !step.folder.is_empty()).cloned();
    let step = step.ok_or_else(|| {
        let driven = rollout.steps.iter().filter(|step| !step.folder.is_empty());
        let driven: Vec<String> = driven.map(|step| step.percent.to_string()).collect();
        let what = format!("--increment {percent}: this rollout has not driven it");
        Error::usage(what, format!("its increments: {}", driven.join(", ")))
    })?;
    Ok(Some((args.run_dir.join(&step.folder), Noted { step, altered: whole.altered })))
}

/// Judges the record, writes the verdict into it and into the pages, and says it.
///
/// # Errors
/// A usage error if a folder holds no run record, or none that can be compared.
pub async fn run(args: &GateArgs, printer: &Printer) -> Result<Exit> {
    check_question(args)?;
    let Some((run_dir, noted)) = run_of_increment(args)? else {
        return judge(args, None, printer).await;
    };
    // What the drills of the rollout have left counts for each of its increments.
    let mut evidence = args.evidence.clone();
    evidence.push(args.run_dir.clone());
    judge(&GateArgs { run_dir, evidence, ..args.clone() }, Some(noted), printer).await
}

/// Development and staging have no increments.
fn check_question(args: &GateArgs) -> Result<()> {
    match (args.phase, args.increment) {
        (Some(phase @ (Phase::Dev | Phase::Staging)), Some(percent)) => {
            let what = format!("--phase {} has no increment of {percent} %", phase.as_str());
            Err(Error::usage(
                what,
                "leave one of the two out; --increment alone is --phase increment",
            ))
        }
        _ => Ok(()),
    }
}

async fn judge(args: &GateArgs, noted: Option<Noted>, printer: &Printer) -> Result<Exit> {
    let notifier = args.notify.resolve(&Config::default())?;
    let Some(mut record) = read(args, printer)? else { return Ok(Exit::INVALID) };
    ask(&mut record, args);
    if let Some(baseline) = &args.baseline {
        earlier_runs(&mut record, baseline, args, printer)?;
    }
    record.altered.extend(noted.iter().flat_map(|noted| noted.altered.clone()));
    gate::judge(&mut record);
    let refused = noted.map(|noted| noted.step).filter(|step| step.exit_code != Exit::OK);
    let refused = refused.filter(|_| record.verdict.exit_code == Exit::OK);
    if let Some(step) = &refused {
        // What the rollout saw around the load stands in no run of its own.
        record.verdict.decision = step.decision;
        record.verdict.action = step.action;
        record.verdict.exit_code = step.exit_code;
        record.verdict.reasons.clone_from(&step.reasons);
    }
    if !record.altered.is_empty() || refused.is_some() {
        // A fresh digest would make the alteration look like the original.
        printer.note("the verdict is not stored: the record is left as it was found");
    } else if let Err(error) = run_folder::trusted(&args.run_dir)
        .and_then(|()| run_folder::write_record(&args.run_dir, &record))
        // The pages say what the record says.
        .and_then(|()| report::write(&args.run_dir, &record))
    {
        printer.note(&format!("the verdict is not stored: {error}"));
    }
    printer.json(&record);
    printer.result(&verdict_text::verdict(&record));
    notifier.tell(&record, &args.run_dir, printer).await;
    Ok(record.verdict.exit_code)
}
