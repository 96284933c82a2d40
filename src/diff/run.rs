//! One comparison of every table pair on one snapshot.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use super::checks;
use super::digest::{Digests, OrgKey};
use super::drill_down::drill_down;
use super::outcome::Outcome;
use super::probe::{Coverage, probe};
use super::repair::Repair;
use super::scan::scan;
use super::schema::{PairPlan, Side};
use super::wal::Oracle;
use crate::act::{ActContext, Event};
use crate::config::TablePair;
use crate::error::{Context, Error, Result};
use crate::evidence::finding::{DiffEvidence, Finding, Severity, WalEvidence};
use crate::pg::catalog::Table;
use crate::pg::{Snapshot, connect};

/// Beyond this share of diverging orgs whole tables are walked rather than a list of orgs. Most of
/// the time goes into sorting and printing rows, so a list pays for long.
const WHOLE_TABLES_FROM: f64 = 0.25;

/// Orgs that one statement lists at most.
const LISTED_ORGS: usize = 200_000;

/// What to compare, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// `before` or `after` the load, or `alone`.
    pub phase: String,
    /// Whether a pair without a row on either side counts as compared.
    pub allow_empty: bool,
    /// Whether `orgs.csv` lists orgs that agree, too.
    pub all_orgs: bool,
    /// Only these orgs, as PostgreSQL prints them; `None` for every org.
    pub orgs: Option<Vec<String>>,
    /// Whether triggers are tried on a row, in a transaction that is always undone.
    pub probe: bool,
    /// Whether `repair.sql` is written.
    pub repair: bool,
    /// Follow the write-ahead log for at least so long, where asked for.
    pub wal: Option<Duration>,
    /// What the log told until now, to be judged with what is found.
    pub log: Option<WalEvidence>,
    /// Connections that read at once.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            phase: "alone".into(),
            allow_empty: false,
            all_orgs: false,
            orgs: None,
            probe: true,
            repair: false,
            wal: None,
            log: None,
            connections: 2,
        }
    }
}

/// Compares every pair and writes `orgs.csv` and `findings.jsonl` into `out`.
///
/// # Errors
/// A usage error for a table or column that is not there or a folder that cannot be written, a run
/// error where the server fails, [`Error::Interrupted`] when asked to stop; in each case no file is
/// left that looks whole.
pub async fn run(
    database_url: &str,
    tables: &[TablePair],
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<DiffEvidence> {
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(Error::Interrupted),
        outcome = compare(database_url, tables, options, out, context) => outcome,
    }
}

async fn compare(
    database_url: &str,
    tables: &[TablePair],
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<DiffEvidence> {
    let began = Instant::now();
    std::fs::create_dir_all(out)
        .or_usage(format!("cannot create {}", out.display()), "give --out a writable folder")?;
    let mut outcome = Outcome::create(out, options)?;
    let mut repair = options.repair.then(|| Repair::create(out)).transpose()?;
    let oracle = match options.wal {
        None => None,
        // Before the snapshot, which would keep the slot waiting.
        Some(_) => Some(follow(database_url, tables).await?),
    };
    if let Some(told) = options.log.clone() {
        outcome.log_read(told)?;
    }
    let mut snapshot = take_snapshot(database_url, tables).await?;
    let plans =
        look_at_catalogs(database_url, tables, options, &mut snapshot, &mut outcome).await?;
    for plan in &plans {
        if plan.integer_org {
            compare_pair::<i64>(plan, options, &mut snapshot, &mut outcome, &mut repair, context)
                .await?;
        } else {
            compare_pair::<Box<str>>(
                plan,
                options,
                &mut snapshot,
                &mut outcome,
                &mut repair,
                context,
            )
            .await?;
        }
    }
    snapshot.close().await?;
    if let (Some(oracle), Some(at_least)) = (oracle, options.wal) {
        context.started("diff: following the write-ahead log", None, "transactions");
        tokio::time::sleep(at_least.saturating_sub(began.elapsed())).await;
        outcome.log_read(oracle.finish().await?)?;
        context.emit(Event::Finished);
    }
    if let Some(repair) = repair {
        repair.finish()?;
        outcome.repair_written();
    }
    outcome.finish(began.elapsed().as_secs_f64())
}

/// What is to be compared, pair by pair, and what the catalogs and the triggers say against it.
async fn look_at_catalogs(
    database_url: &str,
    tables: &[TablePair],
    options: &Options,
    snapshot: &mut Snapshot,
    outcome: &mut Outcome,
) -> Result<Vec<PairPlan>> {
    if let Some(finding) = checks::unfinished_seed(snapshot.connection()).await? {
        outcome.catalog_finding(finding)?;
    }
    let mut plans = Vec::new();
    for pair in tables {
        let (plan, mut findings) =
            PairPlan::make(snapshot.connection(), pair, database_url).await?;
        check_listed_orgs(&plan, options)?;
        let coverage = if options.probe && plan.probe {
            probe(database_url, &plan).await?
        } else {
            Coverage::unknown(&plan, "the probe of the triggers is switched off")
        };
        findings.extend(checks::check(snapshot.connection(), &plan, &coverage).await?);
        findings.sort_by_key(|finding| finding.severity == Some(Severity::Advice));
        for finding in findings {
            outcome.catalog_finding(finding)?;
        }
        plans.push(plan);
    }
    Ok(plans)
}

/// Begins to follow the write-ahead log: whether each transaction changes both sides alike.
///
/// # Errors
/// A usage error for a table that is not there or a server whose log does not tell, a run error
/// where the server refuses.
pub async fn follow(database_url: &str, tables: &[TablePair]) -> Result<Oracle> {
    let mut connection = connect(database_url).await?;
    let mut plans = Vec::new();
    for pair in tables {
        plans.push(PairPlan::make(&mut connection, pair, database_url).await?.0);
    }
    Oracle::start(database_url, plans).await
}

/// Looks every table up before anything is locked, so that a wrong name gets a clear answer.
async fn take_snapshot(database_url: &str, tables: &[TablePair]) -> Result<Snapshot> {
    let mut connection = connect(database_url).await?;
    let mut names = Vec::new();
    for pair in tables {
        for name in [pair.legacy_name()?, pair.partitioned_name()?] {
            Table::find(&mut connection, &name, database_url).await?;
            names.push(name);
        }
    }
    Snapshot::take(database_url, &names).await
}

/// A listed org that cannot be one is a slip in the list, not an org without rows.
fn check_listed_orgs(plan: &PairPlan, options: &Options) -> Result<()> {
    let listed = options.orgs.iter().flatten();
    match listed.into_iter().find(|org| plan.integer_org && org.parse::<i64>().is_err()) {
        None => Ok(()),
        Some(org) => Err(Error::usage(
            format!("org `{org}` is not a whole number, as the orgs of `{}` are", plan.name),
            "list one org per line, as PostgreSQL prints it",
        )),
    }
}

async fn compare_pair<K: OrgKey>(
    plan: &PairPlan,
    options: &Options,
    snapshot: &mut Snapshot,
    outcome: &mut Outcome,
    repair: &mut Option<Repair>,
    context: &ActContext,
) -> Result<()> {
    let estimate: f64 =
        Side::BOTH.iter().flat_map(|side| plan.leaves(*side)).map(|leaf| leaf.rows_estimate).sum();
    let total = (estimate > 0.0).then_some(estimate as u64);
    context.started(format!("diff: {}", plan.name), total, "rows");
    let digests =
        scan::<K>(plan, options.orgs.as_deref(), snapshot, options.connections, context).await?;
    context.emit(Event::Finished);
    for finding in null_findings(plan, &digests) {
        outcome.catalog_finding(finding)?;
    }
    let diverging: HashMap<String, [u32; 2]> = digests
        .orgs()
        .filter(|(org, digest)| digest.diverges() || digests.misrouted.contains(*org))
        .map(|(org, digest)| (org.text(), digest.rows))
        .collect();
    outcome.begin_table(plan.org.on(Side::Legacy));
    if !diverging.is_empty() {
        context.started(
            format!("diff: {} orgs of {} differ", diverging.len(), plan.name),
            None,
            "rows",
        );
        let share = diverging.len() as f64 / digests.len() as f64;
        let too_many = share > WHOLE_TABLES_FROM || diverging.len() > LISTED_ORGS;
        let whole = too_many && options.orgs.is_none();
        let orgs: Vec<String> = diverging.keys().cloned().collect();
        let orgs = (!whole).then_some(orgs.as_slice());
        drill_down(plan, orgs, snapshot, |finding| {
            context.emit(Event::Advanced(1));
            outcome.row_finding(finding)
        })
        .await?;
        context.emit(Event::Finished);
    }
    if let Some(repair) = repair {
        let orgs: BTreeSet<&str> = diverging.keys().map(String::as_str).collect();
        let misrouted = digests.misrouted.iter().map(OrgKey::text).collect();
        repair.pair(plan, &orgs, &misrouted)?;
    }
    outcome.end_table(plan, &digests, diverging)
}

/// Rows that cannot be told apart, or that belong to nobody.
fn null_findings<K>(plan: &PairPlan, digests: &Digests<K>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in Side::BOTH {
        let (table, side) = (&plan.table(side).name, side as usize);
        let counts = [
            ("null_org", digests.null_orgs[side], "no org: they were not compared"),
            ("null_key", digests.null_keys[side], "NULL in their key: nothing tells them apart"),
        ];
        for (class, rows, why) in counts.into_iter().filter(|(_, rows, _)| *rows > 0) {
            let detail = format!("{rows} rows of {table} have {why}; give them a value");
            findings.push(plan.finding(class, Severity::Error, detail));
        }
    }
    findings
}
