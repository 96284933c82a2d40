//! Around the measurement: what was run where, what the platform said, how to do it again.

use serde::Serialize;

use super::{Drawing, clip, run_name, short};
use crate::report::charts::{self, Night};
use crate::report::facts::{self, Tone};
use crate::report::text::{self, NOTHING, count, counted, number};
use cutover_evidence::drill::Drill;
use cutover_evidence::drive::Side;
use cutover_evidence::history::PastRun;
use cutover_evidence::limits::Limits;
use cutover_evidence::manifest::Manifest;
use cutover_evidence::observation::Observation;
use cutover_evidence::run_record::{Act, ActState, EvidenceFile, RunRecord};
use cutover_evidence::watch::WatchEvidence;

/// Looks in the table; of more, every second, third, … is shown.
const MOST_LOOKS: usize = 120;

/// The line above the verdict.
#[derive(Serialize)]
pub(super) struct Head {
    run: String,
    facts: Vec<String>,
}

/// What the platform said about itself.
#[derive(Serialize)]
pub(super) struct Platform {
    said: Vec<Said>,
    cache: Option<Drawing>,
    looks: Vec<Look>,
    every: usize,
}

#[derive(Serialize)]
struct Said {
    tone: Tone,
    text: String,
}

#[derive(Serialize)]
struct Look {
    at_s: String,
    status: String,
    cache: &'static str,
    hit_rate: String,
    lag_s: String,
    critical: String,
    warnings: String,
    error: String,
}

#[derive(Serialize)]
pub(super) struct View {
    acts: Vec<ActRow>,
    facts: Vec<(&'static str, String)>,
    command: String,
    folder: String,
    seeded: Option<Seeded>,
    drills: Vec<DrillRow>,
    watched: Option<String>,
    files: Vec<[String; 3]>,
    history: Vec<[String; 4]>,
    nights: Option<Drawing>,
    level_changed_with: Option<String>,
    incomparable: Vec<[String; 2]>,
}

#[derive(Serialize)]
struct DrillRow {
    name: String,
    state: &'static str,
    tone: Tone,
    took: String,
    limit: String,
    note: String,
}

#[derive(Serialize)]
struct ActRow {
    name: String,
    state: &'static str,
    tone: Tone,
    duration: String,
    /// Share of the longest act, in percent.
    share: u32,
    note: String,
}

#[derive(Serialize)]
struct Seeded {
    orgs: String,
    as_of: String,
    tables: Vec<[String; 4]>,
    sizes: Vec<[String; 2]>,
}

pub(super) fn head(record: &RunRecord) -> Head {
    let target = match (&record.target.base_url, &record.target.database) {
        (Some(url), _) => short(url),
        (None, Some(database)) => short(database),
        (None, None) => "target not recorded".to_owned(),
    };
    let started = match record.started_at.as_str() {
        "" => "start not recorded".to_owned(),
        at => format!("started {}", short(at)),
    };
    let took = format!("took {}", text::duration(record.duration_s));
    let place = if record.target.rig { "local rig" } else { "target" };
    Head { run: run_name(record), facts: vec![started, took, format!("{place} {target}")] }
}

pub(super) fn platform(record: &RunRecord) -> Platform {
    let observations = &record.observations;
    let limits = Limits { own: &record.limits, phase: Some(record.phase) };
    let every = observations.len().div_ceil(MOST_LOOKS).max(1);
    let said = facts::observed(observations, &limits).into_iter();
    Platform {
        said: said.map(|s| Said { tone: s.tone, text: clip(&s.text) }).collect(),
        cache: charts::cache_rate(observations).map(Drawing::from),
        looks: observations.iter().step_by(every).map(look).collect(),
        every,
    }
}

fn look(o: &Observation) -> Look {
    let known = |value: Option<u64>| value.map_or(NOTHING.to_owned(), count);
    Look {
        at_s: number(o.at_s, 1),
        status: o.system_status.as_deref().map_or(NOTHING.to_owned(), short),
        cache: match o.cache_available {
            None => NOTHING,
            Some(true) => "answers",
            Some(false) => "lost",
        },
        hit_rate: o.cache_hit_rate_percent.map_or(NOTHING.to_owned(), |rate| number(rate, 1)),
        lag_s: o.replica_lag_s.map_or(NOTHING.to_owned(), |lag| number(lag, 1)),
        critical: known(o.critical_alerts),
        warnings: known(o.warning_alerts),
        error: o.error.as_deref().map_or(String::new(), clip),
    }
}

pub(super) fn view(record: &RunRecord) -> View {
    let lengths = record.acts.iter().map(|act| act.duration_s).filter(|s| s.is_finite());
    let longest = lengths.fold(0.0, f64::max);
    View {
        acts: record.acts.iter().map(|act| act_row(act, longest)).collect(),
        facts: surroundings(record),
        command: clip(&record.command),
        folder: match record.run_id.as_str() {
            "" => "RUN_DIR".to_owned(),
            run_id => format!("reports/{}", short(run_id)),
        },
        seeded: record.manifest.as_ref().map(seeded),
        files: record.files.iter().map(file).collect(),
        history: record.history.iter().map(past).collect(),
        drills: record.drills.iter().map(drill_row).collect(),
        watched: record.watch.as_ref().map(watched),
        nights: nights(record),
        level_changed_with: record.level_changed_with.as_deref().map(short),
        incomparable: record
            .incomparable
            .iter()
            .map(|run| [short(&run.run_id), clip(&run.why)])
            .collect(),
    }
}

fn file(file: &EvidenceFile) -> [String; 3] {
    [short(&file.name), text::size(file.size_bytes), short(&file.sha256)]
}

fn past(run: &PastRun) -> [String; 4] {
    let p95 = |us: u64| format!("{} ms", text::ms(us));
    [
        short(&run.run_id),
        short(&run.started_at),
        p95(run.legacy_p95_us),
        p95(run.partitioned_p95_us),
    ]
}

fn drill_row(drill: &Drill) -> DrillRow {
    let seconds =
        |s: Option<f64>| s.filter(|s| s.is_finite()).map_or(NOTHING.to_owned(), text::duration);
    let in_time = match (drill.measured_s, drill.limit_s) {
        (Some(took_s), Some(limit_s)) => took_s <= limit_s,
        (Some(_), None) => true,
        (None, _) => false,
    };
    let (state, tone) = match (drill.measured_s, drill.proven) {
        (None, _) => ("not ended", Tone::Doubtful),
        (_, false) => ("not proven", Tone::Bad),
        (_, true) if in_time => ("proven", Tone::Good),
        (_, true) => ("too slow", Tone::Bad),
    };
    DrillRow {
        name: short(&drill.name),
        state,
        tone,
        took: seconds(drill.measured_s),
        limit: seconds(drill.limit_s),
        note: clip(&drill.note),
    }
}

fn watched(watch: &WatchEvidence) -> String {
    let alerts = match watch.critical_alerts {
        None => "no look learned of alerts".to_owned(),
        Some(0) => "no critical alert".to_owned(),
        Some(most) => {
            format!("up to {} at once", counted(most, "critical alert", "critical alerts"))
        }
    };
    format!(
        "{} hours, from {} to {}: {} of {} answered, {alerts}.",
        number(watch.watched_h, 1),
        short(&watch.from),
        short(&watch.to),
        count(watch.answered),
        counted(watch.looks, "look", "looks")
    )
}

/// p95 of the earlier runs and of this one; `None` if there is nothing to compare with.
fn nights(record: &RunRecord) -> Option<Drawing> {
    let now = record.drive.as_ref().filter(|_| !record.history.is_empty())?;
    let p95 = |mode| now.overall.get(&mode).map_or(0, |latency| latency.response_us.p95);
    let past = record.history.iter().map(|run| Night {
        name: run.run_id.clone(),
        legacy_us: run.legacy_p95_us,
        partitioned_us: run.partitioned_p95_us,
    });
    let this = Night {
        name: run_name(record),
        legacy_us: p95(Side::Legacy),
        partitioned_us: p95(Side::Partitioned),
    };
    let changed = record.level_changed_with.as_ref();
    let at = |run_id: &String| match record.history.iter().position(|run| run.run_id == *run_id) {
        Some(at) => at,
        None => record.history.len(),
    };
    let nights: Vec<Night> = past.chain([this]).collect();
    Some(charts::nights(&nights, changed.map(at)).into())
}

fn act_row(act: &Act, longest_s: f64) -> ActRow {
    let tone = match act.state {
        ActState::Done => Tone::Good,
        ActState::Failed | ActState::Interrupted => Tone::Bad,
        ActState::Skipped => Tone::Doubtful,
    };
    let share = if longest_s > 0.0 { 100.0 * act.duration_s / longest_s } else { 0.0 };
    ActRow {
        name: act.name.to_string(),
        state: facts::act_label(act.state),
        tone,
        duration: facts::act_duration(act),
        // The cast takes what is no number to 0 and what is too large to the largest.
        share: (share as u32).min(100),
        note: clip(&act.note),
    }
}

fn surroundings(record: &RunRecord) -> Vec<(&'static str, String)> {
    let known = |text: &str| if text.is_empty() { "not recorded".to_owned() } else { clip(text) };
    let (target, machine) = (&record.target, &record.environment);
    let of = |text: &Option<String>| known(text.as_deref().unwrap_or(""));
    let cores = match machine.cores {
        0 => "not recorded".to_owned(),
        n => count(n),
    };
    let memory = match machine.memory_bytes {
        0 => "not recorded".to_owned(),
        n => text::size(n),
    };
    vec![
        ("Run", known(&record.run_id)),
        ("Started", known(&record.started_at)),
        ("Gate", clip(&facts::gate_name(record))),
        ("cutover", known(&record.cutover_version)),
        ("Record layout", format!("version {}", record.schema_version)),
        ("Random seed", record.rng_seed.to_string()),
        ("Configuration, SHA-256", known(&record.config_sha256)),
        ("Database", of(&target.database)),
        ("PostgreSQL", of(&target.postgres_version)),
        ("Platform", of(&target.base_url)),
        ("Operating system", known(&machine.os)),
        ("Processor", known(&machine.cpu)),
        ("Processors", cores),
        ("Memory", memory),
    ]
}

fn seeded(manifest: &Manifest) -> Seeded {
    let tables = manifest.tables.iter().map(|table| {
        [short(&table.name), count(table.rows), short(&table.amount_sum), short(&table.digest)]
    });
    let sizes = manifest.org_sizes.iter().map(|class| {
        let range = match class.from == class.to {
            true => count(class.from),
            false => format!("{} to {}", count(class.from), count(class.to)),
        };
        [range, count(class.orgs)]
    });
    Seeded {
        orgs: count(manifest.orgs),
        as_of: short(&manifest.as_of),
        tables: tables.collect(),
        sizes: sizes.collect(),
    }
}
