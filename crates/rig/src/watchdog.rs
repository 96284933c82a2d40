//! The watchdog: a small process that outlives its owner by as long as it takes to clean up.
//!
//! A guard in the owner cannot run when the owner is killed outright. So each rig has a watchdog in a
//! session of its own, whose standard input is a pipe that only the owner holds. However the owner
//! ends, the kernel closes the pipe, and the watchdog stops what is recorded in the rig's folder.
//! (`PR_SET_PDEATHSIG` would be simpler, but it fires when the *thread* that forked ends.)

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::SigSet;

use super::process::wait_until;
use super::teardown::tear_down;
use cutover_error::{Context, Result};

/// What the owner writes into the pipe to say that nothing is left to do.
const RELEASE: u8 = b'.';

/// A child that was forked just before its owner was killed has become what it is after this.
const SETTLE: Duration = Duration::from_millis(100);

/// The owner's end.
pub(super) struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts the watchdog of the rig in `dir`.
    pub(super) fn start(executable: &Path, dir: &Path) -> Result<Self> {
        let hint = "is the executable still where it was?";
        let log = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(dir.join("keeper.log"))
            .or_run(format!("cannot write into {}", dir.display()), "is the disk full?")?;
        let child = Command::new(executable)
            .args(["rig", "keep", "--dir"])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .or_run(format!("cannot start the rig's watchdog ({})", executable.display()), hint)?;
        Ok(Self { child })
    }

    /// Lets the watchdog go without cleaning up, and waits until it is gone.
    pub(super) fn release(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // Where it was killed there is nobody to be told.
            let _ = pipe.write_all(&[RELEASE]);
        }
        if !wait_until(Duration::from_secs(2), || !matches!(self.child.try_wait(), Ok(None))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What `cutover rig keep` does: waits for the owner's end, then clears the rig away.
///
/// Call it before any other thread exists: the signals that end the owner must not end the watchdog.
///
/// # Errors
/// What kept the rig from being cleared away.
pub fn keep(dir: &Path) -> Result<()> {
    SigSet::all().thread_block().or_run("cannot block signals", "")?;
    // A session of its own, so that nothing the terminal does reaches it; this fails only if we
    // lead one already.
    let _ = nix::unistd::setsid();
    let mut said = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut said);
    if said.contains(&RELEASE) {
        return Ok(());
    }
    std::thread::sleep(SETTLE);
    tear_down(dir, false)
}
