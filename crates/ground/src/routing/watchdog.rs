//! A small process that puts the platform's flag back where whoever switched it was killed: nothing
//! in a process that is killed outright can do so.
//!
//! It runs in a session of its own. Its standard input is a pipe that only its owner holds: a line
//! with all it has to know, so that no secret stands among its arguments, and at the end of a run
//! [`RELEASE`]. However the owner ends, the kernel closes the pipe.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};

use super::claim::Claim;
use super::flag::Flag;
use super::percentage::Percentage;
use super::settings::Settings;
use crate::http::TrustedRoots;
use crate::pg;
use cutover_error::{Context, Result};
use cutover_evidence::drive::Side;

/// The line that says that nothing is left to do.
const RELEASE: &str = ".";
/// How the watchdog is called.
pub const COMMAND: &str = "keep-flag";
/// A switch of the owner's own that was on its way has arrived after this.
const SETTLE: Duration = Duration::from_secs(1);
/// How long the watchdog tries.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(300);
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Nobody waits behind us for long.
const UNDO_SESSION: &str = "SET lock_timeout = '2s'";

/// What is to be done behind an owner that is gone.
#[derive(Serialize, Deserialize)]
enum Task {
    /// Put a flag back to the mode, or in a file of rules to the rule, in which it was found.
    Side(Box<Settings>, Side, Option<Value>),
    /// Let nobody read from the partitioned side: the one share that is right whatever was found out;
    /// then put back what else was changed.
    Off(Box<Percentage>, Vec<Undo>),
}

/// A statement that puts back what somebody has changed in a database, and changes nothing where that
/// was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Undo {
    /// Where.
    pub database_url: String,
    /// What.
    pub statement: String,
}

/// The owner's end. Dropped without a word, the watchdog does what it was told.
#[derive(Debug)]
struct Watchdog {
    child: Child,
}

impl Watchdog {
    /// Starts it with a task and a share in the claim; `executable` is this program.
    fn start(executable: &Path, task: &Task, claim: &Claim) -> Result<Self> {
        let what = format!("cannot start the watchdog of the flag ({})", executable.display());
        let hint = "is the executable still where it was?";
        let child = Command::new(executable)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(claim.share().or_run(&what, hint)?)
            .stderr(Stdio::null())
            .spawn()
            .or_run(&what, hint)?;
        let mut watchdog = Self { child };
        let task = serde_json::to_string(task).expect("settings are JSON");
        watchdog.say(&task).or_run(&what, hint)?;
        Ok(watchdog)
    }

    fn say(&mut self, line: &str) -> std::io::Result<()> {
        let pipe = self.child.stdin.as_mut();
        pipe.map_or(Ok(()), |pipe| pipe.write_all(format!("{line}\n").as_bytes()))
    }

    /// Lets the watchdog go: nothing is left to do.
    fn release(mut self) {
        // Where it was killed there is nobody to be told.
        let _ = self.say(RELEASE);
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Keeps a flag that routes everybody's reads.
#[derive(Debug)]
pub struct FlagWatchdog(Watchdog);

impl FlagWatchdog {
    /// Starts the watchdog of a flag that was `found` at this mode, before it is switched; `executable`
    /// is this program.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(executable: &Path, flag: &Flag, found: Side, claim: &Claim) -> Result<Self> {
        let (settings, rule) = (Box::new(flag.settings().clone()), flag.as_it_is()?);
        Watchdog::start(executable, &Task::Side(settings, found, rule), claim).map(Self)
    }

    /// Lets the watchdog go: the flag is as it was.
    pub fn release(self) {
        self.0.release();
    }
}

/// Keeps the share of orgs that read from the partitioned side.
#[derive(Debug)]
pub struct ShareWatchdog {
    watchdog: Watchdog,
    flag: Percentage,
    undos: Vec<Undo>,
    _claim: Claim,
}

impl ShareWatchdog {
    /// Takes hold of the share and starts a watchdog that sets it to 0 behind an owner that is gone, and
    /// does the `undos`; `executable` is this program. It never raises a share: what was proven before may have been
    /// disproven since, and somebody may have lowered it by hand.
    ///
    /// # Errors
    /// If it cannot be started, or another run moves the share.
    pub async fn start(executable: &Path, flag: &Percentage, undos: Vec<Undo>) -> Result<Self> {
        let claim = flag.claim().await?;
        let task = Task::Off(Box::new(flag.clone()), undos.clone());
        let watchdog = Watchdog::start(executable, &task, &claim)?;
        Ok(Self { watchdog, flag: flag.clone(), undos, _claim: claim })
    }

    /// Has this put back as well; to be said before it is changed.
    ///
    /// # Errors
    /// If the watchdog is gone.
    pub fn keep(&mut self, undo: Undo) -> Result<()> {
        self.undos.push(undo);
        let task = Task::Off(Box::new(self.flag.clone()), self.undos.clone());
        // The last line that it was told is what it does.
        let task = serde_json::to_string(&task).expect("settings are JSON");
        self.watchdog.say(&task).or_run("the watchdog is gone: who ended it?", "start again")
    }

    /// Lets the watchdog go: the share is as it is to be.
    pub fn release(self) {
        self.watchdog.release();
    }
}

/// What `cutover keep-flag` does: waits for the owner's end, then puts the flag back.
///
/// Call it before any other thread exists: the signals that end the owner must not end the watchdog.
///
/// # Errors
/// What kept the flag from being put back.
pub fn keep_flag() -> Result<()> {
    SigSet::all().thread_block().or_run("cannot block signals", "")?;
    // So that what ends the owner's session does not end us; this fails only if we lead one already.
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
            Task::Side(settings, found, rule) => {
                let roots = TrustedRoots::with_file(settings.tls.ca_file.as_deref())?;
                let flag = Flag::new(&settings.routing, &settings.tls, &roots)?;
                let Some(flag) = flag.map(|flag| flag.remember(rule)) else { return Ok(()) };
                until_it_is_done(|| flag.put_back(found)).await
            }
            Task::Off(flag, undos) => {
                let undone = async {
                    for undo in &undos {
                        until_it_is_done(|| undo.make()).await?;
                    }
                    Ok(())
                };
                // A platform that is gone must not keep the database waiting.
                let (off, undone) = tokio::join!(until_it_is_done(|| flag.set(0.0)), undone);
                off.and(undone)
            }
        }
    })
}

impl Undo {
    async fn make(&self) -> Result<()> {
        let what = || format!("cannot put back: {}", self.statement);
        let mut connection = pg::connect(&self.database_url).await?;
        connection.execute(UNDO_SESSION).await.map_err(|error| pg::failure(what(), &error))?;
        let statement = AssertSqlSafe(self.statement.clone());
        let done = connection.execute(statement).await;
        done.map(drop).map_err(|error| pg::failure(what(), &error))
    }
}

async fn until_it_is_done<F: Future<Output = Result<()>>>(put_back: impl Fn() -> F) -> Result<()> {
    let end = Instant::now() + RESTORE_TIMEOUT;
    tokio::time::sleep(SETTLE).await;
    loop {
        match put_back().await {
            Err(_) if Instant::now() < end => tokio::time::sleep(RETRY_INTERVAL).await,
            outcome => return outcome,
        }
    }
}
