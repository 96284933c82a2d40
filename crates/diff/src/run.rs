//! One comparison of every table pair.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Instant;

use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;

use super::look::{look, look_again};
use super::method::{self, Choice};
use super::options::Options;
use super::outcome::Outcome;
use super::repair::{Compared, Repair};
use super::scan::{
    Checkpoints, Digests, Epochs, Method, OrgKey, Request, Scan, Scanned, Secret, count_orgs,
    identity, scan,
};
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use super::settle::Settled;
use super::tables::Tables;
use super::wal::follow;
use cutover_error::{Context, Error, Result};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{DiffEvidence, Finding, Severity};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::TablePair;
use cutover_ground::pg::{Waiters, failure, replay_position, system_identifier};

/// How often orgs are counted anew because somebody waited for us.
const COUNTS: u32 = 5;

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
    let mut outcome = Outcome::create(out, options, tables)?;
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

/// A comparison under way.
pub(super) struct Comparison<'a> {
    pub(super) options: &'a Options,
    pub(super) out: &'a Path,
    pub(super) tables: Tables<'a>,
    pub(super) method: Method,
    /// Whether a table is spread over servers, so that no snapshot of ours holds for all of it.
    pub(super) spread: bool,
    pub(super) secret: Secret,
    pub(super) epochs: Epochs,
    pub(super) context: &'a ActContext,
}

async fn compare(
    database_url: &str,
    pairs: &[TablePair],
    options: &Options,
    out: &Path,
    outcome: &mut Outcome,
    repair: &mut Option<Repair>,
    context: &ActContext,
) -> Result<()> {
    let waiters = Waiters::watch(database_url).await?;
    let mut tables = look(database_url, pairs, options, &waiters, outcome).await?;
    let Tables { looker, plans, .. } = &mut tables;
    let Choice { method, reason } = method::choose(options.digest, plans, looker).await?;
    let replica = replay_position(looker).await?;
    let server = system_identifier(looker).await?;
    let identity = identity(server.as_deref(), plans, Rows::asked(options), method);
    outcome.describe(method, reason, (replica, server), context);
    let (mut checkpoints, secret) =
        Checkpoints::open(out, options.resume, identity, options.checkpoint_every)?;
    outcome.resumed(checkpoints.resumes());
    if options.resume && !checkpoints.resumes() {
        context.note("nothing to resume: the comparison begins anew");
    }
    let spread = method::elsewhere(plans).is_some();
    let mut epochs = Epochs::begin(database_url, waiters, options, context).await?;
    if spread {
        epochs.stop_sharing();
    }
    let mut comparison =
        Comparison { options, out, tables, method, spread, secret, epochs, context };
    for pair in 0..pairs.len() {
        if comparison.tables.plans[pair].integer_org {
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

impl Comparison<'_> {
    async fn pair<K: OrgKey>(
        &mut self,
        pair: usize,
        checkpoints: &mut Checkpoints,
        outcome: &mut Outcome,
        repair: &mut Option<Repair>,
    ) -> Result<()> {
        let Self { options, context, .. } = *self;
        let plan = &self.tables.plans[pair];
        let leaves = Side::BOTH.iter().flat_map(|side| plan.leaves(*side));
        let estimate = leaves.map(|leaf| leaf.rows_estimate).sum::<f64>() as u64;
        let total = (estimate > 0).then_some(estimate);
        context.started(format!("diff: {}", plan.name), total, "rows of both sides");
        let all_orgs = options.all_orgs || self.lists_all_orgs();
        let request = Request::asked(options, self.method, &self.secret);
        let request = Request { all_orgs, ..request };
        let tables = (&mut self.tables, pair);
        let scanned = scan::<K>(request, tables, Some(checkpoints), &mut self.epochs, context);
        let scanned = scanned.await?;
        context.emit(Event::Finished);
        let Scanned { digests, on_one_snapshot } = match scanned {
            Scan::Done(scanned) => *scanned,
            Scan::Changed(what) => return self.cannot_go_on(pair, &what, outcome),
            Scan::GivenUp => return self.cannot_go_on(pair, "somebody waited for us", outcome),
        };
        for finding in null_findings(&self.tables.plans[pair], &digests) {
            outcome.catalog_finding(finding)?;
        }
        let diverging = digests.diverging();
        let exact = on_one_snapshot && !self.spread;
        self.tell(diverging.len(), pair);
        let settled = self.settle::<K>(pair, diverging, exact, digests.len()).await?;
        let (diverging, rows) = match settled {
            Settled::Known(diverging, rows) => (diverging, rows),
            Settled::Unknown(what) => return self.cannot_go_on(pair, &what, outcome),
        };
        let plan = &self.tables.plans[pair];
        let orgs: BTreeSet<String> = match repair {
            Some(_) => diverging.keys().cloned().collect(),
            None => BTreeSet::new(),
        };
        let read = digests.totals.rows;
        let read = if exact { read } else { settled_rows(read, &diverging) };
        outcome.begin_table(plan, read, &digests, diverging)?;
        if !outcome.is_stopped() {
            let compared = rows.compare(plan, Rows::asked(options), |difference| {
                context.emit(Event::Advanced(1));
                outcome.difference(difference)?;
                Ok(!outcome.is_stopped())
            });
            compared.await?;
        }
        context.emit(Event::Finished);
        outcome.end_table(!self.spread)?;
        if let Some(repair) = repair {
            let misrouted = digests.misrouted.iter().map(OrgKey::text).collect();
            let compared = Compared::look(outcome, options, (orgs, misrouted));
            let Tables { looker, plans, directions, .. } = &mut self.tables;
            repair.pair(looker, &plans[pair], &directions[pair], compared).await?;
        }
        Ok(())
    }

    fn tell(&self, orgs: usize, pair: usize) {
        if orgs > 0 {
            let name = &self.tables.plans[pair].name;
            let what = format!("diff: {orgs} orgs of {name} differ");
            self.context.started(what, None, "rows of both sides");
        }
    }

    /// Ends the comparison: what was read of a pair is no longer what is there.
    fn cannot_go_on(&self, pair: usize, what: &str, outcome: &mut Outcome) -> Result<()> {
        outcome.stop(&format!(
            "{}: {what}, while it was compared; compare again",
            self.tables.plans[pair].name
        ));
        Ok(())
    }

    /// Whether the sums of the server name every org: where they are added up in our process, there is no
    /// statement that could count the orgs of all pairs.
    fn lists_all_orgs(&self) -> bool {
        self.method == Method::Server && self.tables.plans.iter().any(PairPlan::has_many_leaves)
    }

    /// Counts what only the server has seen, looks a last time whether the tables are what was compared, and
    /// lets go.
    async fn finish(mut self, outcome: &mut Outcome) -> Result<()> {
        let several = self.tables.plans.len() > 1 || self.options.orgs.is_some();
        let listed = self.lists_all_orgs();
        if self.method == Method::Server && several && !listed && !outcome.is_stopped() {
            self.count_orgs(outcome).await?;
        }
        for pair in 0..self.tables.plans.len() {
            let changes = self.tables.changes(pair).await?;
            if !changes.holds() {
                self.cannot_go_on(pair, &changes.words(), outcome)?;
            }
        }
        if !outcome.is_stopped() {
            look_again(&mut self.tables, self.options, outcome).await?;
        }
        outcome.snapshots(self.epochs.count());
        self.epochs.close().await
    }

    async fn count_orgs(&mut self, outcome: &mut Outcome) -> Result<()> {
        let statement = count_orgs(&self.tables.plans, Rows::asked(self.options));
        for _ in 0..COUNTS {
            let given_up = self.epochs.given_up();
            let counted = sqlx::query_as(AssertSqlSafe(statement.clone()))
                .fetch_one(self.epochs.snapshot().connection())
                .await;
            match counted {
                Ok::<(i64, Vec<String>), _>((orgs, absent)) => {
                    outcome.orgs_counted(orgs as u64, absent);
                    return Ok(());
                }
                Err(_) if given_up.is_cancelled() => self.epochs.renew().await?,
                Err(error) => {
                    self.epochs.was_ended(failure("cannot count the orgs", &error))?;
                    self.epochs.renew().await?;
                }
            }
        }
        outcome.stop("somebody waited for us each time the orgs were counted");
        Ok(())
    }
}

/// The rows of both sides where they were read at several moments, whose sums do not go together: of an org
/// that does not differ both sides have as many as legacy was seen to have.
fn settled_rows(rows: [u64; 2], diverging: &HashMap<String, [u32; 2]>) -> [u64; 2] {
    let of = |side: usize| diverging.values().map(|rows| u64::from(rows[side])).sum::<u64>();
    [rows[0], (rows[0] + of(1)).saturating_sub(of(0))]
}

/// Rows that cannot be told apart.
fn null_findings<K>(plan: &PairPlan, digests: &Digests<K>) -> impl Iterator<Item = Finding> {
    let with_null = |side: &Side| digests.totals.null_keys[*side as usize];
    Side::BOTH.into_iter().filter(move |side| with_null(side) > 0).map(move |side| {
        let (rows, table) = (with_null(&side), &plan.table(side).name);
        let detail = format!(
            "{rows} rows of {table} have NULL in their key: nothing tells them apart; give them a value"
        );
        plan.finding(CatalogClass::NullKey, Severity::Error, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_at_several_moments_differ_by_what_was_confirmed_alone() {
        // 1,000 rows came between the two sides; org 7 lacks three in the twin, org 8 has one more.
        let diverging = HashMap::from([("7".to_owned(), [9, 6]), ("8".to_owned(), [4, 5])]);
        assert_eq!(settled_rows([5_000, 6_000], &diverging), [5_000, 4_998]);
        assert_eq!(settled_rows([5_000, 6_000], &HashMap::new()), [5_000, 5_000]);
        assert_eq!(settled_rows([3, 0], &HashMap::from([("1".to_owned(), [9, 0])])), [3, 0]);
    }
}
