//! The reference platform, as a process of its own: the harness must see it as it would see any
//! other, through HTTP and SQL alone.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::component::Component;
use super::folder;
use super::guard::Guard;
use cutover_error::{Context, Result};
use cutover_ground::act::ActContext;

/// Includes the migrations, which it applies before it listens.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What it prints on stdout, in one line, once it listens.
#[derive(Deserialize)]
struct Listening {
    base_url: String,
}

/// Starts the platform in front of the rig's servers, to `listen` there; returns its base URL.
pub(super) async fn start(
    guard: &mut Guard,
    executable: &Path,
    arguments: &[String],
    listen: &str,
    context: &ActContext,
) -> Result<String> {
    folder::component(&guard.dir, Component::Platform.folder(), None)?;
    let said = guard.dir.join("platform.out");
    // A file rather than a pipe: the platform of a detached rig must not die of our absence.
    let stdout = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&said)
        .or_run(format!("cannot write {}", said.display()), "is the disk full?")?;
    let mut command = Command::new(executable);
    command.arg("platform");
    let urls = &guard.state.urls;
    // Not as arguments: every user of the machine may read those, and the URLs have passwords.
    let places = [
        ("CUTOVER_DATABASE_URL", &urls.database_url),
        ("CUTOVER_REPLICA_URL", &urls.replica_url),
        ("CUTOVER_POOLER_URL", &urls.pgbouncer_url),
        ("CUTOVER_REPLICA_POOLER_URL", &urls.pgbouncer_replica_url),
        ("CUTOVER_REDIS_URL", &urls.redis_url),
    ];
    for (name, url) in places {
        match url {
            Some(url) => command.env(name, url),
            // The user's own is meant for another server.
            None => command.env_remove(name),
        };
    }
    command.args(["--listen", listen, "--mode-header"]).args(arguments);
    guard.spawn(Component::Platform, &mut command, Some(stdout))?;
    guard.wait_for(Component::Platform, START_LIMIT, context, |_| listening(&said)).await
}

/// The line it printed, once it is whole.
fn listening(said: &Path) -> Option<String> {
    let text = std::fs::read_to_string(said).ok()?;
    let (line, _) = text.split_once('\n')?;
    serde_json::from_str::<Listening>(line).ok().map(|listening| listening.base_url)
}
