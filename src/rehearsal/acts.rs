//! Each act as a rehearsal calls it.

use std::sync::Arc;

use url::Url;

use super::{LoadShape, Options, REQUEST_TIMEOUT, plan, reference};
use crate::act::ActContext;
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::evidence::finding::{DiffEvidence, DiffPhase, WalEvidence};
use crate::evidence::limits::Phase;
use crate::evidence::manifest::Manifest;
use crate::routing::Switch;
use crate::run_folder::RunFolder;
use crate::{diff, drive, gate, pg, rig, seed};

pub(super) async fn start_rig(
    options: &Options,
    context: &ActContext,
) -> Result<(rig::Stack, (String, Url))> {
    let more = if options.full { ", a replica, PgBouncer" } else { "" };
    context.note(format!("starting the rig: PostgreSQL{more}, Redis, the reference platform"));
    let mut platform_args = Vec::new();
    for misbehaviour in &options.misbehave {
        platform_args.extend(["--misbehave".to_owned(), misbehaviour.clone()]);
    }
    let stack = rig::Stack::start(
        rig::Options {
            platform_args,
            replica: options.full,
            pgbouncer: options.full,
            ..rig::Options::new(&options.executable)
        },
        context,
    )
    .await?;
    let base_url = stack.base_url().ok_or_else(|| Error::run("the rig has no platform", ""))?;
    let base_url = Url::parse(base_url).or_run("the rig's platform has no usable URL", "")?;
    let database_url = stack.database_url().to_owned();
    Ok((stack, (database_url, base_url)))
}

/// Makes the reference schema if there is nothing yet, then fills it.
pub(super) async fn fill(
    options: &Options,
    profile: &seed::Profile,
    folder: &RunFolder,
    database_url: &str,
    context: &ActContext,
) -> Result<Manifest> {
    if !options.own_schema && pg::is_empty(database_url).await? {
        reference::migrate(database_url, options.as_of).await?;
    }
    let seed_options = seed::Options {
        orgs: options.orgs,
        rng_seed: options.rng_seed,
        as_of: options.as_of,
        transactions_per_org: options.transactions_per_org,
        ..seed::Options::default()
    };
    let manifest = seed::run(database_url, profile, &seed_options, context).await?;
    let json = serde_json::to_vec_pretty(&manifest).or_run("manifest", "")?;
    folder.write("manifest.json", &json)?;
    Ok(manifest)
}

pub(super) async fn compare(
    options: &Options,
    folder: &RunFolder,
    database_url: &str,
    phase: DiffPhase,
    log: Option<WalEvidence>,
    context: &ActContext,
) -> Result<DiffEvidence> {
    let diff_options = diff::Options {
        phase,
        log,
        probe: options.probe,
        probe_role: options.config.preflight.application_role.clone(),
        ..diff::Options::default()
    };
    let tables = &options.config.tables;
    diff::run(database_url, tables, &diff_options, folder.path(), context).await
}

pub(super) async fn load(
    options: &Options,
    folder: &RunFolder,
    (database_url, base_url): (&str, &Url),
    shape: LoadShape,
    context: &ActContext,
) -> Result<drive::Outcome> {
    let plan = plan(options, shape)?;
    let drive_options = drive::Options {
        connections: shape.connections,
        timeout: REQUEST_TIMEOUT,
        as_of: options.as_of,
        rate_per_s: shape.rate_per_s,
        ahead: true,
        closed_loop: false,
        database_url: Some(database_url.to_owned()),
        tables: options.config.tables.clone(),
        parity: options.config.parity.clone(),
        org_sizes: sizes_of_orgs(&options.config, Some(database_url), context).await,
        shard: None,
        start_at: None,
        metrics_listen: None,
        dashboard: None,
        executable: Some(options.executable.clone()),
        judge: judge(&options.config, &shape),
    };
    let switch = Switch::new(&options.config, base_url)?;
    let scenario = Arc::clone(&options.scenario);
    drive::run(scenario, plan, switch, &drive_options, folder.path(), context).await
}

/// The gate's eye on a load that runs; `None` if it is driven to its end anyway.
pub fn judge(config: &Config, load: &LoadShape) -> Option<drive::Judge> {
    let LoadShape { looks, attempt, .. } = *load;
    let look = gate::judge_of_looks(&config.limits, Phase::default());
    (looks > 1 || attempt > 0).then(|| drive::Judge { attempt, look: Arc::new(look) })
}

/// Classes of the orgs by size; without them the load is measured all the same.
pub async fn sizes_of_orgs(
    config: &Config,
    database_url: Option<&str>,
    context: &ActContext,
) -> Option<Arc<drive::OrgSizes>> {
    match drive::org_sizes(database_url?, &config.tables).await {
        Ok(sizes) => Some(Arc::new(sizes)),
        Err(error) => {
            context.note(format!("nothing is shown by size of the org: {error}"));
            None
        }
    }
}
