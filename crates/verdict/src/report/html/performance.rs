//! The load: ratios, latencies, curves, and the run second by second.

use serde::Serialize;

use super::{Drawing, short};
use crate::report::charts::{self, Effect};
use crate::report::facts::{LatencyRow, latency_rows};
use crate::report::text::{self, NOTHING, count, counted, ms, number};
use cutover_evidence::drive::{
    Comparison, DriveEvidence, Look, ModeLatency, OperationComparison, Side, Slice, Window,
};
use cutover_evidence::machine::MachinePoint;

/// Operations that get a drawing of their own; the table has all of them.
const MOST_SMALL_CURVES: usize = 24;
/// Windows in the table beside the time line.
const MOST_WINDOWS: usize = 400;

#[derive(Serialize)]
pub(super) struct View {
    trust: Vec<(&'static str, String)>,
    errors_by_kind: Vec<(String, String)>,
    forest: Option<Forest>,
    rows: Vec<Row>,
    /// Figures of the orgs of one size, of popular ones, of answers from the cache.
    slices: Vec<Row>,
    curve: Option<Drawing>,
    small: Vec<Small>,
    small_left_out: usize,
    timeline: Option<Drawing>,
    windows: Vec<WindowRow>,
    windows_left_out: usize,
}

#[derive(Serialize)]
struct Forest {
    drawing: Drawing,
    rows: Vec<EffectRow>,
    pooled: Option<String>,
    further_pairs: u32,
    /// The chance that the true ratio lies beyond one end of an interval, in percent.
    chance: String,
    /// Differences below this are not judged, milliseconds.
    felt_ms: String,
    /// What looks at the run in progress led to.
    looks: Vec<String>,
}

#[derive(Serialize)]
struct EffectRow {
    name: String,
    pairs: u32,
    ratio: String,
    low: String,
    high: String,
    difference_ms: String,
    shown_only: bool,
}

/// One operation in both modes.
#[derive(Serialize)]
struct Row {
    name: String,
    overall: bool,
    access: &'static str,
    sides: Vec<SideView>,
    difference_ms: String,
    difference_percent: String,
}

#[derive(Serialize)]
struct SideView {
    mode: &'static str,
    measured: bool,
    requests: String,
    errors: String,
    has_errors: bool,
    latencies: Vec<String>,
}

#[derive(Serialize)]
struct Small {
    name: String,
    svg: String,
    caption: String,
}

#[derive(Serialize)]
struct WindowRow {
    pair: u32,
    mode: &'static str,
    start_s: String,
    end_s: String,
    arrivals: String,
    errors: String,
    p95: String,
}

pub(super) fn view(drive: &DriveEvidence) -> View {
    let rows = latency_rows(drive);
    let operations = &rows[1..];
    let has_curve = |row: &LatencyRow<'_>| {
        Side::BOTH.iter().any(|mode| row.mode(*mode).is_some_and(|side| !side.curve.is_empty()))
    };
    let drawn: Vec<&LatencyRow<'_>> = operations.iter().filter(|row| has_curve(row)).collect();
    View {
        trust: trust(drive),
        errors_by_kind: drive.errors_by_kind.iter().map(|(k, n)| (short(k), count(*n))).collect(),
        forest: drive.comparison.as_ref().and_then(|comparison| forest(drive, comparison)),
        rows: rows.iter().map(row).collect(),
        slices: drive.slices.iter().filter_map(|slice| slice_row(drive, slice)).collect(),
        curve: has_curve(&rows[0])
            .then(|| charts::latency_curve("all operations", sides(&rows[0])).into()),
        small: drawn.iter().take(MOST_SMALL_CURVES).map(|row| small(row)).collect(),
        small_left_out: drawn.len().saturating_sub(MOST_SMALL_CURVES),
        timeline: (!drive.timeline.is_empty()).then(|| charts::timeline(drive).into()),
        windows: drive.windows.iter().take(MOST_WINDOWS).map(window).collect(),
        windows_left_out: drive.windows.len().saturating_sub(MOST_WINDOWS),
    }
}

/// The figures that say how far the measurement can be believed.
fn trust(drive: &DriveEvidence) -> Vec<(&'static str, String)> {
    let planned = count(drive.arrivals_planned);
    let ended = if drive.complete { "drained to its end" } else { "not drained to its end" };
    let wrong = match drive.wrong_mode {
        0 => "none".to_owned(),
        n => format!("{} (one is enough to make the run invalid)", count(n)),
    };
    let lag = drive.scheduling_lag_us;
    let scenario = if drive.scenario.is_empty() { NOTHING } else { &drive.scenario };
    vec![
        ("Scenario", short(scenario)),
        ("Planned rate", format!("{} arrivals per second", number(drive.rate_per_s, 1))),
        ("Connections", count(drive.connections)),
        ("Load", text::duration(drive.duration_s)),
        ("Plan", format!("{planned} arrivals, {ended}")),
        ("Measured", format!("{} requests, {} failed", count(drive.requests), count(drive.errors))),
        ("Skipped", format!("{} arrivals nobody could send in time", count(drive.skipped))),
        (
            "Sent again",
            format!("{} over a new connection, the idle one had ended", count(drive.resent)),
        ),
        ("Answered in the wrong mode", wrong),
        ("Workers lost", count(drive.lost_workers)),
        ("Scheduling lag", format!("p99 {} ms, largest {} ms", ms(lag.p99), ms(lag.max))),
        (
            "Load generator",
            format!("{} % of this machine", number(100.0 * drive.generator_cpu_share, 1)),
        ),
        ("This machine", machine(drive)),
    ]
}

/// What the machine did while the load ran, all of its processors together.
fn machine(drive: &DriveEvidence) -> String {
    if drive.machine.is_empty() {
        return "nobody could see what else it did".to_owned();
    }
    let seconds = drive.machine.len() as f64;
    let percent = |of: fn(&MachinePoint) -> f64| {
        number(100.0 * drive.machine.iter().map(of).sum::<f64>() / seconds, 1)
    };
    let chosen = match drive.calibrated {
        Some(found) if found.aimed_share > 0.0 => format!(
            "; {} requests a second chosen because {} used {} % of it",
            number(found.rate_per_s, 0),
            number(found.tried_per_s, 0),
            number(100.0 * found.own_share, 1)
        ),
        _ => String::new(),
    };
    format!(
        "{} % busy, {} % with this program and what it started; {} % stolen by the hypervisor{chosen}",
        percent(|point| point.busy_share),
        percent(|point| point.own_share),
        percent(|point| point.steal_share),
    )
}

/// If all requests of one kind are looked at together.
fn slice_row(drive: &DriveEvidence, slice: &Slice) -> Option<Row> {
    if slice.operation.is_some() {
        return None;
    }
    let class = short(&slice.class);
    let name = match slice.by.as_str() {
        "org_size" => size_name(drive, &slice.class),
        "popularity" if class == "hot" => {
            format!("orgs that make half of the requests ({})", count(drive.hot_orgs))
        }
        "popularity" => "all other orgs".to_owned(),
        "cache" if class == "hit" => "answered from the cache".to_owned(),
        "cache" => "not answered from the cache".to_owned(),
        by => format!("{}: {class}", short(by)),
    };
    let latency = LatencyRow {
        name: None,
        writes: None,
        legacy: slice.modes.get(&Side::Legacy),
        partitioned: slice.modes.get(&Side::Partitioned),
        comparison: None,
    };
    Some(Row { name, overall: false, ..row(&latency) })
}

/// `small orgs (8,000 with 1 row or more)`.
fn size_name(drive: &DriveEvidence, class: &str) -> String {
    match drive.org_sizes.iter().find(|size| size.name == class) {
        None => format!("{} orgs", short(class)),
        Some(size) => {
            let rows = counted(size.from_rows, "row", "rows");
            format!("{} orgs ({} from {rows} on)", short(class), count(size.orgs))
        }
    }
}

/// What each look at the run in progress led to, if it could lead to anything.
fn looks(drive: &DriveEvidence) -> Vec<String> {
    let line = |look: &Look| {
        let (low, high) = (text::ratio(look.p95_ratio_low), text::ratio(look.p95_ratio_high));
        let led = if look.undecided { "undecided, the load went on" } else { "decided" };
        format!("After {} pairs the ratio was between {low} and {high}: {led}.", look.pairs)
    };
    let looks = drive.looks.iter().map(line);
    let mut line: Vec<String> = looks.collect();
    if drive.looks.is_empty() && drive.looks_at.len() > 1 {
        line.push("The load ended before its pairs could be looked at.".to_owned());
    }
    line
}

fn forest(drive: &DriveEvidence, comparison: &Comparison) -> Option<Forest> {
    // Records that do not say were judged at the handbook's 1 ms, with 5 % at either end.
    let judged_from_us =
        if comparison.judged_from_us > 0 { comparison.judged_from_us } else { 1000 };
    let chance = 1.0 - if comparison.confidence > 0.5 { comparison.confidence } else { 0.95 };
    let figure = |value: f64| (value.is_finite() && value > 0.0).then_some(value);
    let overall = Effect {
        name: "all operations".to_owned(),
        ratio: figure(comparison.p95_ratio).filter(|_| comparison.pairs > 1),
        low: figure(comparison.p95_ratio_low),
        high: figure(comparison.p95_ratio_high),
        overall: true,
        shown_only: false,
    };
    let mut operations: Vec<_> = comparison.operations.iter().collect();
    // The worst first; those without a ratio last.
    operations.sort_by(|a, b| {
        let key = |v: Option<f64>| v.and_then(figure).unwrap_or(0.0);
        key(b.p95_ratio).total_cmp(&key(a.p95_ratio))
    });
    let sizes = comparison.org_sizes.iter().map(|size| (format!("{} orgs", size.name), size));
    let named: Vec<(String, &OperationComparison)> =
        operations.into_iter().map(|o| (o.name.clone(), o)).chain(sizes).collect();
    let effects = std::iter::once(overall).chain(named.iter().map(|(name, operation)| Effect {
        name: name.clone(),
        ratio: operation.p95_ratio.and_then(figure),
        low: operation.p95_ratio_low.and_then(figure),
        high: operation.p95_ratio_high.and_then(figure),
        overall: false,
        shown_only: operation.p95_difference_us.unsigned_abs() < judged_from_us.unsigned_abs(),
    }));
    let effects: Vec<Effect> = effects.collect();
    if effects.iter().all(|effect| effect.ratio.is_none()) {
        return None;
    }
    let pairs = std::iter::once((comparison.pairs, NOTHING.to_owned()))
        .chain(named.iter().map(|(_, o)| (o.pairs, text::signed_ms(o.p95_difference_us))));
    let bound = |value: Option<f64>| value.map_or(NOTHING.to_owned(), text::ratio);
    let rows = effects.iter().zip(pairs).map(|(effect, (pairs, difference_ms))| EffectRow {
        name: short(&effect.name),
        pairs,
        ratio: bound(effect.ratio),
        low: bound(effect.low),
        high: bound(effect.high),
        difference_ms,
        shown_only: effect.shown_only,
    });
    Some(Forest {
        rows: rows.collect(),
        drawing: charts::forest(&effects).into(),
        pooled: comparison.pooled_p95_ratio.and_then(figure).map(text::ratio),
        further_pairs: comparison.further_pairs_needed,
        chance: format!("{} %", number((chance * 1000.0).round() / 10.0, 1).replace(".0", "")),
        felt_ms: format!("{} ms", ms(judged_from_us.unsigned_abs()).replace(".00", "")),
        looks: looks(drive),
    })
}

fn row(row: &LatencyRow<'_>) -> Row {
    let (difference_ms, difference_percent) = match row.p95_difference() {
        None => (NOTHING.to_owned(), NOTHING.to_owned()),
        Some((us, ratio)) => (text::signed_ms(us), text::change(ratio)),
    };
    Row {
        name: short(row.title()),
        overall: row.name.is_none(),
        access: match row.writes {
            None => "",
            Some(true) => "write",
            Some(false) => "read",
        },
        sides: Side::BOTH.iter().map(|mode| side(*mode, row.mode(*mode))).collect(),
        difference_ms,
        difference_percent,
    }
}

fn side(mode: Side, measured: Option<&ModeLatency>) -> SideView {
    let Some(latency) = measured else {
        return SideView {
            mode: mode.as_str(),
            measured: false,
            requests: "0".to_owned(),
            errors: String::new(),
            has_errors: false,
            latencies: Vec::new(),
        };
    };
    let at = latency.response_us;
    SideView {
        mode: mode.as_str(),
        measured: true,
        requests: count(latency.requests),
        errors: count(latency.errors),
        has_errors: latency.errors > 0,
        latencies: vec![ms(at.p50), ms(at.p95), ms(at.p99), ms(at.max), ms(latency.service_us.p95)],
    }
}

fn small(row: &LatencyRow<'_>) -> Small {
    let p95 = |side: Option<&ModeLatency>| {
        side.map_or("not measured".to_owned(), |side| format!("{} ms", ms(side.response_us.p95)))
    };
    let (legacy, partitioned) = (p95(row.legacy), p95(row.partitioned));
    Small {
        name: short(row.title()),
        svg: charts::small_curve(row.title(), sides(row)),
        caption: format!("p95 {legacy} legacy, {partitioned} partitioned"),
    }
}

fn sides<'a>(row: &LatencyRow<'a>) -> [Option<&'a ModeLatency>; 2] {
    [row.legacy, row.partitioned]
}

fn window(window: &Window) -> WindowRow {
    WindowRow {
        pair: window.pair,
        mode: window.mode.map_or(NOTHING, Side::as_str),
        start_s: number(window.start_s, 1),
        end_s: number(window.end_s, 1),
        arrivals: count(window.all.arrivals),
        errors: count(window.all.errors),
        p95: match window.all.p95_us {
            Some(us) => ms(us),
            None if window.all.arrivals > 0 => "∞".to_owned(),
            None => NOTHING.to_owned(),
        },
    }
}
