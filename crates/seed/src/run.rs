//! The act: check, put aside, load, put back, tell.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::ledger::{self, Loaded, Record};
use super::load::{Job, Target};
use super::plan::{Plan, Table};
use super::totals::{self, TableTotals};
use super::{Options, Profile, Replicate, catalog, disk, existing, sql, suspended};
use cutover_error::{Context, Error, Result};
use cutover_evidence::manifest::Manifest;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::pg;

/// How long a killed run's connections are waited for: the server ends them within seconds.
const KILLED_RUN_TIMEOUT: Duration = Duration::from_secs(20);

/// Fills the tables of a profile, and says what is in them now.
///
/// # Errors
/// A usage error if profile, options, schema or present data do not allow it (nothing was
/// touched); a run error if the database breaks; [`Error::Interrupted`] if a signal asked us
/// to stop. In the last two cases indexes and triggers were put back as far as the database let us,
/// and [`super::Existing::Resume`] finishes the run.
pub fn run<'a>(
    database_url: &'a str,
    profile: &'a Profile,
    options: &'a Options,
    context: &'a ActContext,
) -> BoxFuture<'a, Result<Manifest>> {
    // In a box: else whoever waits for it compiles all of this once more.
    Box::pin(fill(database_url, profile, options, context))
}

async fn fill(
    database_url: &str,
    profile: &Profile,
    options: &Options,
    context: &ActContext,
) -> Result<Manifest> {
    let began = Instant::now();
    options.check()?;
    let mut options = options.clone();
    let mut plan = Plan::new(profile, &options)?;
    let mut control = pg::connect(database_url).await?;
    let first_org = existing::first_org(&mut control, &plan, &options).await?;
    if first_org != options.first_org {
        options.first_org = first_org;
        plan = Plan::new(profile, &options)?;
    }
    catalog::check(&mut control, &plan, &options).await?;
    disk::check(&mut control, database_url, &plan, &options, context).await?;
    let record = Record::new(profile.fingerprint()?, &options);
    lock(&mut control, &options, context).await?;
    let plan = Arc::new(plan);
    let loaded = set_up(&mut control, &plan, &options, &record, context).await?;

    let outcome = load(database_url, &plan, &options, &record, loaded, context).await;
    if last_at_work(&mut control, &options).await? {
        let restored = restore(database_url, &options, context).await;
        // What broke the load explains a failure to restore, not the other way round.
        let loaded = outcome?;
        restored?;
        finish(&mut control, database_url, &plan, &options, context).await?;
        ledger::finish(&mut control, &record).await?;
        return Ok(manifest(&plan, &options, &record, &loaded, began));
    }
    context.note("another shard is still at work: it will build the indexes");
    Ok(manifest(&plan, &options, &record, &outcome?, began))
}

/// The day a run recorded in this database is anchored to, if it has as many orgs and shards:
/// what a resumed run, or the next shard, takes if no day is given.
///
/// # Errors
/// A run error if the database cannot be asked.
pub async fn recorded_as_of(database_url: &str, options: &Options) -> Result<Option<NaiveDate>> {
    let mut connection = pg::connect(database_url).await?;
    let recorded = ledger::read_record(&mut connection).await?;
    let shards = options.shard.map_or(1, |shard| shard.count);
    let same = recorded.filter(|record| record.orgs == options.orgs && record.shards == shards);
    Ok(same.and_then(|record| record.as_of.parse().ok()))
}

/// Whether a database is a local rig's, and its name: emptying any other asks for the name.
///
/// # Errors
/// A run error if the database cannot be asked.
pub async fn rig_and_name(database_url: &str) -> Result<(bool, String)> {
    let mut connection = pg::connect(database_url).await?;
    let what = "cannot ask for the database's name";
    let rig = sqlx::query_scalar(sql::IS_RIG).fetch_one(&mut connection).await.or_run(what, "")?;
    let name = sqlx::query_scalar(sql::DATABASE_NAME).fetch_one(&mut connection).await;
    Ok((rig, name.or_run(what, "")?))
}

/// A whole run works alone; shards work side by side, but wait while one of them puts things back.
async fn lock(control: &mut PgConnection, options: &Options, context: &ActContext) -> Result<()> {
    match options.shard {
        None => {
            take(control, sql::LOCK_ALONE, sql::RUN_LOCK, Some(KILLED_RUN_TIMEOUT), context).await?
        }
        Some(_) => take(control, sql::LOCK_SHARED, sql::RUN_LOCK, None, context).await?,
    }
    // Whoever loaded the same part before, and was killed, is gone for good once this succeeds.
    let loaders = loader_lock(options);
    take(control, sql::LOCK_ALONE, loaders, Some(KILLED_RUN_TIMEOUT), context).await?;
    release(control, sql::UNLOCK_ALONE, loaders).await
}

/// The lock that the loading connections of this part hold.
fn loader_lock(options: &Options) -> i64 {
    sql::LOADER_LOCK + options.shard.map_or(0, |shard| i64::from(shard.index))
}

async fn take(
    control: &mut PgConnection,
    statement: &'static str,
    number: i64,
    patience: Option<Duration>,
    context: &ActContext,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let got: bool = sqlx::query_scalar(statement)
            .bind(number)
            .fetch_one(&mut *control)
            .await
            .or_run("cannot take the lock of the seed", "")?;
        if got {
            return Ok(());
        }
        if patience.is_some_and(|patience| began.elapsed() > patience) {
            let hint = "wait for it, or load in parts with --shard";
            return Err(Error::run("another seed run is at work on this database", hint));
        }
        context.check_stop()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn release(control: &mut PgConnection, statement: &'static str, number: i64) -> Result<()> {
    let released = sqlx::query(statement).bind(number).execute(control).await;
    released.map(|_| ()).or_run("cannot give back the lock of the seed", "")
}

/// Whether nobody else loads any more, so that things are to be put back.
async fn last_at_work(control: &mut PgConnection, options: &Options) -> Result<bool> {
    if options.shard.is_none() {
        return Ok(true);
    }
    let what = "cannot change the lock of the seed";
    sqlx::query(sql::UNLOCK_SHARED)
        .bind(sql::RUN_LOCK)
        .execute(&mut *control)
        .await
        .or_run(what, "")?;
    sqlx::query_scalar(sql::LOCK_ALONE)
        .bind(sql::RUN_LOCK)
        .fetch_one(control)
        .await
        .or_run(what, "")
}

/// Settles what is there and puts aside what stands in the way, in one transaction.
async fn set_up(
    control: &mut PgConnection,
    plan: &Plan,
    options: &Options,
    record: &Record,
    context: &ActContext,
) -> Result<Loaded> {
    let what = "cannot set up the seed";
    take(control, sql::LOCK_ALONE, sql::SETUP_LOCK, None, context).await?;
    let mut transaction = control.begin_with(sql::BEGIN_SNAPSHOT).await.or_run(what, "")?;
    let loaded = existing::settle(&mut transaction, plan, options, record).await?;
    ledger::unfinish(&mut transaction).await?;
    if options.replicate == Replicate::Copy {
        suspended::suspend(&mut transaction, &suspended::table_names(plan)).await?;
    }
    transaction.commit().await.or_run(what, "")?;
    release(control, sql::UNLOCK_ALONE, sql::SETUP_LOCK).await?;
    Ok(loaded)
}

async fn load(
    database_url: &str,
    plan: &Arc<Plan>,
    options: &Options,
    record: &Record,
    loaded: Loaded,
    context: &ActContext,
) -> Result<Loaded> {
    if options.replicate == Replicate::Trigger {
        // What a killed run put aside is needed now.
        suspended::restore(database_url, options.connections, context).await?;
    }
    let pending: VecDeque<Range<u64>> =
        chunks(options, record).filter(|chunk| !loaded.contains_key(&chunk.start)).collect();
    let rows =
        pending.iter().map(|chunk| plan.expected_rows(chunk.clone(), options.replicate)).sum();
    context.started("seed", Some(rows), "rows of all tables");
    let target = Target {
        plan: plan.clone(),
        database_url: database_url.to_owned(),
        replicate: options.replicate,
        loader_lock: loader_lock(options),
        context: context.clone(),
    };
    let job = Arc::new(Job::new(target, pending, loaded));
    let outcome = job.run(options.connections).await;
    context.emit(Event::Finished);
    outcome?;
    let loaded = job.loaded();
    match chunks(options, record).find(|chunk| !loaded.contains_key(&chunk.start)) {
        Some(chunk) => {
            Err(Error::run(format!("the orgs from {} were not loaded", chunk.start), ""))
        }
        None => Ok(loaded),
    }
}

fn chunks(options: &Options, record: &Record) -> impl Iterator<Item = Range<u64>> {
    let (range, step) = (options.range(), record.chunk_orgs);
    range.clone().step_by(step as usize).map(move |from| from..range.end.min(from + step))
}

async fn restore(database_url: &str, options: &Options, context: &ActContext) -> Result<()> {
    context.started("seed: indexes and triggers", None, "statements");
    let outcome = suspended::restore(database_url, options.connections, context).await;
    context.emit(Event::Finished);
    outcome
}

/// Leaves the tables as a platform's would be: sequences behind the ids, hint bits set, statistics.
async fn finish(
    control: &mut PgConnection,
    database_url: &str,
    plan: &Plan,
    options: &Options,
    context: &ActContext,
) -> Result<()> {
    context.started("seed: statistics", None, "statements");
    let names = suspended::table_names(plan);
    for row in suspended::query(control, sql::SEQUENCES, &names).await? {
        let (sequence, table, column): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let statement = sql::advance_sequence(&sequence, &table, &column);
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *control)
            .await
            .or_run(format!("cannot advance the sequence {sequence}"), "")?;
    }
    let leaves = suspended::query(control, sql::LEAVES, &names).await?;
    let vacuum = leaves.iter().map(|row| (None, sql::vacuum(row.get(0)))).collect();
    suspended::side_by_side(database_url, options.connections, vacuum, context).await?;
    let tables = plan.tables.iter().flat_map(Table::sides);
    let analyze = tables.map(|table| (None, sql::analyze(table))).collect();
    let outcome =
        suspended::side_by_side(database_url, options.connections, analyze, context).await;
    context.emit(Event::Finished);
    outcome
}

fn manifest(
    plan: &Plan,
    options: &Options,
    record: &Record,
    loaded: &Loaded,
    began: Instant,
) -> Manifest {
    let mut sums = vec![TableTotals::default(); plan.tables.len()];
    for chunk in chunks(options, record) {
        let totals = loaded.get(&chunk.start).into_iter().flatten();
        sums.iter_mut().zip(totals).for_each(|(sum, totals)| sum.add(totals));
    }
    let range = options.range();
    Manifest {
        rng_seed: options.rng_seed,
        as_of: options.as_of.to_string(),
        orgs: range.end - range.start,
        tables: totals::manifest(plan, &sums),
        org_sizes: plan.sizes.histogram(range),
        duration_s: began.elapsed().as_secs_f64(),
    }
}
