//! The beginning of a run record: when, where, with which configuration.

use crate::config::{Config, TablePair};
use crate::evidence::SCHEMA_VERSION;
use crate::evidence::exit::Exit;
use crate::evidence::run_record::{Environment, RunRecord, Target, TargetPair};
use crate::evidence::verdict::Verdict;
use crate::http::shown;
use crate::pg::{self, QualifiedName, quote_ident};
use crate::run_folder::{RunFolder, sha256};
use crate::scenario::Scenario;

/// A record with everything that is known before the first act.
pub fn begin(
    folder: &RunFolder,
    config: &Config,
    scenario: Option<&Scenario>,
    rng_seed: u64,
) -> RunRecord {
    let mut configuration = toml::to_string(config).expect("a configuration is plain data");
    configuration.push_str(scenario.map_or("", |scenario| &scenario.source));
    RunRecord {
        schema_version: SCHEMA_VERSION,
        run_id: folder.run_id().to_owned(),
        rng_seed,
        started_at: now(),
        cutover_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command_line(),
        config_sha256: sha256(configuration.as_bytes()),
        scenario_sha256: scenario.map_or(String::new(), |s| sha256(s.source.as_bytes())),
        limits: config.limits.clone(),
        target: Target {
            pairs: pairs(config),
            environment: config.environment.name.clone(),
            ..Target::default()
        },
        environment: environment(),
        // What a run that is killed leaves behind must not read as a GO.
        verdict: Verdict {
            exit_code: Exit::INVALID,
            reasons: vec!["the run has not come to its end".into()],
            ..Verdict::default()
        },
        ..RunRecord::default()
    }
}

/// The time as records tell it.
pub(super) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The table pairs of a configuration as a record names them.
pub fn pairs(config: &Config) -> Vec<TargetPair> {
    let quoted = |table: &str| QualifiedName::parse(table).map_or(table.into(), |t| t.to_string());
    let pair = |pair: &TablePair| TargetPair {
        name: pair.name.clone(),
        legacy: quoted(&pair.legacy),
        partitioned: quoted(&pair.partitioned),
        trigger: pair.trigger.as_deref().map(quote_ident),
        key: pair.key.clone(),
        ignore: pair.ignore.clone(),
    };
    config.tables.iter().map(pair).collect()
}

/// Notes in which sessions the pairs' triggers fire, so that a verdict's steps can put that back.
/// Where nobody can tell, the steps say what to look at.
pub async fn note_triggers(record: &mut RunRecord, config: &Config, database_url: &str) {
    let named = config.tables.iter().filter_map(|pair| Some((pair, pair.trigger.clone()?)));
    let quoted = |pair: &TablePair| pair.legacy_name().map(|name| name.to_string());
    let (mut pairs, mut tables, mut triggers) = (Vec::new(), Vec::new(), Vec::new());
    for (pair, trigger) in named {
        pairs.push(pair.name.clone());
        tables.push(quoted(pair).unwrap_or_default());
        triggers.push(trigger);
    }
    let states = pg::trigger_states(database_url, &tables, &triggers).await.unwrap_or_default();
    let seen = pairs.into_iter().zip(states).filter_map(|(pair, state)| Some((pair, state?)));
    record.target.triggers_enabled = seen.collect();
}

/// The option that holds a secret.
const WEBHOOK: &str = "--notify-url";

/// The command line with URLs cut down to what holds no password.
fn command_line() -> String {
    let mut arguments = std::env::args();
    let _program = arguments.next();
    // Whoever has a webhook's URL can write into its channel.
    let mut secret = false;
    let arguments = arguments.map(|argument| {
        let hidden = std::mem::replace(&mut secret, argument == WEBHOOK);
        match argument.split_once('=') {
            _ if hidden => "…".to_owned(),
            Some((WEBHOOK, _)) => format!("{WEBHOOK}=…"),
            _ => argument,
        }
    });
    let shown = arguments.map(|argument| match argument.contains(char::is_whitespace) {
        true => format!("'{}'", shown(&argument)),
        false => shown(&argument),
    });
    std::iter::once("cutover".to_owned()).chain(shown).collect::<Vec<_>>().join(" ")
}

/// The machine we run on; a field stays empty if the system does not say.
fn environment() -> Environment {
    let field = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key))?.split_once(':')?.1.trim();
        Some(line.to_owned())
    };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory_kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    Environment {
        os: format!("{} {} {}", std::env::consts::OS, kernel.trim(), std::env::consts::ARCH),
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_default(),
        cores: std::thread::available_parallelism().map_or(0, |cores| cores.get() as u64),
        memory_bytes: memory_kib.unwrap_or(0) * 1024,
    }
}
