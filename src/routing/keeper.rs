//! A small process that puts the platform's flag back where whoever switched it was killed: nothing
//! in a process that is killed outright can do so.
//!
//! It runs in a session of its own. Its standard input is a pipe that only its owner holds: lines
//! with all it has to know, the last one counts, so that no secret stands among its arguments; at the
//! end of a run [`RELEASE`]. However the owner ends, the kernel closes the pipe.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::flag::Flag;
use super::percentage::Percentage;
use crate::config::{RoutingConfig, TlsConfig};
use crate::error::{Context, Error, Result};
use crate::evidence::drive::Mode;
use crate::http::TrustedRoots;

/// The line that says that nothing is left to do.
const RELEASE: &str = ".";
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

/// What is to be done behind an owner that is gone.
#[derive(Serialize, Deserialize)]
enum Task {
    /// Put a flag back to the mode, or in a file of rules to the rule, in which it was found.
    Mode(Box<Settings>, Mode, Option<Value>),
    /// Let so many percent of the orgs read from the partitioned side.
    Share(Box<Percentage>, f64),
}

/// The owner's end. Dropped without a word, the keeper does what it was told last.
#[derive(Debug)]
struct Keeper {
    child: Child,
}

impl Keeper {
    /// Starts it with a task; `executable` is this program.
    fn start(executable: &Path, task: &Task) -> Result<Self> {
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
        match keeper.tell(task) {
            true => Ok(keeper),
            false => Err(Error::run(what, hint)),
        }
    }

    /// Hands another task over; whether there is still somebody to take it.
    fn tell(&mut self, task: &Task) -> bool {
        let line = serde_json::to_string(task).expect("settings are JSON");
        self.say(&line)
    }

    fn say(&mut self, line: &str) -> bool {
        let pipe = self.child.stdin.as_mut();
        pipe.is_some_and(|pipe| pipe.write_all(format!("{line}\n").as_bytes()).is_ok())
    }

    /// Lets the keeper go: nothing is left to do.
    fn release(mut self) {
        // Where it was killed there is nobody to be told.
        self.say(RELEASE);
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Keeps a flag that routes everybody's reads.
#[derive(Debug)]
pub struct FlagKeeper(Keeper);

impl FlagKeeper {
    /// Starts the keeper of a flag that was `found` at this mode, before it is switched; `executable`
    /// is this program.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(executable: &Path, flag: &Flag, found: Mode) -> Result<Self> {
        let (settings, rule) = (Box::new(flag.settings().clone()), flag.as_it_is()?);
        Keeper::start(executable, &Task::Mode(settings, found, rule)).map(Self)
    }

    /// Lets the keeper go: the flag is as it was.
    pub fn release(self) {
        self.0.release();
    }
}

/// Keeps the share of orgs that read from the partitioned side.
#[derive(Debug)]
pub struct ShareKeeper {
    keeper: Keeper,
    flag: Percentage,
}

impl ShareKeeper {
    /// Starts a keeper that sets `percent`, however the owner ends; `executable` is this program.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(executable: &Path, flag: &Percentage, percent: f64) -> Result<Self> {
        let keeper = Keeper::start(executable, &Task::Share(Box::new(flag.clone()), percent))?;
        Ok(Self { keeper, flag: flag.clone() })
    }

    /// From now on it would set this share.
    pub fn hold(&mut self, percent: f64) {
        // Where somebody has killed it, the run itself still puts the share back.
        self.keeper.tell(&Task::Share(Box::new(self.flag.clone()), percent));
    }

    /// Lets the keeper go: the share is as it is to be.
    pub fn release(self) {
        self.keeper.release();
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
    let hint = "it is started by `cutover drive`, `rehearse` and `drill` themselves";
    let mut said = String::new();
    std::io::stdin().lock().read_to_string(&mut said).or_usage(COMMAND, hint)?;
    // What comes after the last end of a line was not said to its end.
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let last = whole.lines().next_back().unwrap_or_default();
    if last == RELEASE {
        return Ok(());
    }
    let task: Task = serde_json::from_str(last).or_usage(COMMAND, hint)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.or_run("cannot start the runtime", "")?.block_on(async {
        match task {
            Task::Mode(settings, found, rule) => {
                let roots = TrustedRoots::with_file(settings.tls.ca_file.as_deref())?;
                let flag = Flag::new(&settings.routing, &settings.tls, &roots)?;
                let Some(flag) = flag.map(|flag| flag.remember(rule)) else { return Ok(()) };
                until_it_is_done(|| flag.put_back(found)).await
            }
            Task::Share(flag, percent) => until_it_is_done(|| flag.set(percent)).await,
        }
    })
}

async fn until_it_is_done<F: Future<Output = Result<()>>>(put_back: impl Fn() -> F) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    tokio::time::sleep(SETTLE).await;
    loop {
        match put_back().await {
            Err(_) if Instant::now() < end => tokio::time::sleep(AGAIN).await,
            outcome => return outcome,
        }
    }
}
