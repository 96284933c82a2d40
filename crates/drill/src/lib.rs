//! Drills: what the handbook has people do in an emergency, done against the clock and proven.
//!
//! Each drill makes its own emergency, works through the handbook's steps while traffic goes on,
//! stops the clock when the last step is done, and proves what it was to reach. Whatever happens,
//! the platform is left as it was: flag off, triggers at work, servers up.
//!
//! A drill knows nothing of the other acts; what it needs of them stands in [`DrillTarget`].

mod catalogue;
mod data;
pub mod faults;
mod outage;
mod rollback;
mod scene;
mod script;
mod sql;
mod target;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

pub use catalogue::Name;
pub use scene::Target;
pub use target::{Compared, DrillTarget, Part};

use cutover_error::{Error, Result};
use cutover_evidence::drill::Drill;
use cutover_ground::act::{ActContext, Event};
use scene::Scene;

/// Whether the database is a rig's, where anything may be broken.
///
/// # Errors
/// If the server cannot be asked.
pub async fn is_rig(database_url: &str) -> Result<bool> {
    sql::is_rig(database_url).await
}

/// Refuses a drill if it could hurt: on anything that is no rig, unless the configuration names
/// that environment and the drill.
///
/// # Errors
/// A usage error that says what to write; a run error if the database does not answer.
pub async fn permit(name: Name, target: &Target) -> Result<()> {
    if is_rig(&target.database_url).await? {
        return Ok(());
    }
    let rollout = &target.config.rollout;
    let named = rollout.drills.iter().any(|drill| drill == name.as_str());
    if !rollout.environment.is_empty() && named && name.is_gentle() {
        return Ok(());
    }
    let hint = if name.is_gentle() {
        format!(
            "leave the target away to rehearse on a rig, or write [rollout] environment = \"…\" \
             and drills = [\"{}\"] into its configuration",
            name.as_str()
        )
    } else {
        "it stops servers or spoils rows; leave the target away to rehearse it on a rig".to_owned()
    };
    Err(Error::usage(format!("drill {}: this target is no rig", name.as_str()), hint))
}

/// Runs one drill. A drill that breaks is evidence, too: not proven, without a time.
///
/// # Errors
/// Only [`Error::Interrupted`].
pub async fn run<S: DrillTarget>(
    name: Name,
    stage: &mut S,
    target: &Target,
    context: &ActContext,
) -> Result<Drill> {
    context.started(format!("drill: {}", name.as_str()), None, "");
    let mut script = script::Script::new(context);
    let played = play(name, stage, target, &mut script, context).await;
    context.emit(Event::Finished);
    if let Err(error) = &played {
        if matches!(error, Error::Interrupted) {
            return Err(Error::Interrupted);
        }
        script.prove("every step could be taken", false, error.to_string());
    }
    let measured_s = script.measured_s().filter(|_| played.is_ok());
    let (proven, note) = script.outcome();
    let more = BTreeMap::from([
        ("limit_source".to_owned(), name.limit().1.into()),
        ("environment".to_owned(), target.environment().into()),
        ("steps".to_owned(), script.steps()),
    ]);
    let limit_s = Some(name.limit().0);
    Ok(Drill { name: name.as_str().into(), limit_s, measured_s, proven, note, more })
}

async fn play<S: DrillTarget>(
    name: Name,
    stage: &mut S,
    target: &Target,
    script: &mut script::Script<'_>,
    context: &ActContext,
) -> Result<()> {
    let mut scene = Scene::set(stage, target, name.is_gentle(), context).await?;
    // Beyond its limit nothing can be proven any more, and whoever waits for it waits in vain.
    let longest = Duration::from_secs_f64(name.limit().0) + PREPARATION;
    let played = tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(Error::Interrupted),
        () = tokio::time::sleep(longest) => Err(too_long(longest)),
        played = act(name, &mut scene, script) => played,
    };
    let cleared = scene.clear().await;
    if let Err(error) = &cleared {
        // Whatever else is told, nobody may miss this.
        context.note(format!("the target is not left as it was: {error}"));
    }
    played.and(cleared)
}

/// What comes before a drill's clock starts.
const PREPARATION: Duration = Duration::from_secs(180);

fn too_long(longest: Duration) -> Error {
    Error::run(format!("it was given up after {} s", longest.as_secs()), "is the target that slow?")
}

async fn act<S: DrillTarget>(
    name: Name,
    scene: &mut Scene<'_, S>,
    script: &mut script::Script<'_>,
) -> Result<()> {
    match name {
        Name::StandardRollback => rollback::standard(scene, script).await,
        Name::EmergencyRollback => rollback::emergency(scene, script).await,
        Name::DisableOrg => rollback::disable_org(scene, script).await,
        Name::RedisDown => outage::redis_down(scene, script).await,
        Name::ReplicaLag => outage::replica_lag(scene, script).await,
        Name::PgbouncerRestart => outage::restart(scene, script, Part::Pgbouncer).await,
        Name::PrimaryRestart => outage::restart(scene, script, Part::Primary).await,
        Name::MissingPartition => data::missing_partition(scene, script).await,
        Name::Restore => data::restore(scene, script).await,
    }
}
