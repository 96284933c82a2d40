//! `cutover check-config`: what each act would do on this target, without doing it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::{Exit, Printer, TargetArgs, intents};
use crate::config::{
    Config, Environment, Intent, RoutingConfig, RoutingKind, TablePair, WritingAct,
};
use crate::error::{Error, Result};
use crate::pg::catalog::Table;
use crate::routing::Switch;
use crate::scenario::{FINANCE, Scenario};
use crate::{pg, seed};

/// Arguments of `check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Traffic [default: the finance scenario]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Description of your own tables; default: the reference schema's
    #[arg(long, value_name = "FILE")]
    pub profile_file: Option<PathBuf>,
    /// As the acts would be with --read-only
    #[arg(long)]
    pub read_only: bool,
}

/// One act as it would be.
#[derive(Debug, Serialize)]
struct Explained {
    act: &'static str,
    /// Whether the environment allows it.
    allowed: bool,
    reads: Vec<String>,
    writes: Vec<Intent>,
    notes: Vec<String>,
}

/// One pair as it is in the database.
#[derive(Debug, Serialize)]
struct Seen {
    name: String,
    tables: Vec<String>,
}

/// Explains, and looks whether what is named is there.
///
/// # Errors
/// A usage error if configuration, scenario or seed profile are not valid or a table is not there; a
/// run error if the database cannot be asked.
pub async fn run(args: &CheckConfigArgs, printer: &Printer) -> Result<Exit> {
    let mut config = args.target.read_config()?;
    if args.read_only {
        config.environment = std::mem::take(&mut config.environment).read_only();
    }
    let base_url = args.target.base_url(&config)?;
    let url = args.target.checked_database_url()?;
    if let Some(base_url) = &base_url {
        Switch::new(&config, base_url)?;
    }
    let acts = explain(args, &config, url, base_url.as_ref())?;
    let pairs = match url {
        Some(url) => look(&config, url).await?,
        None => Vec::new(),
    };
    let place = match (url, &base_url) {
        (None, None) => "no database and no platform are named".to_owned(),
        _ => intents::place(url, base_url.as_ref()),
    };
    let name = config.environment.name.as_deref();
    let mut lines = vec![format!("environment {}: {place}", name.unwrap_or("(none described)"))];
    for pair in &pairs {
        lines.push(format!("pair {}: {}", pair.name, pair.tables.join("; ")));
    }
    for act in &acts {
        lines.push(format!(
            "{}{}",
            act.act,
            if act.allowed { "" } else { ": refused here (exit 2)" }
        ));
        lines.extend(act.reads.iter().map(|what| format!("  reads   {what}")));
        if act.writes.is_empty() {
            lines.push("  writes  nothing".into());
        }
        lines.extend(act.writes.iter().map(|intent| written(intent, &config.environment)));
        lines.extend(act.notes.iter().map(|what| format!("  {what}")));
    }
    printer.result(&lines.join("\n"));
    printer.json(&serde_json::json!({
        "environment": name, "target": place, "pairs": pairs, "acts": acts,
    }));
    Ok(Exit::OK)
}

fn written(intent: &Intent, environment: &Environment) -> String {
    let allowed = if environment.allows(intent.act) { "" } else { " (not allowed here)" };
    format!("  writes  {}: {}{allowed}", intent.act.as_str(), intent.what)
}

fn explain(
    args: &CheckConfigArgs,
    config: &Config,
    url: Option<&str>,
    base_url: Option<&url::Url>,
) -> Result<Vec<Explained>> {
    let mut scenario = match &args.scenario {
        Some(path) => Scenario::read(path)?,
        None => Scenario::parse("the built-in finance scenario", FINANCE)?,
    };
    let mut left_out = Vec::new();
    if args.read_only {
        let (reads, operations) = scenario.reads_only()?;
        scenario = reads;
        left_out
            .extend(intents::untested_operations(&operations).map(|o| format!("leaves out {o}")));
    }
    let profile = match &args.profile_file {
        Some(path) => seed::Profile::read(path)?,
        None => seed::Profile::reference(),
    };
    let environment = &config.environment;
    let none =
        || "no database is named: --database-url, CUTOVER_DATABASE_URL or [database]".to_owned();
    let database = url.map_or_else(none, |url| format!("the database {}", pg::describe(url)));
    let tables: Vec<String> = config
        .tables
        .iter()
        .map(|pair| format!("{} and {} by {}", pair.legacy, pair.partitioned, pair.key.join(", ")))
        .collect();
    let probed = environment.allows(WritingAct::Probe);
    let seeds = intents::seed(&profile, false);
    let drives = intents::drive(&scenario, config);
    let probe: Vec<Intent> =
        intents::probe(&config.tables).filter(|_| probed).into_iter().collect();
    let platform = base_url.map_or_else(
        || "no platform is named: --base-url, CUTOVER_BASE_URL or base_url".to_owned(),
        |_| format!("{}: {}", intents::place(None, base_url), routed(&config.routing)),
    );
    let operations =
        format!("{} operations of the scenario `{}`", scenario.operations.len(), scenario.name);
    let allowed = |intents: &[Intent]| environment.permit(intents).is_ok();
    let untried: Vec<String> = intents::untried(environment).into_iter().collect();
    let act = |act, reads: &[&String], writes: Vec<Intent>, notes: &[String]| Explained {
        act,
        allowed: allowed(&writes),
        reads: reads.iter().map(|what| (*what).clone()).collect(),
        writes,
        notes: notes.to_vec(),
    };
    let compared = format!("every row of {}, in read-only transactions", tables.join("; "));
    let folder = "the run's folder alone; neither database nor platform".to_owned();
    let all = if args.read_only { Vec::new() } else { vec![seeds.clone()] };
    let all: Vec<Intent> = all.into_iter().chain(drives.clone()).chain(probe.clone()).collect();
    let both: Vec<String> = left_out.iter().cloned().chain(untried.clone()).collect();
    Ok(vec![
        act("seed", &[&database], vec![seeds], &[]),
        act("drive", &[&platform, &operations], drives, &left_out),
        act("diff", &[&database, &compared], probe, &untried),
        act("gate", &[&folder], Vec::new(), &[]),
        act("rehearse", &[&database, &platform, &operations, &compared], all, &both),
    ])
}

/// How reads get to one side.
fn routed(routing: &RoutingConfig) -> String {
    let settles = format!("nothing is measured for {} s after a switch", routing.settle_s);
    match routing.kind {
        RoutingKind::Header => {
            format!("each request says its side in the header {}", routing.header)
        }
        RoutingKind::Urls => "each side has a base URL of its own".into(),
        RoutingKind::Http => format!("a flag is switched by requests; {settles}"),
        RoutingKind::Command => format!("a flag is switched by commands; {settles}"),
        RoutingKind::RuleFile => format!("a flag is switched in a file of rules; {settles}"),
        RoutingKind::None => "reads cannot be routed, only legacy is driven".into(),
    }
}

/// How long the server may work on one question.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// What the pairs' tables are in the database.
async fn look(config: &Config, url: &str) -> Result<Vec<Seen>> {
    let mut shared = pg::Shared::connect(url, LOOK_LIMIT).await?;
    let mut connection = shared.look().await?;
    let mut pairs = Vec::new();
    for pair in &config.tables {
        let mut tables = Vec::new();
        for name in [pair.legacy_name()?, pair.partitioned_name()?] {
            let table =
                Table::find(&mut connection, &name, url).await.map_err(|error| match error {
                    Error::Usage { .. }
                        if pairs.is_empty() && TablePair::are_presumed(&config.tables) =>
                    {
                        TablePair::none_described(&pg::describe(url))
                    }
                    error => error,
                })?;
            let leaves = table.leaves(&mut connection).await?;
            let rows: f64 = leaves.iter().map(|leaf| leaf.rows_estimate).sum();
            let divided = match table.kind.as_str() {
                "p" => format!(" in {} partitions", leaves.len()),
                _ => String::new(),
            };
            for column in pair.key.iter().map(String::as_str).chain(pair.org_column()) {
                let own = match name == pair.partitioned_name()? {
                    true => pair.partitioned_column(column),
                    false => column,
                };
                if table.column(own).is_none() {
                    let what = format!("[[tables]] `{}`: {name} has no column `{own}`", pair.name);
                    return Err(Error::usage(what, "correct org, key or map"));
                }
            }
            tables.push(format!("{name}, about {rows:.0} rows{divided}"));
        }
        pairs.push(Seen { name: pair.name.clone(), tables });
    }
    connection.commit().await.map_err(|error| pg::failure("cannot look to the end", &error))?;
    shared.close().await;
    Ok(pairs)
}
