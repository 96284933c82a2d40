//! As whom the servers run: PostgreSQL refuses to run as root, and Redis had better not.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::User;

use cutover_error::{Context, Error, Result};

/// The user under whom PostgreSQL and Redis run when root starts them.
#[derive(Debug, Clone)]
pub(super) struct ServiceUser {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl ServiceUser {
    /// `postgres`, else `nobody`; `None` if we are not root and everything runs as ourselves.
    pub(super) fn choose() -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            let found = User::from_name(name).or_run("cannot read the user database", "")?;
            if let Some(user) = found {
                let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
                return Ok(Some(Self { name: user.name, uid, gid }));
            }
        }
        Err(Error::run(
            "PostgreSQL does not run as root, and there is neither a user postgres nor nobody",
            "create one of them, or run as an ordinary user",
        ))
    }

    /// Makes `command` run as this user, without our supplementary groups.
    pub(super) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// The first folder on the way down to `path`, of those that are there, that this user may not
    /// enter.
    pub(super) fn barred_from(&self, path: &Path) -> Option<PathBuf> {
        let mut ways: Vec<&Path> = path.ancestors().collect();
        ways.reverse();
        ways.into_iter().find(|way| !self.may_enter(way)).map(Path::to_owned)
    }

    fn may_enter(&self, way: &Path) -> bool {
        let Ok(meta) = std::fs::metadata(way) else { return true };
        let bit = if meta.uid() == self.uid {
            0o100
        } else if meta.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        meta.mode() & bit != 0
    }
}
