//! What is there already, and whether this run may go on.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::ledger::{self, Loaded, Record};
use super::plan::{Plan, Table};
use super::{Existing, Options, sql, suspended};
use cutover_error::{Context, Error, Result};
use cutover_ground::pg::QualifiedName;

/// What to do if a seed run was interrupted, or lacks a shard.
const UNFINISHED: &str = "a seed run began here and is not finished: repeat it with its own flags and \
                          --resume, or start over with --reset";

/// Decides about the data that is there, empties the tables if that was asked for, and returns
/// what this run need not load again. To be called in a transaction that sees one snapshot.
///
/// # Errors
/// A usage error if the run must not go on; the transaction is then rolled back, so nothing was
/// touched.
pub async fn settle(
    connection: &mut PgConnection,
    plan: &Plan,
    options: &Options,
    record: &Record,
) -> Result<Loaded> {
    let recorded = ledger::read_record(connection).await?;
    sqlx::raw_sql(sql::CREATE_STATE).execute(&mut *connection).await.or_run(
        "cannot create the state of the seed (schema cutover_seed)",
        "may this user create a schema?",
    )?;
    let occupied = first_occupied(connection, plan).await?;
    let loaded = ledger::read_chunks(connection).await?;
    let finished = ledger::is_finished(connection).await?;
    let same = recorded.as_ref().is_some_and(|recorded| recorded.difference(record).is_none());
    match (options.existing, &occupied) {
        (Existing::Reset, _) => {
            empty(connection, plan).await?;
        }
        (_, None) => {}
        (Existing::Append, Some(_)) if finished => {}
        (Existing::Append, Some(_)) => {
            let what = "--append: the seed run recorded here did not come to its end";
            return Err(Error::usage(what, UNFINISHED));
        }
        (Existing::Resume, Some(table)) => {
            let Some(recorded) = recorded else {
                let what = format!("{table} holds rows, and no seed run is recorded here");
                return Err(Error::usage(
                    what,
                    "add orgs with --append, or start over with --reset",
                ));
            };
            if let Some(difference) = recorded.difference(record) {
                let what = format!("the recorded seed run has other parameters: {difference}");
                return Err(Error::usage(
                    what,
                    "resume with the same flags, or start over with --reset",
                ));
            }
            check_counts(connection, plan, &loaded, record.first_org).await?;
            return Ok(loaded);
        }
        (Existing::Refuse, Some(table)) => {
            let mine = options.range();
            let sibling = options.shard.is_some() && same && !loaded.is_empty();
            if sibling && loaded.range(mine).next().is_none() {
                return Ok(loaded);
            }
            return Err(refuse(connection, table, finished).await?);
        }
    }
    ledger::begin_record(connection, record).await?;
    Ok(Loaded::new())
}

/// Empties the tables: all at once, so that foreign keys among them are no obstacle, or the twins
/// first, if a trigger empties them together with legacy and one statement cannot do it twice.
async fn empty(connection: &mut PgConnection, plan: &Plan) -> Result<()> {
    let what = "cannot empty the tables";
    let mut at_once = connection.begin().await.or_run(what, "")?;
    let statement = sql::truncate(&suspended::table_names(plan));
    if sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *at_once).await.is_ok() {
        return at_once.commit().await.or_run(what, "");
    }
    at_once.rollback().await.or_run(what, "")?;
    let twins = plan.tables.iter().filter_map(|table| table.partitioned.as_ref());
    let twins = twins.map(ToString::to_string).collect::<Vec<_>>();
    let legacy = plan.tables.iter().map(|table| table.legacy.to_string()).collect::<Vec<_>>();
    for tables in [twins, legacy].into_iter().filter(|tables| !tables.is_empty()) {
        sqlx::raw_sql(AssertSqlSafe(sql::truncate(&tables)))
            .execute(&mut *connection)
            .await
            .or_run(what, "do other tables refer to them?")?;
    }
    Ok(())
}

async fn refuse(
    connection: &mut PgConnection,
    table: &QualifiedName,
    finished: bool,
) -> Result<Error> {
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql::count(table)))
        .fetch_one(connection)
        .await
        .or_run(format!("cannot count {table}"), "")?;
    let hint = match finished {
        true => {
            "add orgs with --append, empty the tables with --reset, or rehearse on what is there with --skip-seed"
        }
        false => UNFINISHED,
    };
    Ok(Error::usage(format!("{table} is not empty: it holds {rows} rows"), hint))
}

async fn first_occupied(
    connection: &mut PgConnection,
    plan: &Plan,
) -> Result<Option<QualifiedName>> {
    for table in plan.tables.iter().flat_map(Table::sides) {
        let any: bool = sqlx::query_scalar(AssertSqlSafe(sql::has_rows(table)))
            .fetch_one(&mut *connection)
            .await
            .or_run(format!("cannot read {table}"), "")?;
        if any {
            return Ok(Some(table.clone()));
        }
    }
    Ok(None)
}

/// The tables must hold exactly what the ledger says, or somebody else wrote meanwhile.
async fn check_counts(
    connection: &mut PgConnection,
    plan: &Plan,
    loaded: &Loaded,
    first_org: u64,
) -> Result<()> {
    for (index, table) in plan.tables.iter().enumerate() {
        let noted: u64 = loaded.values().map(|totals| totals[index].rows).sum();
        for side in table.sides() {
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql::count_from(
                side,
                table.org_column(side),
                first_org,
            )))
            .fetch_one(&mut *connection)
            .await
            .or_run(format!("cannot count {side}"), "")?;
            if rows as u64 != noted {
                return Err(Error::usage(
                    format!("{side} holds {rows} rows, the interrupted seed run loaded {noted}"),
                    "somebody else wrote meanwhile: start over with --reset",
                ));
            }
        }
    }
    Ok(())
}

/// The first org of a run: behind those that are there when appending, as recorded when resuming.
///
/// # Errors
/// A run error if the database cannot be asked.
pub async fn first_org(
    connection: &mut PgConnection,
    plan: &Plan,
    options: &Options,
) -> Result<u64> {
    match options.existing {
        Existing::Resume => {
            let recorded = ledger::read_record(connection).await?;
            Ok(recorded.map_or(options.first_org, |record| record.first_org))
        }
        Existing::Append => {
            let mut last = options.first_org - 1;
            for table in &plan.tables {
                let Some(column) = table.org_column(&table.legacy) else { continue };
                let statement = sql::largest_org(&table.legacy, column);
                let largest: Option<i64> = sqlx::query_scalar(AssertSqlSafe(statement))
                    .fetch_one(&mut *connection)
                    .await
                    .or_run(format!("cannot read the orgs of {}", table.legacy), "")?;
                last = last.max(largest.unwrap_or(0) as u64);
            }
            Ok(last + 1)
        }
        Existing::Refuse | Existing::Reset => Ok(options.first_org),
    }
}
