//! A small process that puts the platform's flag back where whoever switched it was killed: nothing
//! in a process that is killed outright can do so.
//!
//! It runs in a session of its own. Its standard input is a pipe that only its owner holds: first a
//! line with all it has to know, so that no secret stands among its arguments; at the end of a run
//! [`RELEASE`]. However the owner ends, the kernel closes the pipe.

use std::io::{BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::flag::Flag;
use crate::config::{RoutingConfig, TlsConfig};
use crate::error::{Context, Error, Result};
use crate::evidence::drive::Mode;
use crate::http::TrustedRoots;

/// What the owner writes to say that nothing is left to do.
const RELEASE: u8 = b'.';
/// How the keeper is called.
pub const COMMAND: &str = "keep-flag";
/// A switch of the owner's own that was on its way has arrived after this.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the keeper tries.
const PATIENCE: Duration = Duration::from_secs(300);
const AGAIN: Duration = Duration::from_secs(5);

/// All that the keeper has to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Settings {
    pub routing: RoutingConfig,
    pub tls: TlsConfig,
}

#[derive(Serialize, Deserialize)]
struct Task {
    settings: Settings,
    found: Mode,
    /// The rule that was found in a file of rules.
    rule: Option<Value>,
}

/// The owner's end. Dropped without a word, the keeper puts the flag back.
#[derive(Debug)]
pub struct FlagKeeper {
    child: Child,
}

impl FlagKeeper {
    /// Starts the keeper of a flag that was `found` at this mode; `executable` is this program.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(executable: &Path, flag: &Flag, found: Mode) -> Result<Self> {
        let what = format!("cannot start the keeper of the flag ({})", executable.display());
        let hint = "is the executable still where it was?";
        let child = Command::new(executable)
            .arg(COMMAND)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .or_run(&what, hint)?;
        let mut keeper = Self { child };
        // Nobody has switched yet.
        let rule = flag.as_it_is()?;
        let task = Task { settings: flag.settings().clone(), found, rule };
        let mut line = serde_json::to_vec(&task).or_run(&what, "")?;
        line.push(b'\n');
        match keeper.child.stdin.as_mut().map(|pipe| pipe.write_all(&line)) {
            Some(Ok(())) => Ok(keeper),
            _ => Err(Error::run(what, hint)),
        }
    }

    /// Lets the keeper go: the flag is as it was.
    pub fn release(mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            // Where it was killed there is nobody to be told.
            let _ = pipe.write_all(&[RELEASE]);
        }
        let _ = self.child.wait();
    }
}

/// What `cutover keep-flag` does: waits for the owner's end, then puts the flag back.
///
/// Call it before any other thread exists: the signals that end the owner must not end the keeper.
///
/// # Errors
/// What kept the flag from being put back.
pub fn keep_flag() -> Result<()> {
    SigSet::all().thread_block().or_run("cannot block signals", "")?;
    // This fails only where we lead a session already.
    let _ = nix::unistd::setsid();
    let mut pipe = std::io::stdin().lock();
    let (mut line, mut said) = (String::new(), Vec::new());
    let hint = "it is started by `cutover drive` and `cutover rehearse` themselves";
    pipe.read_line(&mut line).or_usage(COMMAND, hint)?;
    let task: Task = serde_json::from_str(&line).or_usage(COMMAND, hint)?;
    let _ = pipe.read_to_end(&mut said);
    if said.contains(&RELEASE) {
        return Ok(());
    }
    let roots = TrustedRoots::with_file(task.settings.tls.ca_file.as_deref())?;
    let Some(flag) = Flag::new(&task.settings.routing, &task.settings.tls, &roots)? else {
        return Ok(());
    };
    let flag = flag.remember(task.rule);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.or_run("cannot start the runtime", "")?.block_on(put_back(&flag, task.found))
}

async fn put_back(flag: &Flag, found: Mode) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    tokio::time::sleep(SETTLE).await;
    loop {
        match flag.put_back(found).await {
            Err(_) if Instant::now() < end => tokio::time::sleep(AGAIN).await,
            outcome => return outcome,
        }
    }
}
