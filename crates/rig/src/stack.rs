//! The stack: PostgreSQL, and on request a replica, PgBouncer, Redis and the platform, behind one guard.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures_util::future::BoxFuture;

use super::component::Component;
use super::guard::Guard;
use super::state::{State, Urls};
use super::{backup, logs, pgbouncer, ports, postgres, redis, replica, service, teardown};
use cutover_error::{Context, Error, Result};
use cutover_ground::act::{ActContext, Event};

/// Where the platform listens unless it has to be where it was.
const FREE_PORT: &str = "127.0.0.1:0";

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// `cutover` itself, which is also the watchdog and the platform.
    pub executable: PathBuf,
    /// A folder that stays when the rig is down; `None` for a temporary one that goes with it.
    pub dir: Option<PathBuf>,
    /// Port of PostgreSQL on 127.0.0.1; `None` for a free one.
    pub port: Option<u16>,
    /// More arguments for the platform, for example `--misbehave`.
    pub platform_args: Vec<String>,
    /// Whether to start a streaming replica, from which the platform then reads.
    pub replica: bool,
    /// Whether to start PgBouncer, through which the platform then goes.
    pub pgbouncer: bool,
    /// Whether to start Redis.
    pub redis: bool,
    /// Whether to start the platform.
    pub platform: bool,
}

impl Options {
    /// PostgreSQL, Redis and the platform, in a temporary folder; `executable` is the path of `cutover`.
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            dir: None,
            port: None,
            platform_args: Vec::new(),
            replica: false,
            pgbouncer: false,
            redis: true,
            platform: true,
        }
    }

    /// PostgreSQL alone, in a temporary folder.
    pub fn postgres_only(executable: impl Into<PathBuf>) -> Self {
        Self { redis: false, platform: false, ..Self::new(executable) }
    }
}

/// A running rig. Dropping it stops what it started, and removes its folder if it is a temporary
/// one; so does the end of this process, whatever ends it.
pub struct Stack {
    guard: Guard,
    /// The platform's program and its arguments.
    platform: (PathBuf, Vec<String>),
}

impl Stack {
    /// Starts the components one after the other; what was started is stopped again where one
    /// fails. Rigs that were left behind by killed runs are cleared away first.
    ///
    /// # Errors
    /// A usage error if the folder or port cannot be had; a run error that names the component,
    /// the last lines of its log and what to do; [`cutover_error::Error::Interrupted`].
    pub fn start(options: Options, context: &ActContext) -> BoxFuture<'_, Result<Self>> {
        // In a box: else whoever waits for it compiles all of this once more.
        Box::pin(Self::start_all(options, context))
    }

    async fn start_all(options: Options, context: &ActContext) -> Result<Self> {
        ports::require_free(options.port)?;
        for remark in teardown::sweep()? {
            context.note(remark);
        }
        let guard = Guard::new(options.dir.as_deref(), &options.executable)?;
        let platform = (options.executable.clone(), options.platform_args.clone());
        let mut stack = Self { guard, platform };
        let guard = &mut stack.guard;

        context.started("rig: PostgreSQL", None, "");
        let url = postgres::start(guard, options.port, context).await?;
        guard.state.urls.database_url = Some(url);
        context.emit(Event::Finished);
        if options.replica {
            context.started("rig: replica", None, "");
            let primary = port_of(guard.state.urls.database_url.as_deref())?;
            let url = replica::start(guard, primary, context).await?;
            guard.state.urls.replica_url = Some(url);
            context.emit(Event::Finished);
        }
        if options.pgbouncer {
            context.started("rig: PgBouncer", None, "");
            start_pgbouncer(guard, None, context).await?;
            context.emit(Event::Finished);
        }
        if options.redis {
            context.started("rig: Redis", None, "");
            guard.state.urls.redis_url = Some(redis::start(guard, None, context).await?);
            context.emit(Event::Finished);
        }
        if options.platform {
            context.started("rig: platform", None, "");
            let (executable, more) = (&options.executable, &options.platform_args);
            guard.state.urls.base_url =
                Some(service::start(guard, executable, more, FREE_PORT, context).await?);
            context.emit(Event::Finished);
        }
        guard.state.save(&guard.dir)?;
        guard.fresh = false;
        Ok(stack)
    }

    /// PostgreSQL, with user, password and database.
    pub fn database_url(&self) -> &str {
        self.urls().database_url.as_deref().expect("no stack stands without PostgreSQL")
    }

    /// Redis, if it was asked for.
    pub fn redis_url(&self) -> Option<&str> {
        self.urls().redis_url.as_deref()
    }

    /// The platform, if it was asked for.
    pub fn base_url(&self) -> Option<&str> {
        self.urls().base_url.as_deref()
    }

    /// Where everything answers.
    pub fn urls(&self) -> &Urls {
        &self.guard.state.urls
    }

    /// The rig's folder.
    pub fn dir(&self) -> &Path {
        &self.guard.dir
    }

    /// The process id of each component.
    pub fn pids(&self) -> BTreeMap<&'static str, u32> {
        pids(&self.guard.state)
    }

    /// The last lines of a component's log.
    pub fn logs_tail(&self, component: Component) -> String {
        logs::tail(&self.guard.dir, component)
    }

    /// The first component that has ended although nobody stopped it, as an error with the last
    /// lines of its log.
    ///
    /// # Errors
    /// That one.
    pub fn check(&mut self) -> Result<()> {
        for component in Component::ALL {
            if let Some(how) = self.guard.ended(component) {
                return Err(self.guard.failed(component, &format!("ended by itself ({how})")));
            }
        }
        Ok(())
    }

    /// The components that have ended although nobody stopped them; what uses comes after what is
    /// used, so that they can be started again in this order.
    pub fn ended(&mut self) -> Vec<Component> {
        let all = Component::ALL.into_iter().rev();
        all.filter(|component| self.guard.ended(*component).is_some()).collect()
    }

    /// Starts again what has ended by itself.
    ///
    /// # Errors
    /// If it does not start; the error shows the end of its log.
    pub async fn revive(&mut self, component: Component, context: &ActContext) -> Result<()> {
        // Its workers may still be there, and it has to be struck out.
        self.guard.end(component, true)?;
        self.start_component(component, context).await
    }

    /// Ends a component for a while: as an operator would, or `outright`, as a crash would.
    ///
    /// # Errors
    /// If it was not started, or does not end.
    pub fn stop_component(&mut self, component: Component, outright: bool) -> Result<()> {
        self.guard.end(component, outright)
    }

    /// Starts PostgreSQL, PgBouncer, Redis or the platform again where it stood before.
    ///
    /// # Errors
    /// If it does not start; the error shows the end of its log.
    pub async fn start_component(
        &mut self,
        component: Component,
        context: &ActContext,
    ) -> Result<()> {
        let guard = &mut self.guard;
        let urls = guard.state.urls.clone();
        match component {
            Component::Postgres => {
                let port = port_of(urls.database_url.as_deref())?;
                postgres::start(guard, Some(port), context).await.map(drop)
            }
            Component::Pgbouncer => {
                let port = port_of(urls.pgbouncer_url.as_deref())?;
                start_pgbouncer(guard, Some(port), context).await
            }
            Component::Redis => {
                let port = port_of(urls.redis_url.as_deref())?;
                redis::start(guard, Some(port), context).await.map(drop)
            }
            Component::Platform => {
                let at = format!("127.0.0.1:{}", port_of(urls.base_url.as_deref())?);
                let (program, more) = self.platform.clone();
                service::start(&mut self.guard, &program, &more, &at, context).await.map(drop)
            }
            other => Err(Error::run(format!("{} is not started again", other.name()), "")),
        }
    }

    /// Takes a backup of the database while it is in use; it goes with the rig.
    ///
    /// # Errors
    /// What `pg_dump` said.
    pub async fn back_up(&mut self, context: &ActContext) -> Result<PathBuf> {
        let port = port_of(self.urls().database_url.as_deref())?;
        backup::take(&mut self.guard, port, context).await
    }

    /// Restores a backup into a second database; returns its URL.
    ///
    /// # Errors
    /// What `pg_restore` said.
    pub async fn restore(&mut self, backup: &Path, context: &ActContext) -> Result<String> {
        let port = port_of(self.urls().database_url.as_deref())?;
        backup::restore(&mut self.guard, port, backup, context).await
    }

    /// Whether somebody else (`cutover rig down`) has taken the rig down.
    pub fn was_taken_down(&self) -> bool {
        let ours = |rig: State| rig.owner == self.guard.state.owner;
        !State::load(&self.guard.dir).is_ok_and(|found| found.is_some_and(ours))
    }

    /// Leaves the rig running without us, until `cutover rig down`.
    ///
    /// # Errors
    /// If that cannot be written down; the rig is then stopped.
    pub fn detach(self) -> Result<()> {
        self.guard.detach()
    }

    /// Stops everything, and removes the folder if it is a temporary one.
    ///
    /// # Errors
    /// Names the processes that would not end.
    pub async fn stop(mut self) -> Result<()> {
        let stopping = tokio::task::spawn_blocking(move || self.guard.stop());
        stopping.await.or_run("the rig's shutdown broke off", "")?
    }
}

async fn start_pgbouncer(guard: &mut Guard, port: Option<u16>, context: &ActContext) -> Result<()> {
    let urls = guard.state.urls.clone();
    let replica = urls.replica_url.as_deref().map(|url| port_of(Some(url))).transpose()?;
    let behind = pgbouncer::Behind { primary: port_of(urls.database_url.as_deref())?, replica };
    let pooled = pgbouncer::start(guard, &behind, port, context).await?;
    guard.state.urls.pgbouncer_url = Some(pooled.primary);
    guard.state.urls.pgbouncer_replica_url = pooled.replica;
    Ok(())
}

/// The port in one of the rig's own URLs.
fn port_of(url: Option<&str>) -> Result<u16> {
    url.and_then(|url| url::Url::parse(url).ok()?.port())
        .ok_or_else(|| Error::run("that component was not started", "start the rig with it"))
}

/// The process id of each component that was started.
pub(super) fn pids(state: &State) -> BTreeMap<&'static str, u32> {
    state.members.iter().map(|member| (member.component.name(), member.process.pid)).collect()
}
