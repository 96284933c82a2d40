//! Where rigs live: one parent folder per user for temporary ones, or a folder of the user's choice.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::wait_until;
use super::state::{self, State};
use super::user::ServiceUser;
use cutover_error::{Context, Error, Result};
use cutover_ground::whole_file::remove_drafts;

/// Locked while a rig is claimed or torn down.
const LOCK: &str = "rig.lock";

/// Longest wait for whoever else is at work on the same folder; a stop is bounded by less.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// The folder in which this user's temporary rigs stand, made if it is missing.
///
/// Anyone can write to `/tmp`, so a folder or link that somebody else put there under our name is
/// refused rather than used.
pub(super) fn parent() -> Result<PathBuf> {
    let mut base = std::env::temp_dir();
    if ServiceUser::choose()?.is_some_and(|user| user.barred_from(&base).is_some()) {
        base = PathBuf::from("/tmp");
    }
    let path = base.join(format!("cutover-rig-{}", nix::unistd::geteuid()));
    match make(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).or_run(format!("cannot create {}", path.display()), "set TMPDIR")
        }
        _ => trusted(&path).map(|()| path),
    }
}

/// A new folder for a rig that leaves nothing behind.
pub(super) fn temporary() -> Result<PathBuf> {
    let path = parent()?.join(format!("rig-{}", state::random_hex(6)?));
    make(&path).or_run(format!("cannot create {}", path.display()), "is the disk full?")?;
    Ok(path)
}

/// The folder the user chose: a new or empty one, or one that holds a rig that is down.
pub(super) fn chosen(dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir).or_usage(format!("--dir {}", dir.display()), "")?;
    let user = ServiceUser::choose()?;
    open_to(user.as_ref(), &dir)?;
    if !dir.exists() {
        let above = dir.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(above)
            .and_then(|()| make(&dir))
            .or_usage(format!("--dir {}: cannot be created", dir.display()), "")?;
    }
    let dir = dir.canonicalize().or_usage(format!("--dir {}", dir.display()), "")?;
    trusted(&dir)?;
    let hint = "choose a new or empty folder, or one that a rig made";
    let mut entries =
        fs::read_dir(&dir).or_usage(format!("--dir {}: unreadable", dir.display()), hint)?;
    if !dir.join(state::FILE).exists() && entries.next().is_some() {
        return Err(Error::usage(format!("--dir {}: holds something else", dir.display()), hint));
    }
    open_to(user.as_ref(), &dir)?;
    Ok(dir)
}

/// Whether PostgreSQL's user may enter `dir`, as far as the folders on the way are there already.
fn open_to(user: Option<&ServiceUser>, dir: &Path) -> Result<()> {
    let Some((user, barrier)) = user.and_then(|user| Some((user, user.barred_from(dir)?))) else {
        return Ok(());
    };
    let what = format!(
        "--dir {}: started by root, PostgreSQL runs as user {}, who may not enter {}",
        dir.display(),
        user.name,
        barrier.display()
    );
    Err(Error::usage(what, "choose a folder that every user may enter"))
}

/// Every folder of this user's that holds, or may hold, a rig: the temporary ones, and those of the
/// user's choice through the links that [`remember`] left.
pub(super) fn known() -> Result<Vec<PathBuf>> {
    let parent = parent()?;
    let entries = fs::read_dir(&parent).or_run(format!("cannot read {}", parent.display()), "")?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("rig-")));
    found.sort();
    Ok(found)
}

/// Leaves a link to a chosen folder, so that `status`, `down` and the next start find it.
pub(super) fn remember(dir: &Path, mark: &str) -> Result<()> {
    let link = parent()?.join(format!("rig-{mark}"));
    match symlink(dir, &link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).or_run(format!("cannot create {}", link.display()), "is the disk full?")
        }
        _ => Ok(()),
    }
}

/// Removes what a rig put into its folder, and the folder itself if nothing else is left in it.
pub(super) fn remove(dir: &Path, rig: &State) -> Result<()> {
    // First the state: from then on no rig stands here, and whoever comes by leaves the rest to us.
    let state = remove_entry(&dir.join(state::FILE));
    let done = if state.is_err() {
        state
    } else if rig.temporary {
        fs::remove_dir_all(dir)
    } else {
        if let Ok(parent) = parent() {
            let _ = fs::remove_file(parent.join(format!("rig-{}", rig.mark)));
        }
        let ours = ["postgres", "redis", "platform", "password", "postgresql.conf", "redis.conf"];
        let ours =
            ours.iter().chain(&["replica", "replica.conf", "pgbouncer", "pgbouncer.ini", "backup"]);
        let logs = super::Component::ALL.map(|c| format!("{}.log", c.name()));
        let more = ["platform.out", "keeper.log", "rig.json.next", LOCK];
        remove_drafts(dir);
        let all = ours.copied().chain(logs.iter().map(String::as_str)).chain(more);
        all.map(|name| dir.join(name)).try_for_each(|path| remove_entry(&path)).inspect(|()| {
            // Fails if the user keeps something else in there, which is then left alone.
            let _ = fs::remove_dir(dir);
        })
    };
    done.or_run(format!("cannot remove {}", dir.display()), "remove it by hand")
}

fn remove_entry(path: &Path) -> std::io::Result<()> {
    let done = match path.symlink_metadata() {
        Ok(entry) if entry.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match done {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the file that [`lock`] needs; only a rig's owner does, because a file that appears in a
/// folder which is just being removed would keep it from going.
pub(super) fn make_lock(dir: &Path) -> Result<()> {
    let made = File::options().create(true).append(true).open(dir.join(LOCK));
    made.map(drop).or_run(format!("cannot write into {}", dir.display()), "is the disk full?")
}

/// Keeps everyone else from starting or stopping the rig in `dir` until the file is dropped; `None`
/// if there is no rig (any more).
pub(super) fn lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join(LOCK);
    let file = match File::options().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).or_run(format!("cannot open {}", path.display()), ""),
    };
    let mut outcome = Err(TryLockError::WouldBlock);
    wait_until(LOCK_LIMIT, || {
        outcome = file.try_lock();
        !matches!(outcome, Err(TryLockError::WouldBlock))
    });
    outcome.or_run(
        format!("another cutover is at work on {}", dir.display()),
        "wait for it to end, then try again",
    )?;
    Ok(Some(file))
}

/// A folder inside the rig's for one component, owned by the user it runs as.
pub(super) fn component(dir: &Path, name: &str, user: Option<&ServiceUser>) -> Result<PathBuf> {
    let path = dir.join(name);
    let done = match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => give(&path, user),
    };
    done.or_run(format!("cannot create {}", path.display()), "is the disk full?")?;
    Ok(path)
}

/// Writes a file that only `user` (or we, if it is `None`) may read.
pub(super) fn write_private(path: &Path, text: &str, user: Option<&ServiceUser>) -> Result<()> {
    // The folder above is ours alone, so nobody can put a link where the file is about to be.
    fs::write(path, "")
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o600)))
        .and_then(|()| fs::write(path, text))
        .and_then(|()| give(path, user))
        .or_run(format!("cannot write {}", path.display()), "is the disk full?")
}

fn give(path: &Path, user: Option<&ServiceUser>) -> std::io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

/// Root's rigs let their service user pass through; nobody but us may list or write.
fn make(path: &Path) -> std::io::Result<()> {
    let mode = if nix::unistd::geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().mode(mode).create(path)?;
    // The umask may have taken away more than was meant.
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Only a folder of our own, to which others cannot write, can hold what we will trust later.
fn trusted(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path).or_run(format!("cannot see {}", path.display()), "")?;
    let ours = meta.uid() == nix::unistd::geteuid().as_raw();
    if meta.is_dir() && ours && meta.mode() & 0o002 == 0 {
        return Ok(());
    }
    Err(Error::usage(
        format!("{} is not a folder of yours that only you may write to", path.display()),
        "remove it, choose another --dir, or set TMPDIR",
    ))
}
