//! A streaming replica: a copy of the primary that follows it and takes reads.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::component::Component;
use super::guard::Guard;
use super::ports::Attempts;
use super::{folder, postgres, programs};
use cutover_error::{Context, Result};
use cutover_ground::act::ActContext;

/// A rig's own data is copied in seconds; this is for a folder with millions of rows.
const COPY_LIMIT: Duration = Duration::from_secs(600);

/// What differs from the primary. A slot that goes with its connection keeps the primary's log for a
/// replica that is behind, and never for one that is gone.
const SETTINGS: &str = "hot_standby = on\nhot_standby_feedback = on\n\
                        wal_receiver_create_temp_slot = on\nwal_receiver_status_interval = '1s'\n\
                        wal_retrieve_retry_interval = '500ms'\n";

/// Copies the primary on `primary_port` and starts the copy as a hot standby; returns its URL.
pub(super) async fn start(
    guard: &mut Guard,
    primary_port: u16,
    context: &ActContext,
) -> Result<String> {
    let bin = programs::postgres_bin(guard.user.as_ref())?;
    copy(guard, &bin, primary_port, context).await?;
    let mut attempts = Attempts::new(None);
    loop {
        let port = attempts.next()?;
        let text = postgres::settings(guard, &bin, Component::Replica, port) + SETTINGS;
        match postgres::launch(guard, &bin, Component::Replica, &text, context).await {
            Ok(()) => return Ok(postgres::url(guard, port, postgres::DATABASE)),
            Err(error) if attempts.may_retry(port) => {
                context.note(format!("port {port} was taken meanwhile, trying another: {error}"));
                guard.forget(Component::Replica)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// `pg_basebackup` of the primary. An earlier copy is thrown away: it may have missed what happened
/// while it was down.
async fn copy(guard: &mut Guard, bin: &Path, port: u16, context: &ActContext) -> Result<()> {
    let program = programs::postgres_tool(bin, "pg_basebackup")?;
    let home = folder::component(&guard.dir, Component::Replica.folder(), guard.user.as_ref())?;
    let data = home.join("data");
    if data.exists() {
        std::fs::remove_dir_all(&data).or_run(format!("cannot remove {}", data.display()), "")?;
    }
    // In a file that the replica goes on to use: everybody may read a command line.
    let passfile = postgres::passfile(guard, &home)?;
    let primary = format!(
        "host=127.0.0.1 port={port} user={} passfile={passfile} application_name=replica",
        postgres::USER
    );
    let mut command = Command::new(program);
    command.args(["--dbname", &primary, "--write-recovery-conf", "--checkpoint", "fast"]);
    command.args(["--no-sync", "--wal-method", "stream", "--pgdata"]).arg(&data);
    command.env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(user) = &guard.user {
        user.apply(&mut command);
    }
    guard.spawn(Component::Basebackup, &mut command, None)?;
    guard.wait_for_end(Component::Basebackup, COPY_LIMIT, context).await?;
    guard.forget(Component::Basebackup)
}
