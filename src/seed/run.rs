//! The act: check, put aside, load, put back, tell.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::ledger::{self, Loaded, Record};
use super::load::Job;
use super::plan::{Plan, Table};
use super::totals::{self, TableTotals};
use super::{Options, Profile, Replicate, aside, catalog, existing, sql};
use crate::act::{ActContext, Event};
use crate::error::{Context, Error, Result};
use crate::evidence::manifest::Manifest;
use crate::pg;

/// Fills the tables of a profile, and says what is in them now.
///
/// # Errors
/// A usage error where profile, options, schema or present data do not allow it (nothing was
/// touched); a run error where the database breaks; [`Error::Interrupted`] where a signal asked us
/// to stop. In the last two cases indexes and triggers were put back as far as the database let us,
/// and [`super::Existing::Resume`] finishes the run.
pub async fn run(
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
    let record = Record::new(profile.fingerprint()?, &options);
    lock(&mut control, &options, context).await?;
    let plan = Arc::new(plan);
    let loaded = set_up(&mut control, &plan, &options, &record).await?;

    let outcome = load(database_url, &plan, &options, &record, loaded, context).await;
    if last_at_work(&mut control, &options).await? {
        let restored = restore(database_url, &options, context).await;
        // What broke the load explains a failure to restore, not the other way round.
        let loaded = outcome?;
        restored?;
        finish(&mut control, database_url, &plan, &options, context).await?;
        return Ok(manifest(&plan, &options, &record, &loaded, began));
    }
    context.note("another shard is still at work: it will build the indexes");
    Ok(manifest(&plan, &options, &record, &outcome?, began))
}

/// The day a run recorded in this database is anchored to, where it has as many orgs and shards:
/// what a resumed run, or the next shard, takes where no day is given.
///
/// # Errors
/// A run error where the database cannot be asked.
pub async fn recorded_as_of(database_url: &str, options: &Options) -> Result<Option<NaiveDate>> {
    let mut connection = pg::connect(database_url).await?;
    let recorded = ledger::read_record(&mut connection).await?;
    let shards = options.shard.map_or(1, |shard| shard.count);
    let same = recorded.filter(|record| record.orgs == options.orgs && record.shards == shards);
    Ok(same.and_then(|record| record.as_of.parse().ok()))
}

/// A whole run works alone; shards work side by side, but wait while one of them puts things back.
async fn lock(control: &mut PgConnection, options: &Options, context: &ActContext) -> Result<()> {
    let statement = if options.shard.is_some() { sql::LOCK_SHARED } else { sql::LOCK_ALONE };
    loop {
        let got: bool = sqlx::query_scalar(statement)
            .bind(sql::RUN_LOCK)
            .fetch_one(&mut *control)
            .await
            .or_run("cannot take the lock of the seed", "")?;
        if got {
            return Ok(());
        }
        if options.shard.is_none() {
            let hint = "wait for it, or load in parts with --shard";
            return Err(Error::run("another seed run is at work on this database", hint));
        }
        context.check_stop()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
) -> Result<Loaded> {
    let what = "cannot set up the seed";
    sqlx::query(sql::LOCK_SETUP)
        .bind(sql::SETUP_LOCK)
        .execute(&mut *control)
        .await
        .or_run(what, "")?;
    let mut transaction = control.begin_with(sql::BEGIN_SNAPSHOT).await.or_run(what, "")?;
    let loaded = existing::settle(&mut transaction, plan, options, record).await?;
    if options.replicate == Replicate::Copy {
        aside::put_aside(&mut transaction, &aside::table_names(plan)).await?;
    }
    transaction.commit().await.or_run(what, "")?;
    sqlx::query(sql::UNLOCK_SETUP).bind(sql::SETUP_LOCK).execute(control).await.or_run(what, "")?;
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
        aside::restore(database_url, options.connections, context).await?;
    }
    let pending: VecDeque<Range<u64>> =
        chunks(options, record).filter(|chunk| !loaded.contains_key(&chunk.start)).collect();
    let rows =
        pending.iter().map(|chunk| plan.expected_rows(chunk.clone(), options.replicate)).sum();
    context.started("seed: rows", Some(rows), "rows");
    let copies =
        Job::new(plan.clone(), database_url, options.replicate, pending, loaded, context.clone());
    let job = Arc::new(copies);
    let outcome = job.run(options.connections).await;
    context.emit(Event::Finished);
    outcome?;
    let loaded = job.loaded.lock().expect("no panic while held").clone();
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
    let outcome = aside::restore(database_url, options.connections, context).await;
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
    let names = aside::table_names(plan);
    for row in aside::query(control, sql::sequences(), &names).await? {
        let (sequence, table, column): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let statement = sql::advance_sequence(&sequence, &table, &column);
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *control)
            .await
            .or_run(format!("cannot advance the sequence {sequence}"), "")?;
    }
    let leaves = aside::query(control, sql::leaves(), &names).await?;
    let vacuum = leaves.iter().map(|row| (None, sql::vacuum(row.get(0)))).collect();
    aside::side_by_side(database_url, options.connections, vacuum, context).await?;
    let tables = plan.tables.iter().flat_map(Table::sides);
    let analyze = tables.map(|table| (None, sql::analyze(table))).collect();
    let outcome = aside::side_by_side(database_url, options.connections, analyze, context).await;
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
