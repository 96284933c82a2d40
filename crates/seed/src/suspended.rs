//! What stands in the way of a load is put aside, and always comes back.
//!
//! Triggers are disabled, indexes and foreign keys dropped. How each is put back is written to the
//! database in the very transaction that puts it aside, and struck out in the transaction that puts
//! it back; so whatever happens in between, the next start knows what is left to do.

use std::sync::Mutex;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::task::JoinSet;

use super::plan::{Plan, Table};
use super::sql;
use cutover_error::{Context, Error, Result};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::pg;

/// The order in which things come back; only the first stage is done on several connections.
#[derive(Clone, Copy)]
enum Stage {
    BuildIndex = 1,
    Constraint = 2,
    PartitionedIndex = 3,
    AttachIndex = 4,
    ForeignKey = 5,
    Trigger = 6,
}

/// The names of a plan's tables on all sides, quoted.
pub fn table_names(plan: &Plan) -> Vec<String> {
    plan.tables.iter().flat_map(Table::sides).map(ToString::to_string).collect()
}

/// Puts aside whatever is still in place; to be called in a transaction.
///
/// # Errors
/// A run error that names what could not be put aside.
pub async fn suspend(connection: &mut PgConnection, names: &[String]) -> Result<()> {
    let hint = "the user needs to own the tables; or load with --replicate trigger";
    let mut work = Vec::new();
    let mut notes = Vec::new();
    for row in query(connection, sql::FOREIGN_KEYS, names).await? {
        let (table, name, definition): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        work.push(sql::drop_constraint(&table, &name));
        notes.push((Stage::ForeignKey, sql::add_constraint(&table, &name, &definition)));
    }
    for row in query(connection, sql::INDEXES, names).await? {
        index(&row, &mut work, &mut notes);
    }
    for row in query(connection, sql::TRIGGERS, names).await? {
        let (table, name, state): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        work.push(sql::disable_trigger(&table, &name));
        notes.push((Stage::Trigger, sql::enable_trigger(&table, &name, &state)));
    }
    for (stage, statement) in notes {
        sqlx::query(sql::WRITE_ASIDE)
            .bind(stage as i32)
            .bind(&statement)
            .execute(&mut *connection)
            .await
            .or_run(format!("cannot note `{statement}`"), hint)?;
    }
    for statement in work {
        sqlx::raw_sql(AssertSqlSafe(statement.as_str()))
            .execute(&mut *connection)
            .await
            .or_run(format!("cannot put aside: {statement}"), hint)?;
    }
    Ok(())
}

/// One index: what drops it, and the steps that bring it back.
fn index(row: &sqlx::postgres::PgRow, work: &mut Vec<String>, notes: &mut Vec<(Stage, String)>) {
    let (table, index, bare): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let (partitioned, definition): (bool, String) = (row.get(3), row.get(4));
    let constraint: Option<String> = row.get(5);
    let constraint_definition: Option<String> = row.get(6);
    let kind: Option<String> = row.get(7);
    let parent: Option<String> = row.get(8);
    match (&constraint, &constraint_definition) {
        (Some(name), Some(text)) if partitioned => {
            let statement = sql::add_constraint_only(&table, name, text);
            notes.push((Stage::PartitionedIndex, statement));
        }
        (None, _) if partitioned => notes.push((Stage::PartitionedIndex, definition)),
        (Some(name), Some(text)) => {
            notes.push((Stage::BuildIndex, definition));
            // Deferrability is all that a definition says and USING INDEX does not take over.
            let tail = text.find(" DEFERRABLE").map_or("", |at| &text[at..]);
            let kind = kind.as_deref().unwrap_or("u");
            let statement = sql::constraint_from_index(&table, name, &bare, kind, tail);
            notes.push((Stage::Constraint, statement));
        }
        _ => notes.push((Stage::BuildIndex, definition)),
    }
    match parent {
        Some(parent) => notes.push((Stage::AttachIndex, sql::attach_index(&parent, &index))),
        // The leaves' go with it.
        None => work.push(match &constraint {
            Some(name) => sql::drop_constraint(&table, name),
            None => sql::drop_index(&index),
        }),
    }
}

/// Brings everything back, index builds on several connections.
///
/// # Errors
/// A run error that names the first statement that failed; what is left stays noted, and
/// `--resume` tries it again.
pub async fn restore(database_url: &str, connections: usize, context: &ActContext) -> Result<()> {
    let mut control = pg::connect(database_url).await?;
    let left: Vec<(i64, i32, String)> = sqlx::query_as(sql::READ_ASIDE)
        .fetch_all(&mut control)
        .await
        .or_run("cannot read what was put aside", "")?;
    let (builds, rest): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|(_, stage, _)| *stage == Stage::BuildIndex as i32);
    let steps = builds.into_iter().map(|(id, _, statement)| (Some(id), statement)).collect();
    side_by_side(database_url, connections, steps, context).await?;
    session(&mut control).await?;
    // The rest is catalog work: one transaction spares a commit for each of some hundred steps.
    let what = "cannot put indexes and triggers back";
    let mut transaction = control.begin().await.or_run(what, "")?;
    for (id, _, statement) in rest {
        put_back(&mut transaction, Some(id), &statement).await?;
        context.emit(Event::Advanced(1));
    }
    transaction.commit().await.or_run(what, "")
}

/// Runs independent statements on several connections; the first error ends them all.
///
/// A step with an id is one that was noted, and is struck out in its own transaction.
///
/// # Errors
/// A run error that names the statement.
pub async fn side_by_side(
    database_url: &str,
    connections: usize,
    mut steps: Vec<(Option<i64>, String)>,
    context: &ActContext,
) -> Result<()> {
    steps.reverse();
    let width = connections.min(steps.len());
    let queue = std::sync::Arc::new(Mutex::new(steps));
    let mut tasks = JoinSet::new();
    for _ in 0..width {
        let (queue, url, context) = (queue.clone(), database_url.to_owned(), context.clone());
        tasks.spawn(async move {
            let mut connection = pg::connect(&url).await?;
            session(&mut connection).await?;
            loop {
                let next = queue.lock().expect("no panic while held").pop();
                let Some((id, statement)) = next else { return Ok::<_, Error>(()) };
                if let Err(error) = alone(&mut connection, id, &statement).await {
                    queue.lock().expect("no panic while held").clear();
                    return Err(error);
                }
                context.emit(Event::Advanced(1));
            }
        });
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.or_run("a builder broke", "")?;
        outcome = outcome.and(ended);
    }
    outcome
}

/// A step in a transaction of its own, or in none if the statement allows none.
async fn alone(connection: &mut PgConnection, id: Option<i64>, statement: &str) -> Result<()> {
    if id.is_none() {
        return put_back(connection, id, statement).await;
    }
    let what = || format!("cannot run `{statement}`");
    let mut transaction = connection.begin().await.or_run(what(), "")?;
    put_back(&mut transaction, id, statement).await?;
    transaction.commit().await.or_run(what(), "")
}

async fn session(connection: &mut PgConnection) -> Result<()> {
    let set = sqlx::raw_sql(sql::BUILDER_SESSION).execute(connection).await;
    set.map(|_| ()).or_run("cannot prepare a session", "")
}

/// Runs a step and strikes it out; both or neither happen, in the caller's transaction.
async fn put_back(connection: &mut PgConnection, id: Option<i64>, statement: &str) -> Result<()> {
    let hint = "mend the cause, then finish with --resume";
    let what = || format!("cannot run `{statement}`");
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await;
    done.or_run(what(), hint)?;
    if let Some(id) = id {
        sqlx::query(sql::CLEAR_ASIDE).bind(id).execute(connection).await.or_run(what(), hint)?;
    }
    Ok(())
}

/// Runs a query over our tables and their partitions.
///
/// # Errors
/// A run error if the catalog cannot be read.
pub async fn query(
    connection: &mut PgConnection,
    statement: &'static str,
    names: &[String],
) -> Result<Vec<sqlx::postgres::PgRow>> {
    sqlx::query(statement)
        .bind(names)
        .fetch_all(connection)
        .await
        .or_run("cannot read the catalog", "")
}
