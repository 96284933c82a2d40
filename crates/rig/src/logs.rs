//! The components' logs: one file each in the rig's folder, of which people see the last lines.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::component::Component;

/// How many lines an error shows.
const LINES: usize = 15;

/// At most so much of a file is read for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// The file a component writes to.
pub(super) fn path(dir: &Path, component: Component) -> PathBuf {
    dir.join(format!("{}.log", component.name()))
}

/// The last lines of a component's log; empty if there is none.
pub(super) fn tail(dir: &Path, component: Component) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path(dir, component)).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        file.take(TAIL_BYTES).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The same, set in under an error message.
pub(super) fn indented_tail(dir: &Path, component: Component) -> String {
    match tail(dir, component).as_str() {
        "" => "    (it is empty)".into(),
        text => text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"),
    }
}
