//! Files of a run, opened as what they are: not through a link, which may lead anywhere, and never a
//! pipe, which could keep its reader waiting for ever.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// Opens a file for reading.
///
/// # Errors
/// If it is not there, is no regular file, or may not be read.
pub fn open(path: &Path) -> Result<File> {
    checked(File::options().read(true), path)
}

/// The text of a file.
///
/// # Errors
/// As [`open`], and if it is no UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a file to write on at its end; makes it if it is not there.
///
/// # Errors
/// If something else stands there, or it may not be written.
pub fn append(path: &Path) -> Result<File> {
    checked(File::options().create(true).append(true), path)
}

fn checked(options: &mut OpenOptions, path: &Path) -> Result<File> {
    let refused = |what| Err(Error::new(ErrorKind::InvalidInput, what));
    // Opening a pipe waits for its other end, unless it is told not to.
    let file = match options.custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return refused("this is a symbolic link");
        }
        opened => opened?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { refused("this is not a regular file") }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn links_and_pipes_are_no_files_of_a_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        append(&at("file")).expect("made").write_all(b"one").expect("written");
        append(&at("file")).expect("there").write_all(b" two").expect("written");
        assert_eq!(read(&at("file")).expect("read"), "one two");
        std::os::unix::fs::symlink("file", at("link")).expect("a link");
        std::os::unix::fs::symlink("nowhere", at("dangling")).expect("a link");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for name in ["link", "dangling", "pipe", "."] {
            assert!(append(&at(name)).is_err() && open(&at(name)).is_err(), "{name}");
        }
        assert!(!at("nowhere").exists());
        assert_eq!(read(&at("file")).expect("read"), "one two");
    }
}
