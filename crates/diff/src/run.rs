//! One comparison of every table pair.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::time::Instant;

use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::checks;
use super::direction::Direction;
use super::drill_down::Drill;
use super::locks::LockTable;
use super::method::{self, Choice};
use super::options::Options;
use super::outcome::Outcome;
use super::probe::{Coverage, probe};
use super::pruning;
use super::repair::{Compared, Repair};
use super::scan::{
    Checkpoints, Digests, Epochs, Job, Method, OrgKey, PATIENCE_WITH_WORK, Scanned, Secret,
    count_orgs, identity, scan,
};
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use super::tables::find_tables;
use super::wal::follow;
use cutover_error::{Context, Error, Result};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{DiffEvidence, Finding, Severity};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::TablePair;
use cutover_ground::pg::{failure, replay_position, system_identifier};

/// Beyond this share of diverging orgs whole tables are walked rather than a list of orgs. Most of
/// the time goes into sorting and printing rows, so a list pays for long.
const WHOLE_TABLES_FROM: f64 = 0.25;

/// Orgs that one statement lists at most.
const LISTED_ORGS: usize = 200_000;

/// Orgs times leaves up to which a list is sent for each leaf.
const LISTED_IN_ALL: usize = 20_000_000;

/// Compares every pair and writes `orgs.csv` and `findings.jsonl` into `out`.
///
/// # Errors
/// A usage error for a table or column that is not there, or for a folder that cannot be written; a
/// run error if the server fails; [`Error::Interrupted`] when asked to stop. In each case no file
/// is left that looks whole.
pub fn run<'a>(
    database_url: &'a str,
    tables: &'a [TablePair],
    options: &'a Options,
    out: &'a Path,
    context: &'a ActContext,
) -> BoxFuture<'a, Result<DiffEvidence>> {
    // In a box: else whoever waits for it compiles all of this once more.
    Box::pin(compare_all(database_url, tables, options, out, context))
}

async fn compare_all(
    database_url: &str,
    tables: &[TablePair],
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<DiffEvidence> {
    let began = Instant::now();
    std::fs::create_dir_all(out)
        .or_usage(format!("cannot create {}", out.display()), "give --out a writable folder")?;
    let mut outcome = Outcome::create(out, options, tables.len())?;
    let mut repair = options.repair.then(|| Repair::begin(out, options.repair_any)).transpose()?;
    let oracle = match options.wal {
        None => None,
        // Before the snapshot, which would keep the slot waiting.
        Some(_) => Some(follow(database_url, tables, options.wal_keep_bytes).await?),
    };
    if let Some(told) = options.log.clone() {
        outcome.log_read(told)?;
    }
    let comparison =
        compare(database_url, tables, options, out, &mut outcome, &mut repair, context);
    tokio::select! {
        biased;
        () = context.stop.cancelled() => return Err(Error::Interrupted),
        compared = within(options, comparison) => match compared {
            Some(compared) => compared?,
            None => outcome.stop("the time of --max-time was over"),
        },
    }
    context.emit(Event::Finished);
    if let (Some(oracle), Some(at_least)) = (oracle, options.wal) {
        context.started("diff: following the write-ahead log", None, "transactions");
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Err(Error::Interrupted),
            () = tokio::time::sleep(at_least.saturating_sub(began.elapsed())) => {}
        }
        outcome.log_read(oracle.finish().await?)?;
        context.emit(Event::Finished);
    }
    if let Some(repair) = repair {
        let (written, plans) = repair.finish()?;
        outcome.repaired(written, plans);
    }
    outcome.finish(began.elapsed().as_secs_f64())
}

/// `None` if the time for it was over.
async fn within<T>(options: &Options, work: impl Future<Output = T>) -> Option<T> {
    match options.max_time {
        None => Some(work.await),
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
    }
}

/// Whether the server is to be given a list of so many orgs, rather than to send all rows.
fn is_worth_listing(plan: &PairPlan, orgs: usize) -> bool {
    let leaves = Side::BOTH.iter().map(|side| plan.leaves(*side).len()).sum::<usize>();
    orgs <= LISTED_ORGS && orgs.saturating_mul(leaves) <= LISTED_IN_ALL
}

/// A comparison under way.
struct Comparison<'a> {
    database_url: &'a str,
    tables: &'a [TablePair],
    options: &'a Options,
    out: &'a Path,
    plans: Vec<PairPlan>,
    directions: Vec<Direction>,
    method: Method,
    /// Whether a table is spread over servers, so that no snapshot of ours holds for all of it.
    spread: bool,
    secret: Secret,
    epochs: Epochs,
    context: &'a ActContext,
}

async fn compare(
    database_url: &str,
    tables: &[TablePair],
    options: &Options,
    out: &Path,
    outcome: &mut Outcome,
    repair: &mut Option<Repair>,
    context: &ActContext,
) -> Result<()> {
    let names = find_tables(database_url, tables).await?;
    let (limit, stall) = (options.snapshot_time, options.stall_timeout);
    let mut epochs = Epochs::begin(database_url, names, limit, stall).await?;
    let connection = epochs.snapshot().connection();
    let (plans, directions) =
        look_at_catalogs(database_url, tables, options, connection, outcome).await?;
    let Choice { method, reason } = method::choose(options.digest, &plans, connection).await?;
    let replica = replay_position(connection).await?;
    let server = system_identifier(connection).await?;
    let identity = identity(server.as_deref(), &plans, Rows::asked(options), method);
    outcome.describe(method, reason, (replica, server), context);
    let (mut checkpoints, secret) =
        Checkpoints::open(out, options.resume, identity, options.checkpoint_every)?;
    if options.resume && !checkpoints.resumes() {
        context.note("nothing to resume: the comparison begins anew");
    }
    let spread = method::elsewhere(&plans).is_some();
    if spread {
        epochs.stop_sharing();
    }
    let mut comparison = Comparison {
        database_url,
        tables,
        options,
        out,
        plans,
        directions,
        method,
        spread,
        secret,
        epochs,
        context,
    };
    for pair in 0..comparison.plans.len() {
        if comparison.plans[pair].integer_org {
            comparison.pair::<i64>(pair, &mut checkpoints, outcome, repair).await?;
        } else {
            comparison.pair::<Box<str>>(pair, &mut checkpoints, outcome, repair).await?;
        }
        if outcome.is_stopped() {
            break;
        }
    }
    comparison.finish(outcome).await?;
    checkpoints.remove();
    Ok(())
}

/// What is to be compared, pair by pair, and what the catalogs and the triggers say against it.
async fn look_at_catalogs(
    database_url: &str,
    tables: &[TablePair],
    options: &Options,
    connection: &mut PgConnection,
    outcome: &mut Outcome,
) -> Result<(Vec<PairPlan>, Vec<Direction>)> {
    if let Some(finding) = checks::unfinished_seed(connection).await? {
        outcome.catalog_finding(finding)?;
    }
    let locks = LockTable::of(connection).await?;
    let (mut plans, mut directions) = (Vec::new(), Vec::new());
    for pair in tables {
        let (plan, mut findings) = PairPlan::make(connection, pair, database_url).await?;
        check_scope(&plan, options)?;
        locks.check(&plan, options.connections)?;
        let mut direction = Direction::look(connection, &plan, pair).await?;
        let coverage = if options.probe && plan.probe && direction.by_triggers() {
            probe(database_url, &plan, &direction, options.probe_anyway).await?
        } else {
            Coverage::unknown(&plan, "the probe of the triggers is switched off")
        };
        direction.tried(&coverage);
        findings.extend(checks::check(connection, &plan, &direction, &coverage).await?);
        findings.sort_by_key(|finding| finding.severity == Some(Severity::Advice));
        outcome.planned(pruning::look(connection, &plan, locks).await?);
        for finding in findings {
            outcome.catalog_finding(finding)?;
        }
        plans.push(plan);
        directions.push(direction);
    }
    Ok((plans, directions))
}

fn check_scope(plan: &PairPlan, options: &Options) -> Result<()> {
    if options.since.is_some() {
        plan.check_since()?;
    }
    // A listed org that cannot be one is a slip in the list, not an org without rows.
    let listed = options.orgs.iter().flatten();
    match listed.into_iter().find(|org| plan.integer_org && org.parse::<i64>().is_err()) {
        None => Ok(()),
        Some(org) => Err(Error::usage(
            format!("org `{org}` is not a whole number, as the orgs of `{}` are", plan.name),
            "list one org per line, as PostgreSQL prints it",
        )),
    }
}

impl Comparison<'_> {
    async fn pair<K: OrgKey>(
        &mut self,
        pair: usize,
        checkpoints: &mut Checkpoints,
        outcome: &mut Outcome,
        repair: &mut Option<Repair>,
    ) -> Result<()> {
        let Self { options, context, .. } = *self;
        let plan = &self.plans[pair];
        let leaves = Side::BOTH.iter().flat_map(|side| plan.leaves(*side));
        let estimate = leaves.map(|leaf| leaf.rows_estimate).sum::<f64>() as u64;
        let total = (estimate > 0).then_some(estimate);
        context.started(format!("diff: {}", plan.name), total, "rows of both sides");
        let all_orgs = options.all_orgs || self.lists_all_orgs();
        let job = Job::asked(options, plan, self.method, &self.secret);
        let job = Job { all_orgs, ..job };
        let Scanned { digests, on_one_snapshot } =
            scan::<K>(job, Some((checkpoints, pair)), &mut self.epochs, context).await?;
        context.emit(Event::Finished);
        for finding in null_findings(plan, &digests) {
            outcome.catalog_finding(finding)?;
        }
        let mut diverging = digests.diverging();
        let exact = on_one_snapshot && !self.spread;
        if !exact && !diverging.is_empty() {
            self.epochs.renew().await?;
            // Partitions may have been made meanwhile.
            let now = self.epochs.snapshot().connection();
            let (plan, _) = PairPlan::make(now, &self.tables[pair], self.database_url).await?;
            self.plans[pair] = plan;
            let job = Job::asked(options, &self.plans[pair], self.method, &self.secret);
            diverging = confirm::<K>(job, diverging, &mut self.epochs, context).await?;
        }
        let plan = &self.plans[pair];
        let orgs: BTreeSet<String> = match repair {
            Some(_) => diverging.keys().cloned().collect(),
            None => BTreeSet::new(),
        };
        let rows = digests.totals.rows;
        let rows = if exact { rows } else { settled(rows, &diverging) };
        outcome.begin_table(plan, rows, &digests, diverging)?;
        self.drill_down(pair, digests.len(), outcome).await?;
        outcome.end_table(!self.spread)?;
        if let Some(repair) = repair {
            let misrouted = digests.misrouted.iter().map(OrgKey::text).collect();
            let (plan, direction) = (&self.plans[pair], &self.directions[pair]);
            let compared = Compared::look(outcome, options, (orgs, misrouted));
            let connection = self.epochs.snapshot().connection();
            repair.pair(connection, plan, direction, compared).await?;
        }
        Ok(())
    }

    /// Whether the sums of the server name every org: where they are added up in our process, there is no
    /// statement that could count the orgs of all pairs.
    fn lists_all_orgs(&self) -> bool {
        self.method == Method::Server && self.plans.iter().any(PairPlan::has_many_leaves)
    }

    /// Names the differences of the orgs that differ.
    async fn drill_down(&mut self, pair: usize, orgs: u64, outcome: &mut Outcome) -> Result<()> {
        let Self { options, context, .. } = *self;
        let plan = &self.plans[pair];
        let diverging = outcome.diverging();
        if diverging.is_empty() || outcome.is_stopped() {
            return Ok(());
        }
        context.started(
            format!("diff: {} orgs of {} differ", diverging.len(), plan.name),
            None,
            "rows of both sides",
        );
        let share = diverging.len() as f64 / orgs as f64;
        let whole = options.orgs.is_none()
            && (share > WHOLE_TABLES_FROM || !is_worth_listing(plan, diverging.len()));
        let orgs: HashSet<String> = diverging.iter().cloned().collect();
        let mut readers = Vec::new();
        for _ in 0..if self.spread { 1 } else { options.connections.clamp(1, 2) } {
            readers.push(self.epochs.reader().await?.more_patient(PATIENCE_WITH_WORK));
        }
        let drill = Drill {
            plan,
            orgs: &orgs,
            listed: (!whole).then_some(diverging.as_slice()),
            rows: Rows::asked(options),
            together: self.spread,
            folder: self.out,
        };
        drill.read(&mut readers).await?.compare(|difference| {
            context.emit(Event::Advanced(1));
            outcome.difference(difference)?;
            Ok(!outcome.is_stopped())
        })?;
        context.emit(Event::Finished);
        for connection in readers {
            connection.close().await;
        }
        Ok(())
    }

    /// Counts what only the server has seen, and lets go of it.
    async fn finish(mut self, outcome: &mut Outcome) -> Result<()> {
        let several = self.plans.len() > 1 || self.options.orgs.is_some();
        let listed = self.lists_all_orgs();
        if self.method == Method::Server && several && !listed && !outcome.is_stopped() {
            let statement = count_orgs(&self.plans, Rows::asked(self.options));
            let (orgs, absent): (i64, Vec<String>) = sqlx::query_as(AssertSqlSafe(statement))
                .fetch_one(self.epochs.snapshot().connection())
                .await
                .map_err(|e| failure("cannot count the orgs", &e))?;
            outcome.orgs_counted(orgs as u64, absent);
        }
        outcome.snapshots(self.epochs.count());
        self.epochs.close().await
    }
}

/// The rows of both sides where they were read at several moments, whose sums do not go together: of an org
/// that does not differ both sides have as many as legacy was seen to have.
fn settled(rows: [u64; 2], diverging: &HashMap<String, [u32; 2]>) -> [u64; 2] {
    let of = |side: usize| diverging.values().map(|rows| u64::from(rows[side])).sum::<u64>();
    [rows[0], (rows[0] + of(1)).saturating_sub(of(0))]
}

/// Looks again at orgs that differed over several states of the database, now on the one of the
/// moment: a row that moved in between is no difference.
async fn confirm<K: OrgKey>(
    job: Job<'_>,
    candidates: HashMap<String, [u32; 2]>,
    epochs: &mut Epochs,
    context: &ActContext,
) -> Result<HashMap<String, [u32; 2]>> {
    let orgs: Vec<String> = candidates.into_keys().collect();
    context.started(
        format!("diff: looking again at {} orgs", orgs.len()),
        None,
        "rows of both sides",
    );
    let all = job.rows.orgs.is_none() && !is_worth_listing(job.plan, orgs.len());
    let rows = if all { job.rows } else { job.rows.of(&orgs) };
    let job = Job { rows, all_orgs: false, ..job };
    let scanned = scan::<K>(job, None, epochs, context).await?;
    context.emit(Event::Finished);
    Ok(scanned.digests.diverging())
}

/// Rows that cannot be told apart, or that belong to nobody.
fn null_findings<K>(plan: &PairPlan, digests: &Digests<K>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for side in Side::BOTH {
        let (table, totals, side) = (&plan.table(side).name, &digests.totals, side as usize);
        let counts = [
            (CatalogClass::NullOrg, totals.null_orgs[side], "no org: they were not compared"),
            (
                CatalogClass::NullKey,
                totals.null_keys[side],
                "NULL in their key: nothing tells them apart",
            ),
        ];
        for (class, rows, why) in counts.into_iter().filter(|(_, rows, _)| *rows > 0) {
            let detail = format!("{rows} rows of {table} have {why}; give them a value");
            findings.push(plan.finding(class, Severity::Error, detail));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_at_several_moments_differ_by_what_was_confirmed_alone() {
        // 1,000 rows came between the two sides; org 7 lacks three in the twin, org 8 has one more.
        let diverging = HashMap::from([("7".to_owned(), [9, 6]), ("8".to_owned(), [4, 5])]);
        assert_eq!(settled([5_000, 6_000], &diverging), [5_000, 4_998]);
        assert_eq!(settled([5_000, 6_000], &HashMap::new()), [5_000, 5_000]);
        assert_eq!(settled([3, 0], &HashMap::from([("1".to_owned(), [9, 0])])), [3, 0]);
    }
}
