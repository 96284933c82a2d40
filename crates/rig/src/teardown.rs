//! The one way in which a rig ends, whoever ends it: its owner, the watchdog behind a killed owner,
//! `cutover rig down`, or the next start behind a killed watchdog.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::component::Component;
use super::process::{ProcessId, strays, wait_until};
use super::state::State;
use super::{folder, state};
use cutover_error::{Error, Result};

/// How long PostgreSQL's workers are given to notice that their postmaster is gone.
const ORPHANS_LIMIT: Duration = Duration::from_secs(5);

/// A folder without a state file that is younger may belong to a rig that is just starting.
const STATELESS_AGE: Duration = Duration::from_secs(60);

/// Stops everything that belongs to the rig in `dir`; removes the folder if it is a temporary
/// one or `purge` asks for it. Does nothing if that has been done already.
pub(super) fn tear_down(dir: &Path, purge: bool) -> Result<()> {
    let Some(_lock) = folder::lock(dir)? else { return Ok(()) };
    let Some(mut rig) = State::load(dir)? else { return Ok(()) };
    // Said before the first process ends, so that an owner who watches knows it for no accident.
    (rig.owner, rig.detached) = (None, false);
    rig.save(dir)?;
    let survivors = stop_everything(dir, &rig);
    if !survivors.is_empty() {
        let names: Vec<String> =
            survivors.iter().map(|process| format!("{} {}", process.name, process.pid)).collect();
        return Err(Error::run(
            format!("the rig in {} is not down, still there: {}", dir.display(), names.join(", ")),
            "end them by hand, then run `cutover rig down` again",
        ));
    }
    if rig.temporary || purge {
        return folder::remove(dir, &rig);
    }
    // A postmaster that was killed leaves its lock file, and an unlucky id in it would keep the next
    // one from starting; none of this rig's processes is left, so the lock holds nothing.
    let _ = std::fs::remove_file(dir.join("postgres/data/postmaster.pid"));
    rig.members.clear();
    rig.urls = state::Urls::default();
    rig.save(dir)
}

/// Stops what is recorded, then what was not; returns what would not end.
fn stop_everything(dir: &Path, rig: &State) -> Vec<ProcessId> {
    if rig.world.is_past() {
        return Vec::new();
    }
    for component in Component::ALL {
        for member in rig.members.iter().filter(|member| member.component == component) {
            member.process.stop(component.stop_plan());
        }
    }
    let gone = || strays(dir, &rig.mark).is_empty();
    if !wait_until(ORPHANS_LIMIT, gone) {
        for stray in strays(dir, &rig.mark) {
            let component =
                Component::ALL.into_iter().find(|component| component.program() == stray.name);
            stray.stop(component.unwrap_or(Component::Postgres).stop_plan());
        }
    }
    strays(dir, &rig.mark)
}

/// Clears away the rigs of this user whose owner and watchdog are both gone; leaves alone every rig
/// that somebody answers for. Returns what there is to say about it.
pub(super) fn sweep() -> Result<Vec<String>> {
    let mut said = Vec::new();
    for path in folder::known()? {
        let Ok(dir) = path.canonicalize() else {
            // A link to a chosen folder that was deleted by hand.
            let _ = std::fs::remove_file(&path);
            continue;
        };
        match State::load(&dir) {
            Ok(Some(rig)) if rig.is_in_use() => {}
            Ok(Some(rig)) if !rig.temporary && rig.members.is_empty() => {}
            Ok(Some(_)) => said.push(match tear_down(&dir, false) {
                Ok(()) => format!("cleaned up behind a rig that was killed: {}", dir.display()),
                // A rig that will not go must not keep another from starting.
                Err(error) => format!("a rig that was killed is still there: {error}"),
            }),
            Ok(None) if path.is_symlink() => drop(std::fs::remove_file(&path)),
            Ok(None) if is_old(&dir) => drop(std::fs::remove_dir_all(&dir)),
            // Just starting, or written by another version: not ours to judge.
            Ok(None) | Err(_) => {}
        }
    }
    Ok(said)
}

fn is_old(dir: &Path) -> bool {
    let changed = dir.metadata().and_then(|meta| meta.modified());
    changed.is_ok_and(|at| SystemTime::now().duration_since(at).unwrap_or_default() > STATELESS_AGE)
}
