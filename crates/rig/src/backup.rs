//! A backup of the rig's database while it is in use, and a second database made from one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sqlx::Connection;

use super::component::Component;
use super::guard::Guard;
use super::{folder, postgres, programs, sql};
use cutover_error::{Context, Result};
use cutover_ground::act::ActContext;
use cutover_ground::pg;

/// A rig's own data take seconds; this is for a folder with millions of rows.
const LIMIT: Duration = Duration::from_secs(1800);

/// The second database.
const RESTORED: &str = "hospitality_platform_restored";

/// Takes a backup with `pg_dump`, in its own format.
pub(super) async fn take(guard: &mut Guard, port: u16, context: &ActContext) -> Result<PathBuf> {
    let home = folder::component(&guard.dir, Component::Dump.folder(), guard.user.as_ref())?;
    let backup = home.join("backup.dump");
    let mut command = tool(guard, &home, port, Component::Dump, postgres::DATABASE)?;
    command.args(["--format", "custom", "--compress", "1", "--file"]).arg(&backup);
    run(guard, Component::Dump, command, context).await?;
    Ok(backup)
}

/// Restores a backup with `pg_restore` into a second database, an earlier one of which gives way;
/// returns its URL.
pub(super) async fn restore(
    guard: &mut Guard,
    port: u16,
    backup: &Path,
    context: &ActContext,
) -> Result<String> {
    let mut connection = pg::connect(&postgres::url(guard, port, "postgres")).await?;
    for statement in [sql::DROP_RESTORED, sql::CREATE_RESTORED] {
        let done = sqlx::raw_sql(statement).execute(&mut connection).await;
        done.or_run("cannot make the second database", "is the disk full?")?;
    }
    // It has served its purpose whether or not it closes politely.
    let _ = connection.close().await;
    let home = folder::component(&guard.dir, Component::Dump.folder(), guard.user.as_ref())?;
    let mut command = tool(guard, &home, port, Component::Restore, RESTORED)?;
    command.args(["--exit-on-error", "--jobs", "2"]).arg(backup);
    run(guard, Component::Restore, command, context).await?;
    Ok(postgres::url(guard, port, RESTORED))
}

/// One of PostgreSQL's programs, told where to connect; the password in a file, because everybody
/// may read a command line.
fn tool(
    guard: &Guard,
    home: &Path,
    port: u16,
    component: Component,
    database: &str,
) -> Result<Command> {
    let bin = programs::postgres_bin(guard.user.as_ref())?;
    let program = programs::postgres_tool(&bin, component.program())?;
    let passfile = postgres::passfile(guard, home)?;
    let place = format!(
        "host=127.0.0.1 port={port} dbname={database} user={} passfile={passfile}",
        postgres::USER
    );
    let mut command = Command::new(program);
    command.args(["--dbname", &place]).env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(user) = &guard.user {
        user.apply(&mut command);
    }
    Ok(command)
}

async fn run(
    guard: &mut Guard,
    component: Component,
    mut command: Command,
    context: &ActContext,
) -> Result<()> {
    guard.spawn(component, &mut command, None)?;
    let ended = guard.wait_for_end(component, LIMIT, context).await;
    if ended.is_err() {
        // It may still run where somebody asked us to stop.
        let _ = guard.end(component, true);
    }
    ended?;
    guard.forget(component)
}
