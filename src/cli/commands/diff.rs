//! `cutover diff`: legacy against partitioned, every org, row by row.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, intents, values};
use crate::config::{Config, WritingAct};
use crate::error::foreign::{self, value};
use crate::error::{Context, Error, Result};
use crate::evidence::finding::{DiffEvidence, Finding, Severity};
use crate::evidence::run_record::{Act, ActKind, RunRecord};
use crate::evidence::shard::Shard;
use crate::run_folder::RunFolder;
use crate::{diff, pg, rehearsal};

/// Findings that the summary shows.
const SHOWN_FINDINGS: usize = 10;

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Compare only this table pair, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Compare only the orgs of this file, one per line
    #[arg(long, value_name = "FILE")]
    pub orgs_file: Option<PathBuf>,
    /// List every org in orgs.csv, not only those that differ
    #[arg(long)]
    pub all_orgs: bool,
    /// Accept table pairs and listed orgs that have no row on either side
    #[arg(long)]
    pub allow_empty: bool,
    /// Write repair.sql, which makes the rows of diverging orgs equal on the side that the application
    /// does not write to
    #[arg(long)]
    pub repair: bool,
    /// Write it also beyond a tenth of a side's rows, or if it is not proven which side is written to
    #[arg(long)]
    pub repair_any: bool,
    /// Follow the write-ahead log meanwhile: does each transaction change both sides alike? Needs
    /// wal_level = logical
    #[arg(long)]
    pub wal: bool,
    /// How long to follow it at least
    #[arg(long = "for", value_name = "D", value_parser = values::duration, default_value = "10s", requires = "wal")]
    pub wal_for: Duration,
    /// Bytes of the log that the slot may hold back; beyond it is dropped, and integrity is unknown
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "1GB", requires = "wal")]
    pub wal_keep: u64,
    /// Do not try the triggers on a row; the try is undone in any case
    #[arg(long)]
    pub no_probe: bool,
    /// Try them also if that takes what undoing does not give back: numbers, calls out of the database
    #[arg(long, conflicts_with = "no_probe")]
    pub probe_anyway: bool,
    /// Compare only rows changed since a time (2026-11-22T10:00:00Z, 2026-11-22) or for a duration
    /// (90m), by the column that `changed_at` names; deletes are not seen
    #[arg(long, value_name = "TIME", value_parser = values::since)]
    pub since: Option<DateTime<Utc>>,
    /// Compare only every N-th org, beginning with the I-th; N such runs compare all
    #[arg(long, value_name = "I/N", value_parser = values::shard)]
    pub shard: Option<Shard>,
    /// Where rows are hashed: in this process, or in the server, from which then only orgs that
    /// differ come over the wire
    #[arg(long, value_enum, default_value_t = Digest::Auto)]
    pub digest: Digest,
    /// Stop after N findings; a comparison that was stopped is never a pass
    #[arg(long, value_name = "N", value_parser = values::findings)]
    #[arg(allow_negative_numbers = true)]
    pub max_findings: Option<u64>,
    /// Stop after this time, for example 5m; a comparison that was stopped is never a pass
    #[arg(long, value_name = "D", value_parser = values::duration)]
    pub max_time: Option<Duration>,
    /// Hold no snapshot for longer, so that vacuum is not held back
    #[arg(long, value_name = "D", default_value = "10m", value_parser = values::duration)]
    pub snapshot_time: Duration,
    /// Nor after so many rows of the database have died under it
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = values::rows)]
    pub snapshot_dead_rows: u64,
    /// Go on if a comparison into the same --out was killed
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// How often finished work is saved for --resume
    #[arg(long, hide = true, default_value = "10s", value_parser = values::interval)]
    pub checkpoint_every: Duration,
    /// Read no faster, for example 50000rows/s or 20MB/s
    #[arg(long, value_name = "RATE")]
    pub throttle: Option<diff::Throttle>,
    /// Give up if the server sends nothing for so long; 30 times that if it has to sum up or
    /// sort first
    #[arg(long, value_name = "D", default_value = "2m", value_parser = values::duration)]
    pub stall_timeout: Duration,
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Where rows are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Digest {
    /// Wherever it is faster, by the speed of the wire.
    Auto,
    /// In this process.
    Client,
    /// In the server.
    Server,
}

impl From<Digest> for diff::Digest {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Auto => Self::Auto,
            Digest::Client => Self::Client,
            Digest::Server => Self::Server,
        }
    }
}

/// Compares, writes the files, says what was found.
///
/// # Errors
/// What keeps the comparison from being made; differences are no error but exit code 11.
pub async fn run(args: DiffArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let Some(database_url) = &args.target.database_url else {
        return Err(Error::usage(
            "no database to compare",
            "give --database-url or set CUTOVER_DATABASE_URL",
        ));
    };
    let config = chosen(&args)?;
    let probe = !args.no_probe && config.environment.allows(WritingAct::Probe);
    let environment = config.environment.clone();
    let mut intents: Vec<_> =
        intents::probe(&config.tables).filter(|_| probe).into_iter().collect();
    intents.extend(args.wal.then(intents::wal));
    let left_out: Vec<String> = intents::untried(&environment).into_iter().collect();
    let place = intents::place(Some(database_url), None);
    intents::announce(printer, &environment, &place, &intents, &left_out)?;
    let options = diff::Options {
        allow_empty: args.allow_empty,
        all_orgs: args.all_orgs,
        probe,
        probe_anyway: args.probe_anyway,
        probe_role: config.preflight.application_role.clone(),
        repair: args.repair || args.repair_any,
        repair_any: args.repair_any,
        wal: args.wal.then_some(args.wal_for),
        wal_keep_bytes: args.wal_keep,
        orgs: args.orgs_file.as_deref().map(listed_orgs).transpose()?,
        shard: args.shard,
        since: args.since,
        digest: args.digest.into(),
        max_findings: args.max_findings,
        max_time: args.max_time,
        snapshot_time: args.snapshot_time,
        snapshot_dead_rows: args.snapshot_dead_rows,
        resume: args.resume,
        checkpoint_every: args.checkpoint_every,
        throttle: args.throttle,
        stall_timeout: args.stall_timeout,
        ..diff::Options::default()
    };
    pg::refuse_pooler(Some(database_url)).await?;
    let out = args.target.out.clone().unwrap_or_else(default_folder);
    let folder = RunFolder::reuse(&out, is_comparison)?;
    let context = printer.context(stop);
    let mut record = rehearsal::begin_record(&folder, &config, None, args.target.rng_seed);
    rehearsal::note_triggers(&mut record, &config, database_url).await;
    let outcome = diff::run(database_url, &config.tables, &options, &out, &context).await;
    let evidence = outcome?;
    record.target.database = Some(pg::describe(database_url));
    record.duration_s = evidence.duration_s;
    record.left_out = left_out;
    record.acts.push(Act::done(ActKind::Diff, evidence.duration_s));
    record.diff = Some(evidence.clone());
    rehearsal::conclude(&folder, &mut record)?;
    printer.result(&summary(&evidence, &out));
    printer.json(&evidence);
    Ok(exit(&evidence))
}

/// Whether a folder's record is one that a further comparison may replace.
fn is_comparison(record: &RunRecord) -> bool {
    record.diff.is_some()
        && record.drive.is_none()
        && record.acts.iter().all(|act| act.name == ActKind::Diff)
}

/// The configuration, with the table pairs that are asked for.
fn chosen(args: &DiffArgs) -> Result<Config> {
    let mut config = args.target.read_config()?;
    let Some(wanted) = &args.table else { return Ok(config) };
    let names: Vec<String> = config.tables.iter().map(|pair| pair.name.clone()).collect();
    config.tables.retain(|pair| pair.name == *wanted);
    if config.tables.is_empty() {
        return Err(Error::usage(
            format!("--table: there is no table pair `{wanted}`"),
            format!("table pairs: {}", names.join(", ")),
        ));
    }
    Ok(config)
}

/// The orgs of a file, each once, in its order.
fn listed_orgs(path: &Path) -> Result<Vec<String>> {
    let place = format!("--orgs-file {}", path.display());
    let text = std::fs::read_to_string(path).or_usage(&place, "give a readable text file")?;
    let mut seen = std::collections::HashSet::new();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let orgs: Vec<String> = lines
        .filter(|org| !org.is_empty() && seen.insert(org.to_string()))
        .map(str::to_owned)
        .collect();
    if orgs.is_empty() {
        return Err(Error::usage(format!("{place}: lists no org"), "write one org per line"));
    }
    Ok(orgs)
}

fn default_folder() -> PathBuf {
    let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ");
    PathBuf::from("reports").join(format!("diff-{now}-{}", std::process::id()))
}

fn exit(evidence: &DiffEvidence) -> Exit {
    if evidence.has_differences() {
        Exit::NO_GO_INTEGRITY
    } else if evidence.complete {
        Exit::OK
    } else {
        Exit::INCONCLUSIVE
    }
}

/// What a person needs in ten seconds: the verdict, the tables, the first findings, the files.
fn summary(evidence: &DiffEvidence, out: &Path) -> String {
    let mut text = headline(evidence);
    for table in &evidence.tables {
        let classes = table.counts.by_class();
        let found: Vec<String> = classes
            .filter(|(_, count)| *count > 0)
            .map(|(class, count)| format!("{count} {class}"))
            .collect();
        let found = if found.is_empty() { "no row differs".into() } else { found.join(", ") };
        let _ = write!(
            text,
            "\n  {:<16} {:>12} legacy {:>12} partitioned   {found}",
            table.name, table.legacy_rows, table.partitioned_rows
        );
    }
    if let Some(wal) = &evidence.wal {
        let _ = write!(
            text,
            "\n  write-ahead log: {} transactions with {} changed rows, {} diverged",
            wal.transactions, wal.changes, wal.diverged
        );
    }
    for finding in shown_first(&evidence.findings) {
        let _ = write!(text, "\n  - {}", line(finding));
    }
    let more = evidence.findings_total.saturating_sub(SHOWN_FINDINGS as u64);
    if more > 0 {
        let _ = write!(text, "\n  … and {more} more");
    }
    let _ = write!(text, "\n{} and {}", show(out, "orgs.csv"), show(out, "findings.jsonl"));
    let _ = write!(text, "\nreport: {}", show(out, "report.html"));
    for repair in evidence.repairs.iter().filter(|plan| !plan.is_empty() || plan.refused.is_some())
    {
        let _ = write!(text, "\nrepair: {}", repair.words());
    }
    let mends = evidence.repairs.iter().any(|plan| !plan.is_empty() && plan.refused.is_none());
    if let Some(repair) = evidence.repair.as_ref().filter(|_| mends) {
        let _ = write!(text, "\nto mend: psql -X -v ON_ERROR_STOP=1 -f {}", show(out, repair));
    }
    text
}

/// Faults of the catalogs, rows, advice; half of them rows if so many differ.
fn shown_first(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    let (rows, catalog): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.severity.is_none());
    let is_advice = |finding: &&Finding| finding.is_advice();
    let (advice, faults): (Vec<_>, Vec<_>) = catalog.into_iter().partition(is_advice);
    let room = SHOWN_FINDINGS - rows.len().min(SHOWN_FINDINGS / 2);
    faults.into_iter().take(room).chain(rows).chain(advice).take(SHOWN_FINDINGS)
}

fn show(out: &Path, name: &str) -> String {
    out.join(name).display().to_string()
}

fn headline(evidence: &DiffEvidence) -> String {
    let orgs = format!("{} orgs in {:.1} s", evidence.orgs_checked, evidence.duration_s);
    let scope = if evidence.is_of_all_orgs() { "" } else { &evidence.scope };
    let scope = if scope.is_empty() { orgs } else { format!("{orgs} ({scope})") };
    let text = if evidence.has_differences() {
        let errors = evidence.integrity_errors;
        format!("DIFFERENT: {} of {scope} differ, {errors} catalog errors", evidence.orgs_diverged)
    } else if evidence.complete {
        format!("IDENTICAL: {scope}, not one row differs")
    } else {
        return format!("NOT COMPARED: {}", evidence.incomplete_reason);
    };
    let incomplete = if evidence.complete {
        String::new()
    } else {
        format!("\n  not complete: {}", evidence.incomplete_reason)
    };
    let digest = format!("\n  digest: {}: {}", evidence.digest, evidence.digest_reason);
    let replica = evidence.replica_position.as_ref();
    let replica = replica.map(|p| format!("\n  a replica, replayed up to {p}")).unwrap_or_default();
    // Rows that agree say nothing of what could not be seen.
    let unseen = evidence.findings.iter().filter(|finding| finding.class.is_blindness());
    let unseen: Vec<String> = unseen.map(|f| format!("{} of {}", f.class, f.table)).collect();
    let unseen = if unseen.is_empty() {
        String::new()
    } else {
        format!("\n  not known, see below: {}", unseen.join(", "))
    };
    text + &incomplete + &unseen + &digest + &replica
}

fn line(finding: &Finding) -> String {
    let place = match (finding.is_of_catalog(), finding.severity) {
        (false, _) => {
            let place = finding.org_or_group(value);
            let key = finding.key.iter();
            let key: Vec<String> = key
                .map(|(name, of_row)| {
                    format!("{name}={}", value(of_row.as_deref().unwrap_or("NULL")))
                })
                .collect();
            format!("{} {place} {}", finding.table, key.join(" "))
        }
        (true, _) if finding.accepted.is_some() => format!("{} accepted", finding.table),
        (true, Some(Severity::Advice)) => format!("{} advice", finding.table),
        (true, _) => finding.table.clone(),
    };
    let mut text = format!("{place}: {}", finding.class);
    if let Some(reason) = &finding.accepted {
        let _ = write!(text, " ({})", value(reason));
    }
    if let Some(detail) = &finding.detail {
        let _ = write!(text, ": {detail}");
    }
    for column in &finding.columns {
        let of = |side: &Option<std::collections::BTreeMap<String, Option<String>>>| {
            let found = side.as_ref().and_then(|row| row.get(column)?.as_deref());
            found.map_or(
                "NULL".into(),
                |text| if text.is_empty() { "''".into() } else { value(text) },
            )
        };
        if finding.legacy.is_some() {
            let _ =
                write!(text, "; {column} {} ≠ {}", of(&finding.legacy), of(&finding.partitioned));
        }
    }
    foreign::line(&text).into_owned()
}
