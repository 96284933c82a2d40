//! Folders for what a command leaves behind: made where they are missing, gone again where nothing was
//! left in them, and nobody else's.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::whole_file::remove_drafts;
use cutover_error::{Context, Error, Result};

/// A folder that can be written. What was made for it is removed with this value as far as nothing
/// stands in it: a command that was refused has touched nothing.
#[derive(Debug)]
pub struct Place {
    /// Innermost first.
    made: Vec<PathBuf>,
}

impl Place {
    /// Makes the folder that `--out` names and tries it: one that is there may still be read-only.
    ///
    /// # Errors
    /// A usage error if it cannot be made or written.
    pub fn make(path: &Path) -> Result<Self> {
        let what = format!("--out: cannot make or write the folder {}", path.display());
        let hint = "give a folder that can be created and written, with --out DIR";
        let missing = path.ancestors().take_while(|folder| {
            !folder.as_os_str().is_empty() && folder.symlink_metadata().is_err()
        });
        let place = Self { made: missing.map(Path::to_owned).collect() };
        std::fs::create_dir_all(path).or_usage(&what, hint)?;
        tempfile::NamedTempFile::new_in(path).or_usage(&what, hint)?;
        Ok(place)
    }

    /// The same, and refuses a folder that another user can write into.
    ///
    /// # Errors
    /// As [`Self::make`], and a usage error for such a folder.
    pub fn make_own(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            // Before anything is tried in it.
            trusted(path)?;
        }
        Self::make(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for folder in &self.made {
            // Fails where something stands in it, which is then what was to be left.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Refuses a folder that is another user's, or that everybody may write to: what is put there could be
/// led elsewhere or changed.
///
/// # Errors
/// A usage error that says whose it is.
pub fn trusted(path: &Path) -> Result<()> {
    let place = format!("--out: cannot see {}", path.display());
    let me = nix::unistd::geteuid().as_raw();
    // A link to it is as good as whoever has put it there.
    let link = path.symlink_metadata().or_usage(&place, "")?;
    let folder = path.metadata().or_usage(&place, "")?;
    let hint = "give a folder of your own, or one that is not there yet";
    for found in [&link, &folder] {
        if found.uid() != me {
            let (path, owner) = (path.display(), found.uid());
            let what = format!("--out: {path} belongs to another user ({owner}, and you are {me})");
            return Err(Error::usage(what, hint));
        }
    }
    if folder.is_dir() && folder.mode() & 0o002 != 0 {
        let what = format!("--out: everybody may write into {}", path.display());
        return Err(Error::usage(what, hint));
    }
    Ok(())
}

/// Makes a folder ours for as long as the returned value lives, so that two runs do not mix their
/// files; clears away the drafts of a run that was killed.
///
/// # Errors
/// A usage error if another run has it.
pub fn claim(folder: &Path) -> Result<Flock<File>> {
    let place = format!("--out: cannot open {}", folder.display());
    let file = File::open(folder).or_usage(place, "give a readable folder")?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        let what = format!("--out: another run is writing into {}", folder.display());
        Error::usage(what, "wait for it, or give each run a folder of its own")
    })?;
    remove_drafts(folder);
    Ok(lock)
}
