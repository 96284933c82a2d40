//! Drills on a stage: a rig of their own, or the target that is given.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use url::Url;

use crate::act::ActContext;
use crate::config::Config;
use crate::drill::{self, Compared, DrillTarget, Name, Part, Target};
use crate::error::{Context, Error, Result};
use crate::evidence::drill::Drill;
use crate::evidence::finding::DiffPhase;
use crate::rig::{self, Component, Stack};
use crate::run_folder::RunFolder;
use crate::{diff, seed};

/// What drills leave in a run's folder.
const FILE: &str = "drills.json";

/// Which drills, and on what.
#[derive(Debug, Clone)]
pub struct DrillOptions {
    /// The drills, in this order.
    pub names: Vec<Name>,
    /// The target as its owner describes it.
    pub config: Config,
    /// Database and platform; `None` starts a rig.
    pub target: Option<(String, Url)>,
    /// Orgs to seed into the rig.
    pub orgs: u64,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// This program, for the rig's processes.
    pub executable: PathBuf,
}

/// Runs the drills one after the other and leaves `drills.json`, whole after each of them.
///
/// # Errors
/// A usage error if a drill is not allowed on the target; a run error if the rig does not
/// start. A drill that breaks is evidence and no error.
pub async fn drill(
    options: &DrillOptions,
    folder: &RunFolder,
    context: &ActContext,
) -> Result<Vec<Drill>> {
    let Some((database_url, base_url)) = options.target.clone() else {
        let (mut stack, target) = set_up(options, context).await?;
        let outcome = on_stage(options, Some(&mut stack), &target, folder, context).await;
        context.note("stopping the rig");
        return stack.stop().await.and(outcome);
    };
    let config = options.config.clone();
    let watchdog = Some(options.executable.clone());
    let target = Target { database_url, base_url, replica_url: None, config, watchdog };
    for name in &options.names {
        drill::permit(*name, &target).await?;
    }
    on_stage(options, None, &target, folder, context).await
}

/// A rig with all that any of the drills needs, and data.
async fn set_up(options: &DrillOptions, context: &ActContext) -> Result<(Stack, Target)> {
    let wants = |names: &[Name]| options.names.iter().any(|name| names.contains(name));
    context.note("starting a rig to rehearse on");
    let rig_options = rig::Options {
        replica: wants(&[Name::ReplicaLag, Name::PrimaryRestart]),
        pgbouncer: wants(&[Name::PgbouncerRestart]),
        ..rig::Options::new(&options.executable)
    };
    let stack = Stack::start(rig_options, context).await?;
    let seed_options = seed::Options {
        orgs: options.orgs,
        rng_seed: options.rng_seed,
        as_of: options.as_of,
        ..seed::Options::default()
    };
    let profile = seed::Profile::reference().only(&options.config.tables)?;
    seed::run(stack.database_url(), &profile, &seed_options, context).await?;
    let base_url = stack.base_url().ok_or_else(|| Error::run("the rig has no platform", ""))?;
    let target = Target {
        database_url: stack.database_url().to_owned(),
        base_url: Url::parse(base_url).or_run("the rig's platform has no usable URL", "")?,
        replica_url: stack.urls().replica_url.clone(),
        config: options.config.clone(),
        watchdog: None,
    };
    Ok((stack, target))
}

/// Runs them on what stands there.
pub(super) async fn on_stage(
    options: &DrillOptions,
    mut stack: Option<&mut Stack>,
    target: &Target,
    folder: &RunFolder,
    context: &ActContext,
) -> Result<Vec<Drill>> {
    let mut drills = Vec::new();
    for name in &options.names {
        let stack = stack.as_deref_mut();
        let mut scene = OnStage { stack, target, folder: folder.path(), context };
        drills.push(drill::run(*name, &mut scene, target, context).await?);
        let json = serde_json::to_vec_pretty(&drills).or_run(FILE, "")?;
        folder.write(FILE, &json)?;
    }
    Ok(drills)
}

/// Hands on a rig's servers; on a target that is none, only the comparison.
struct OnStage<'a> {
    stack: Option<&'a mut Stack>,
    target: &'a Target,
    folder: &'a Path,
    context: &'a ActContext,
}

impl OnStage<'_> {
    fn stack(&mut self) -> Result<&mut Stack> {
        let hint = "leave the target away to rehearse it on a rig";
        self.stack
            .as_deref_mut()
            .ok_or_else(|| Error::run("the target's servers are not ours", hint))
    }
}

fn component(part: Part) -> Component {
    match part {
        Part::Redis => Component::Redis,
        Part::Pgbouncer => Component::Pgbouncer,
        Part::Primary => Component::Postgres,
    }
}

impl DrillTarget for OnStage<'_> {
    fn kill(&mut self, part: Part) -> Result<()> {
        let stack = self.stack()?;
        // It waits for the process to end, seconds at worst; the drill's traffic goes on meanwhile.
        tokio::task::block_in_place(|| stack.stop_component(component(part), true))
    }

    async fn start(&mut self, part: Part) -> Result<()> {
        let context = self.context;
        self.stack()?.start_component(component(part), context).await
    }

    async fn compare(&mut self, database_url: &str, name: &str, repair: bool) -> Result<Compared> {
        let out = self.folder.join("drill").join(name);
        let options = diff::Options { phase: DiffPhase::Drill, repair, ..diff::Options::default() };
        let tables = &self.target.config.tables;
        let evidence = diff::run(database_url, tables, &options, &out, self.context).await?;
        let repair = evidence.repair.as_ref().map(|file| out.join(file));
        Ok(Compared { evidence, repair })
    }

    async fn back_up(&mut self) -> Result<PathBuf> {
        let context = self.context;
        self.stack()?.back_up(context).await
    }

    async fn restore(&mut self, backup: &Path) -> Result<String> {
        let context = self.context;
        self.stack()?.restore(backup, context).await
    }
}
