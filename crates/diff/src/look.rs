//! What is to be compared, pair by pair, and what the catalogs and the triggers say against it.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;

use super::direction::Direction;
use super::firing::Part;
use super::locks::LockTable;
use super::options::Options;
use super::outcome::Outcome;
use super::probe::{Coverage, Manner, probe};
use super::schema::{PairPlan, Side};
use super::tables::{Frame, Tables, Told};
use super::{checks, firing, pruning};
use cutover_error::{Error, Result};
use cutover_evidence::finding::{Finding, Severity};
use cutover_evidence::pruning::Pruning;
use cutover_ground::config::TablePair;
use cutover_ground::pg::catalog::Table;
use cutover_ground::pg::{Means, Session, Waiters, Watched, connect_reading, describe};

/// Parts of a table's rows, by the triggers that fire on them, that are tried.
const TRIED_PARTS: usize = 8;

/// How many looks are begun in all; one more for each that somebody waited for.
const LOOKS: u32 = 60;

/// Looks at the tables of all pairs, each statement in a transaction of its own: no lock outlives it.
///
/// # Errors
/// A usage error for a table or column that is not there, a run error if the server fails.
pub(super) async fn look<'a>(
    database_url: &'a str,
    pairs: &'a [TablePair],
    options: &Options,
    waiters: &Waiters,
    outcome: &mut Outcome,
) -> Result<Tables<'a>> {
    let mut looker = connect_reading(database_url).await?;
    find_tables(&mut looker, database_url, pairs).await?;
    let mut quiet = Quiet { session: Session::of(&mut looker).await?, waiters, left: LOOKS };
    if let Some(finding) = checks::unfinished_seed(&mut looker).await? {
        outcome.catalog_finding(finding)?;
    }
    let locks = LockTable::of(&mut looker).await?;
    let mut plans = Vec::<PairPlan>::new();
    let (mut directions, mut frames, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for pair in pairs {
        if plans.last().is_some_and(PairPlan::has_many_leaves) {
            // A backend remembers every relation that it was asked about.
            looker = connect_reading(database_url).await?;
            quiet.session = Session::of(&mut looker).await?;
        }
        let looked = look_at(&mut looker, &mut quiet, locks, (pair, database_url), options).await?;
        outcome.planned(looked.pruning);
        for finding in &looked.findings {
            outcome.catalog_finding(finding.clone())?;
        }
        told.push(Told { findings: looked.findings, parts: parts_of(&looked.plan) });
        plans.push(looked.plan);
        directions.push(looked.direction);
        frames.push(looked.frame);
    }
    if plans.iter().any(PairPlan::has_many_leaves) {
        looker = connect_reading(database_url).await?;
    }
    Ok(Tables { looker, database_url, pairs, plans, directions, frames, told })
}

/// Looks again at pairs that have other partitions by now; tells what is new.
///
/// # Errors
/// As [`look`].
pub(super) async fn look_again(
    tables: &mut Tables<'_>,
    options: &Options,
    outcome: &mut Outcome,
) -> Result<()> {
    let database_url = tables.database_url;
    for pair in 0..tables.plans.len() {
        if tables.parts(pair).await? == tables.told[pair].parts {
            continue;
        }
        let waiters = Waiters::watch(database_url).await?;
        let mut looker = connect_reading(database_url).await?;
        let session = Session::of(&mut looker).await?;
        let mut quiet = Quiet { session, waiters: &waiters, left: LOOKS };
        let locks = LockTable::of(&mut looker).await?;
        let pair = (&tables.pairs[pair], &tables.told[pair]);
        let looked =
            look_at(&mut looker, &mut quiet, locks, (pair.0, database_url), options).await?;
        for finding in looked.findings.into_iter().filter(|one| !pair.1.findings.contains(one)) {
            outcome.catalog_finding(finding)?;
        }
    }
    Ok(())
}

/// The relations that hold the rows of each side.
fn parts_of(plan: &PairPlan) -> [BTreeSet<i64>; 2] {
    Side::BOTH.map(|side| plan.leaves(side).iter().map(|leaf| leaf.oid).collect())
}

/// A pair as it was seen.
struct Looked {
    plan: PairPlan,
    direction: Direction,
    frame: Frame,
    findings: Vec<Finding>,
    pruning: Vec<Pruning>,
}

async fn look_at(
    looker: &mut PgConnection,
    quiet: &mut Quiet<'_>,
    locks: LockTable,
    (pair, database_url): (&TablePair, &str),
    options: &Options,
) -> Result<Looked> {
    let Made { plan, mut findings, mut direction, parts, frame } = loop {
        let quiet = quiet.begin()?;
        let made = make(looker, pair, database_url).await;
        if quiet.lasted() {
            break made?;
        }
    };
    check_scope(&plan, options)?;
    locks.check(&plan, options.connections)?;
    let mut tried = Vec::new();
    for part in parts {
        let coverage =
            try_part(database_url, &plan, &direction, &part, options, tried.len()).await?;
        direction.tried(&coverage);
        tried.push((part, coverage));
    }
    let (checked, pruning) = loop {
        let quiet = quiet.begin()?;
        let checked = check(looker, &plan, &direction, &tried, locks).await;
        if quiet.lasted() {
            break checked?;
        }
    };
    findings.extend(checked);
    findings.sort_by_key(|finding| finding.severity == Some(Severity::Advice));
    Ok(Looked { plan, direction, frame, findings, pruning })
}

/// Looks every table up before anything is tried, so that a wrong name gets a clear answer.
async fn find_tables(
    looker: &mut PgConnection,
    database_url: &str,
    pairs: &[TablePair],
) -> Result<()> {
    let (mut there, mut missing) = (false, None);
    for pair in pairs {
        for name in [pair.legacy_name()?, pair.partitioned_name()?] {
            match Table::find(looker, &name, database_url).await {
                Ok(_) => there = true,
                Err(error) => missing = missing.or(Some(error)),
            }
        }
    }
    match missing {
        None => Ok(()),
        // Tables that nobody named are not named to anybody either.
        Some(Error::Usage { .. }) if !there && TablePair::are_presumed(pairs) => {
            Err(TablePair::none_described(&describe(database_url)))
        }
        Some(error) => Err(error),
    }
}

/// What one look at a pair's catalogs comes to.
struct Made {
    plan: PairPlan,
    findings: Vec<Finding>,
    direction: Direction,
    parts: Vec<Part>,
    frame: Frame,
}

async fn make(looker: &mut PgConnection, pair: &TablePair, database_url: &str) -> Result<Made> {
    let (plan, findings) = PairPlan::make(looker, pair, database_url).await?;
    let direction = Direction::look(looker, &plan, pair).await?;
    let parts = firing::parts(looker, &plan, direction.written).await?;
    let frame = Frame::of(looker, &plan).await?;
    Ok(Made { plan, findings, direction, parts, frame })
}

/// What the triggers carry of a part, the `number`th.
async fn try_part(
    database_url: &str,
    plan: &PairPlan,
    direction: &Direction,
    part: &Part,
    options: &Options,
    number: usize,
) -> Result<Coverage> {
    if !(options.probe && plan.probe && direction.by_triggers()) {
        return Ok(Coverage::unknown(plan, "the probe of the triggers is switched off"));
    }
    if number >= TRIED_PARTS {
        return Ok(Coverage::unknown(plan, "no more kinds of partitions are tried"));
    }
    let manner = Manner { anyway: options.probe_anyway, role: options.probe_role.as_deref() };
    probe(database_url, plan, direction, part, manner).await
}

async fn check(
    looker: &mut PgConnection,
    plan: &PairPlan,
    direction: &Direction,
    tried: &[(Part, Coverage)],
    locks: LockTable,
) -> Result<(Vec<Finding>, Vec<Pruning>)> {
    let findings = checks::check(looker, plan, direction, tried).await?;
    Ok((findings, pruning::look(looker, plan, locks).await?))
}

/// Looks while which nobody waits for us; a look that was disturbed is begun anew.
struct Quiet<'w> {
    session: Session,
    waiters: &'w Waiters,
    /// Looks that may still be begun.
    left: u32,
}

/// A look under way.
struct QuietLook {
    given_up: CancellationToken,
    _watched: Watched,
}

impl Quiet<'_> {
    fn begin(&mut self) -> Result<QuietLook> {
        if let Some(error) = self.waiters.failed() {
            return Err(error);
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Error::run(
                "others waited for our look at the catalogs each time",
                "is a change of these tables under way? try again once it is done",
            )
        })?;
        let given_up = self.waiters.begin();
        Ok(QuietLook { given_up, _watched: self.waiters.look_after(&self.session, Means::Cancel) })
    }
}

impl QuietLook {
    /// Whether nobody waited for us.
    fn lasted(&self) -> bool {
        !self.given_up.is_cancelled()
    }
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
