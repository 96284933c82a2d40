//! The load: ratios, latencies, curves, and the run second by second.

use serde::Serialize;

use super::{Drawing, clip};
use crate::evidence::drive::{Comparison, DriveEvidence, Mode, ModeLatency, Window};
use crate::report::charts::{self, Effect};
use crate::report::facts::{LatencyRow, latency_rows};
use crate::report::text::{self, NOTHING, count, ms, number};

/// Operations that get a drawing of their own; the table has all of them.
const MOST_SMALL_CURVES: usize = 24;
/// Windows in the table beside the time line.
const MOST_WINDOWS: usize = 400;
/// Below this, a difference in one operation is shown and not judged, in microseconds.
const JUDGED_FROM_US: i64 = 1000;

#[derive(Serialize)]
pub(super) struct View {
    trust: Vec<(&'static str, String)>,
    errors_by_kind: Vec<(String, String)>,
    forest: Option<Forest>,
    rows: Vec<Row>,
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
    sides: Vec<Side>,
    difference_ms: String,
    difference_percent: String,
}

#[derive(Serialize)]
struct Side {
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
        Mode::ALL.iter().any(|mode| row.mode(*mode).is_some_and(|side| !side.curve.is_empty()))
    };
    let drawn: Vec<&LatencyRow<'_>> = operations.iter().filter(|row| has_curve(row)).collect();
    View {
        trust: trust(drive),
        errors_by_kind: drive.errors_by_kind.iter().map(|(k, n)| (clip(k), count(*n))).collect(),
        forest: drive.comparison.as_ref().and_then(forest),
        rows: rows.iter().map(row).collect(),
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
        ("Scenario", clip(scenario)),
        ("Planned rate", format!("{} arrivals per second", number(drive.rate_per_s, 1))),
        ("Connections", count(drive.connections)),
        ("Load", text::duration(drive.duration_s)),
        ("Plan", format!("{planned} arrivals, {ended}")),
        ("Measured", format!("{} requests, {} failed", count(drive.requests), count(drive.errors))),
        ("Skipped", format!("{} arrivals nobody could send in time", count(drive.skipped))),
        ("Answered in the wrong mode", wrong),
        ("Workers lost", count(drive.lost_workers)),
        ("Scheduling lag", format!("p99 {} ms, largest {} ms", ms(lag.p99), ms(lag.max))),
        (
            "Load generator",
            format!("{} % of this machine", number(100.0 * drive.generator_cpu_share, 1)),
        ),
    ]
}

fn forest(comparison: &Comparison) -> Option<Forest> {
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
    let effects = std::iter::once(overall).chain(operations.iter().map(|operation| Effect {
        name: operation.name.clone(),
        ratio: operation.p95_ratio.and_then(figure),
        low: operation.p95_ratio_low.and_then(figure),
        high: operation.p95_ratio_high.and_then(figure),
        overall: false,
        shown_only: operation.p95_difference_us.unsigned_abs() < JUDGED_FROM_US.unsigned_abs(),
    }));
    let effects: Vec<Effect> = effects.collect();
    if effects.iter().all(|effect| effect.ratio.is_none()) {
        return None;
    }
    let pairs = std::iter::once((comparison.pairs, NOTHING.to_owned()))
        .chain(operations.iter().map(|o| (o.pairs, text::signed_ms(o.p95_difference_us))));
    let bound = |value: Option<f64>| value.map_or(NOTHING.to_owned(), text::ratio);
    let rows = effects.iter().zip(pairs).map(|(effect, (pairs, difference_ms))| EffectRow {
        name: clip(&effect.name),
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
    })
}

fn row(row: &LatencyRow<'_>) -> Row {
    let (difference_ms, difference_percent) = match row.p95_difference() {
        None => (NOTHING.to_owned(), NOTHING.to_owned()),
        Some((us, ratio)) => (text::signed_ms(us), text::change(ratio)),
    };
    Row {
        name: clip(row.title()),
        overall: row.name.is_none(),
        access: match row.writes {
            None => "",
            Some(true) => "write",
            Some(false) => "read",
        },
        sides: Mode::ALL.iter().map(|mode| side(*mode, row.mode(*mode))).collect(),
        difference_ms,
        difference_percent,
    }
}

fn side(mode: Mode, measured: Option<&ModeLatency>) -> Side {
    let Some(latency) = measured else {
        return Side {
            mode: mode.as_str(),
            measured: false,
            requests: "0".to_owned(),
            errors: String::new(),
            has_errors: false,
            latencies: Vec::new(),
        };
    };
    let at = latency.response_us;
    Side {
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
        name: clip(row.title()),
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
        mode: window.mode.map_or(NOTHING, Mode::as_str),
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
