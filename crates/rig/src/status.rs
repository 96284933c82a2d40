//! Which rigs of this user there are, how they are, and taking one down.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use url::Url;

use super::component::Component;
use super::state::{Member, State, Urls};
use super::{folder, stack, teardown};
use cutover_error::{Error, Result};

/// A rig, as `cutover rig status` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct RigStatus {
    /// Its folder.
    pub dir: PathBuf,
    /// How it is.
    pub health: Health,
    /// Whether it was left running on purpose.
    pub detached: bool,
    /// Whether its folder goes with it.
    pub temporary: bool,
    /// Process that owns it, if it is not detached.
    pub owner_pid: Option<u32>,
    /// Process id of each component.
    pub pids: BTreeMap<&'static str, u32>,
    /// What is wrong, component by component; empty if all is well.
    pub troubles: Vec<String>,
    /// Where its components answer.
    #[serde(flatten)]
    pub urls: Urls,
}

/// How a rig is; `starting`, `up`, `broken` or `down` in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Its owner is still starting components.
    Starting,
    /// Every component runs and takes connections.
    Up,
    /// A component is gone or takes no connections.
    Broken,
    /// Nothing runs; only a folder with data is left.
    Down,
}

/// Every rig of this user: temporary ones, and those in folders of the user's choice.
///
/// # Errors
/// If the parent folder cannot be read or trusted.
pub fn list() -> Result<Vec<RigStatus>> {
    let known = folder::known()?.into_iter().filter_map(|path| path.canonicalize().ok());
    Ok(known.filter_map(|dir| Some(status_of(State::load(&dir).ok()??, dir))).collect())
}

fn status_of(rig: State, dir: PathBuf) -> RigStatus {
    let troubles = troubles_of(&rig);
    let owner = rig.owner.as_ref().filter(|owner| !rig.world.is_past() && owner.is_alive());
    let without_url = |member: &Member| url_of(&rig.urls, member.component).is_none();
    let starting = rig.members.is_empty() || rig.members.iter().any(without_url);
    let health = match (owner, rig.members.is_empty(), troubles.is_empty()) {
        (Some(_), ..) if starting => Health::Starting,
        (_, true, _) => Health::Down,
        (_, false, true) => Health::Up,
        (_, false, false) => Health::Broken,
    };
    RigStatus {
        dir,
        health,
        detached: rig.detached,
        temporary: rig.temporary,
        owner_pid: owner.map(|owner| owner.pid),
        pids: stack::pids(&rig),
        troubles,
        urls: rig.urls,
    }
}

fn troubles_of(rig: &State) -> Vec<String> {
    let trouble = |member: &Member| {
        let name = member.component.name();
        if rig.world.is_past() || !member.process.is_alive() {
            return Some(format!("{name} has ended"));
        }
        let answers = url_of(&rig.urls, member.component).is_some_and(takes_connections);
        (!answers).then(|| format!("{name} takes no connections"))
    };
    rig.members.iter().filter_map(trouble).collect()
}

fn url_of(urls: &Urls, component: Component) -> Option<&str> {
    match component {
        Component::Platform => urls.base_url.as_deref(),
        Component::Redis => urls.redis_url.as_deref(),
        Component::Postgres => urls.database_url.as_deref(),
        Component::Pgbouncer => urls.pgbouncer_url.as_deref(),
        Component::Replica => urls.replica_url.as_deref(),
        Component::Initdb | Component::Basebackup => None,
        Component::Dump | Component::Restore => None,
    }
}

fn takes_connections(url: &str) -> bool {
    let addresses = Url::parse(url).map(|url| url.socket_addrs(|| None).unwrap_or_default());
    addresses
        .unwrap_or_default()
        .iter()
        .any(|address| TcpStream::connect_timeout(address, Duration::from_millis(500)).is_ok())
}

/// Takes a rig down: the one in `dir`, else the only one that was left running detached. Returns
/// its folder; `None` if there was none to take down.
///
/// # Errors
/// A usage error if `dir` holds no rig, or if it is not clear which is meant; a run error
/// that names the processes that would not end.
pub fn down(dir: Option<&Path>, purge: bool) -> Result<Option<PathBuf>> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => match only_detached()? {
            Some(dir) => dir,
            None => return Ok(None),
        },
    };
    let hint = "cutover rig status lists the rigs";
    let Some(rig) = dir.canonicalize().ok().and_then(|dir| State::load(&dir).transpose()) else {
        return Err(Error::usage(format!("--dir {}: there is no rig", dir.display()), hint));
    };
    if rig?.world.is_next_door() {
        let what = format!("--dir {}: that rig runs in another container", dir.display());
        return Err(Error::usage(what, "take it down there"));
    }
    let dir = dir.canonicalize().unwrap_or(dir);
    teardown::tear_down(&dir, purge)?;
    Ok(Some(dir))
}

fn only_detached() -> Result<Option<PathBuf>> {
    let mut found: Vec<PathBuf> =
        list()?.into_iter().filter(|rig| rig.detached).map(|rig| rig.dir).collect();
    if found.len() > 1 {
        let dirs: Vec<String> = found.iter().map(|dir| dir.display().to_string()).collect();
        return Err(Error::usage(
            format!("{} rigs are up: {}", found.len(), dirs.join(", ")),
            "say which with --dir",
        ));
    }
    Ok(found.pop())
}
