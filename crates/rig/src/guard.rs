//! The guard around a rig's processes: starts them, writes each down, and stops them when it goes.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::component::Component;
use super::process::{POLL_EVERY, ProcessId, wait_until, workers};
use super::state::{Member, State};
use super::teardown::tear_down;
use super::user::ServiceUser;
use super::watchdog::Watchdog;
use super::{folder, logs};
use cutover_error::{Context, Error, Result};
use cutover_ground::act::ActContext;

/// How long a component that was told to end may take.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Owns a rig's folder and processes; dropping it stops and removes them, on success, error and
/// panic alike.
pub(super) struct Guard {
    pub dir: PathBuf,
    pub state: State,
    pub user: Option<ServiceUser>,
    children: Vec<(Component, Child)>,
    watchdog: Option<Watchdog>,
    armed: bool,
    /// Whether nothing ever stood in the folder: what a failed start left there is of use to nobody.
    pub fresh: bool,
}

impl Guard {
    /// Takes possession of a folder (a temporary one if `dir` is `None`) and sets the watchdog.
    pub(super) fn new(dir: Option<&Path>, executable: &Path) -> Result<Self> {
        let user = ServiceUser::choose()?;
        let (dir, state) = match dir {
            None => new_folder()?,
            Some(dir) => claim(&folder::chosen(dir)?)?,
        };
        let fresh = !state.initialised;
        let mut guard =
            Self { dir, state, user, children: Vec::new(), watchdog: None, armed: true, fresh };
        guard.watchdog = Some(Watchdog::start(executable, &guard.dir)?);
        Ok(guard)
    }

    /// If a component's output goes.
    pub(super) fn log(&self, component: Component) -> PathBuf {
        logs::path(&self.dir, component)
    }

    /// Starts a component in its own folder and process group, its output in its log, and writes
    /// it down.
    pub(super) fn spawn(
        &mut self,
        component: Component,
        command: &mut Command,
        stdout: Option<File>,
    ) -> Result<()> {
        let log =
            File::options()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(self.log(component))
                .or_run(format!("cannot write into {}", self.dir.display()), "is the disk full?")?;
        let copy = log.try_clone().or_run("cannot copy a file handle", "")?;
        for (name, _) in std::env::vars_os() {
            // The user's own PGPORT, PGDATA and the like are meant for another server.
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        let child = command
            .current_dir(self.dir.join(component.folder()))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or(copy))
            .stderr(log)
            .spawn()
            .or_run(
                format!("cannot start {}: {:?}", component.name(), command.get_program()),
                "may the file be executed by the user it is to run as?",
            )?;
        // Nothing to write down if it has ended already; whoever waits for it will see that.
        if let Some(process) = ProcessId::of(child.id()) {
            self.state.members.push(Member { component, process });
        }
        self.children.push((component, child));
        self.state.save(&self.dir)
    }

    /// Waits until `ready` returns something, the component ends, or `limit` is over.
    pub(super) async fn wait_for<T>(
        &mut self,
        component: Component,
        limit: Duration,
        context: &ActContext,
        mut ready: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            context.check_stop()?;
            if let Some(outcome) = ready(self) {
                return Ok(outcome);
            }
            if let Some(how) = self.ended(component) {
                return Err(self.failed(component, &format!("ended ({how})")));
            }
            if Instant::now() >= end {
                let why = format!("was not ready within {} s", limit.as_secs());
                return Err(self.failed(component, &why));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Waits until a component has done its work and ended well.
    pub(super) async fn wait_for_end(
        &mut self,
        component: Component,
        limit: Duration,
        context: &ActContext,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            context.check_stop()?;
            match self.ended(component) {
                Some(how) if how.success() => return Ok(()),
                Some(how) => return Err(self.failed(component, &format!("ended ({how})"))),
                None if Instant::now() >= end => {
                    let why = format!("did not end within {} s", limit.as_secs());
                    return Err(self.failed(component, &why));
                }
                None => tokio::time::sleep(POLL_EVERY).await,
            }
        }
    }

    /// How a component ended; `None` while it runs.
    pub(super) fn ended(&mut self, component: Component) -> Option<ExitStatus> {
        let (_, child) = self.children.iter_mut().find(|(which, _)| *which == component)?;
        child.try_wait().expect("a child of ours that nobody else waits for")
    }

    /// The error of a component that did not do what it should, with the last lines of its log.
    pub(super) fn failed(&self, component: Component, why: &str) -> Error {
        let what = format!(
            "{} {why}; the last lines of its log:\n{}",
            component.name(),
            logs::indented_tail(&self.dir, component)
        );
        Error::run(what, component.hint())
    }

    /// Strikes out a component that has ended.
    pub(super) fn forget(&mut self, component: Component) -> Result<()> {
        self.children.retain(|(which, _)| *which != component);
        self.state.members.retain(|member| member.component != component);
        self.state.save(&self.dir)
    }

    /// Ends a component, and waits until its last worker is gone and its port free.
    pub(super) fn end(&mut self, component: Component, outright: bool) -> Result<()> {
        let Some(member) = self.state.member(component) else {
            return Err(Error::run(format!("{} does not run", component.name()), ""));
        };
        let kill: &[(Signal, Duration)] = &[(Signal::SIGKILL, END_LIMIT)];
        let plan = if outright { kill } else { component.stop_plan() };
        let ended = member.process.stop(plan);
        let home = self.dir.join(component.folder());
        let gone = || workers(component.program(), &home).is_empty();
        if !ended || !wait_until(END_LIMIT, gone) {
            return Err(Error::run(format!("{} does not end", component.name()), ""));
        }
        for (_, child) in self.children.iter_mut().filter(|(which, _)| *which == component) {
            // Collects what is left of it.
            let _ = child.try_wait();
        }
        self.forget(component)
    }

    /// Leaves the rig running without us, until somebody runs `cutover rig down`.
    pub(super) fn detach(mut self) -> Result<()> {
        (self.state.owner, self.state.detached) = (None, true);
        self.state.save(&self.dir)?;
        self.armed = false;
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.release();
        }
        Ok(())
    }

    /// Stops everything and clears it away.
    pub(super) fn stop(&mut self) -> Result<()> {
        if !self.armed {
            return Ok(());
        }
        self.armed = false;
        let outcome = tear_down(&self.dir, self.fresh);
        for (_, child) in &mut self.children {
            let _ = child.try_wait();
        }
        match (&outcome, self.watchdog.take()) {
            (Ok(()), Some(watchdog)) => watchdog.release(),
            // The pipe closes with it, and the watchdog tries once more after us.
            (Err(_), watchdog) => drop(watchdog),
            (Ok(()), None) => {}
        }
        outcome
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody is left to hear of an error, and the watchdog tries again.
        let _ = self.stop();
    }
}

fn new_folder() -> Result<(PathBuf, State)> {
    let (dir, state) = (folder::temporary()?, State::new(true)?);
    folder::make_lock(&dir)?;
    state.save(&dir)?;
    Ok((dir, state))
}

/// Takes over a folder the user chose, behind whoever was killed there before.
fn claim(dir: &Path) -> Result<(PathBuf, State)> {
    let refuse = || {
        let what = format!("--dir {}: a rig is up there already", dir.display());
        Err(Error::usage(what, format!("cutover rig down --dir {}", dir.display())))
    };
    match State::load(dir)? {
        Some(rig) if rig.is_in_use() => return refuse(),
        Some(_) => tear_down(dir, false)?,
        None => {}
    }
    folder::make_lock(dir)?;
    let _lock = folder::lock(dir)?;
    let mut fresh = State::new(false)?;
    if let Some(rig) = State::load(dir)? {
        if rig.is_in_use() {
            return refuse();
        }
        // The data folder knows this password, and the link in the parent folder this mark.
        fresh.password = rig.password;
        fresh.mark = rig.mark;
        fresh.initialised = rig.initialised;
    }
    fresh.save(dir)?;
    folder::remember(dir, &fresh.mark)?;
    Ok((dir.to_owned(), fresh))
}
