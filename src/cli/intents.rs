//! What a run is about to change, said before it does: refused if the environment does not allow it,
//! told in a banner if it does. `check-config` tells the same without doing it.

use super::Printer;
use crate::config::{Config, Environment, Intent, RoutingKind, TablePair, WritingAct};
use crate::error::Result;
use crate::pg;
use crate::scenario::Scenario;
use crate::seed;

/// What `seed` changes.
pub(super) fn seed(profile: &seed::Profile, reset: bool) -> Intent {
    let tables = profile
        .tables
        .iter()
        .flat_map(|table| std::iter::once(table.legacy.clone()).chain(table.partitioned.clone()));
    let tables = tables.collect::<Vec<_>>().join(", ");
    let emptied = if reset { ", which are emptied first" } else { "" };
    Intent::new(WritingAct::Seed, format!("synthetic organisations into {tables}{emptied}"))
}

/// What `drive` changes.
pub(super) fn drive(scenario: &Scenario, config: &Config) -> Vec<Intent> {
    let writers = scenario.writers();
    let mut intents = Vec::new();
    if !writers.is_empty() {
        let what = format!("requests that change data: {}", writers.join(", "));
        intents.push(Intent::new(WritingAct::Drive, what));
    }
    let how = match config.routing.kind {
        RoutingKind::Http => "by requests",
        RoutingKind::Command => "by commands",
        RoutingKind::RuleFile => "in its file of rules",
        RoutingKind::Header | RoutingKind::Urls | RoutingKind::None => return intents,
    };
    let what = format!("the platform's flag, {how}; put back at the end");
    intents.push(Intent::new(WritingAct::Flag, what));
    intents
}

/// What `diff` changes while it tries the triggers; `None` if no pair is tried.
pub(super) fn probe(tables: &[TablePair]) -> Option<Intent> {
    let tried: Vec<&str> =
        tables.iter().filter(|pair| pair.probe).map(TablePair::written_table).collect();
    let tried_on = match TablePair::are_presumed(tables) {
        true => "each pair's table that is written to".to_owned(),
        false => tried.join(", "),
    };
    let what = format!("a row of {tried_on}, in a transaction that is always undone");
    (!tried.is_empty()).then(|| Intent::new(WritingAct::Probe, what))
}

/// What a drill breaks, to see it mended.
pub(super) fn drill(names: &[String]) -> Intent {
    Intent::new(WritingAct::Drill, format!("what these break and mend: {}", names.join(", ")))
}

/// What a rollout sets.
pub(super) fn percentage() -> Intent {
    Intent::new(WritingAct::Flag, "the share of orgs on the partitioned side, step by step")
}

/// What a checklist writes and removes again.
pub(super) fn test_rows(config: &Config) -> Intent {
    let org = config.preflight.test_org;
    Intent::new(WritingAct::Drive, format!("rows of the test org {org}, removed again"))
}

/// What following the write-ahead log changes.
pub(super) fn wal() -> Intent {
    Intent::new(WritingAct::Wal, "a temporary slot on the write-ahead log")
}

/// Why the triggers were not tried.
pub(super) fn untried(environment: &Environment) -> Option<String> {
    (!environment.allows(WritingAct::Probe)).then(|| {
        "the triggers were not tried on a row (the diff read the catalog alone)".to_owned()
    })
}

/// Which operations were left out.
pub(super) fn untested_operations(left_out: &[String]) -> Option<String> {
    let text = format!(
        "operations that change data, or need a row that one makes: {}",
        left_out.join(", ")
    );
    (!left_out.is_empty()).then_some(text)
}

/// If a run works, without secrets.
pub(super) fn place(database_url: Option<&str>, base_url: Option<&url::Url>) -> String {
    let base_url = base_url.map(|url| {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or(""), url.path())
    });
    let places: Vec<String> = database_url.map(pg::describe).into_iter().chain(base_url).collect();
    match places.is_empty() {
        true => "a local rig of its own".into(),
        false => places.join(" and "),
    }
}

/// Refuses what is not allowed, then says where the run works and what it will change.
///
/// # Errors
/// A usage error if the environment does not allow it.
pub(super) fn announce(
    printer: &Printer,
    environment: &Environment,
    place: &str,
    intents: &[Intent],
    left_out: &[String],
) -> Result<()> {
    environment.permit(intents)?;
    printer.note(&banner(environment, place, intents, left_out));
    Ok(())
}

fn banner(
    environment: &Environment,
    place: &str,
    intents: &[Intent],
    left_out: &[String],
) -> String {
    let name = environment.name.as_deref().unwrap_or("(none described)");
    let mut lines = vec![format!("environment {name}: {place}")];
    match intents {
        [] => lines.push("  will write nothing".into()),
        intents => lines.extend(
            intents
                .iter()
                .map(|intent| format!("  will write: {}: {}", intent.act.as_str(), intent.what)),
        ),
    }
    let is_platform_alone = place.starts_with("http");
    if environment.without_database && !is_platform_alone {
        lines.push(format!(
            "  CHECK: [env.{name}] names no database of its own; is this one {name}'s?"
        ));
    }
    lines.extend(left_out.iter().map(|what| format!("  left out: {what}")));
    lines.join("\n")
}
