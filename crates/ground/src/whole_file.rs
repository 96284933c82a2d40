//! Files that are whole or not there: written beside their name, on the disk before they get it.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Error, Result, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How the name of a file begins that is not whole yet.
const DRAFT: &str = ".cutover-draft-";
const USUAL_MODE: u32 = 0o666;
const BUFFER_BYTES: usize = 1 << 17;

/// A file that appears under its name once it is whole; dropped before that, it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    writer: BufWriter<NamedTempFile>,
}

impl WholeFile {
    /// Begins a file that is to have this path, as readable as the umask lets it be.
    ///
    /// # Errors
    /// If its folder cannot be written.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let usual = Permissions::from_mode(USUAL_MODE);
        let mut draft = tempfile::Builder::new();
        let draft = draft.prefix(DRAFT).permissions(usual).tempfile_in(folder(&path))?;
        Ok(Self { path, writer: BufWriter::with_capacity(BUFFER_BYTES, draft) })
    }

    /// Gives it these permissions, whatever the umask.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn set_permissions(&self, permissions: Permissions) -> Result<()> {
        self.writer.get_ref().as_file().set_permissions(permissions)
    }

    /// The path that it is to have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, once its content is on the disk.
    ///
    /// # Errors
    /// If the disk is full or the folder cannot be written.
    pub fn finish(self) -> Result<()> {
        let file = self.writer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(Error::from)?;
        // Keeps the name through a power cut, too. Not every folder may be opened or synced, and the
        // file stands in it all the same.
        let _ = File::open(folder(&self.path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush()
    }
}

/// Clears away what somebody who was killed had begun; to be called by whoever has the folder alone.
pub fn remove_drafts(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(DRAFT) {
            // One that cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
