//! Latency by percentile, on the scale of HdrHistogram: each further nine takes the same room.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Canvas, Chart, NAME_LIMIT, both};
use crate::report::text::{label, ms};
use cutover_evidence::drive::{ModeLatency, Side};

/// Percentiles that are named below the drawing, as far as the data reach.
const TICKS: [f64; 8] = [0.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999];
/// Most nines that are drawn; beyond lies a handful of requests.
const MOST_NINES: f64 = 5.0;

/// Both modes of one operation; `None` for a mode that was not measured.
type Sides<'a> = [Option<&'a ModeLatency>; 2];

/// A large drawing.
pub fn latency_curve(what: &str, sides: Sides<'_>) -> Chart {
    both(340.0, 270.0, |canvas| draw(what, sides, canvas))
}

/// A small one, as one of many.
pub fn small_curve(what: &str, sides: Sides<'_>) -> String {
    draw(what, sides, Canvas { width: 310.0, height: 190.0 })
}

fn draw(what: &str, sides: Sides<'_>, canvas: Canvas) -> String {
    let (left, right, top, bottom) = (46.0, canvas.width - 20.0, 12.0, canvas.height - 40.0);
    let x = Scale::linear((0.0, nines_of(sides)), (left, right));
    let latencies = curves(sides).map(|(_, us)| us as f64 / 1000.0);
    let y = Scale::round_logarithmic(latencies, (bottom, top));
    let mut svg = Svg::new(canvas.width, canvas.height);
    for (tick, text) in y.ticks(if canvas.height < 250.0 { 6 } else { 9 }) {
        svg.line((left, y.at(tick)), (right, y.at(tick)), "grid");
        svg.text((left - 6.0, y.at(tick) + 4.0), Anchor::End, "tick", &text);
    }
    let mut free_from = f64::MIN;
    for percentile in TICKS.into_iter().filter(|p| x.holds(nines(*p))) {
        let at = x.at(nines(percentile));
        let class = if percentile == 95.0 { "grid strong" } else { "grid" };
        svg.line((at, top), (at, bottom), class);
        let text = percentile.to_string();
        let half = 3.6 * text.len() as f64;
        if at - half > free_from {
            svg.text((at, bottom + 16.0), Anchor::Middle, "tick", &text);
            free_from = at + half + 3.0;
        }
    }
    svg.text(
        (canvas.width - 2.0, bottom + 33.0),
        Anchor::End,
        "axis",
        "percentile (each further nine as wide)",
    );
    svg.text((left - 40.0, bottom + 33.0), Anchor::Start, "axis", "ms");
    for (mode, side) in Side::BOTH.into_iter().zip(sides) {
        let Some(side) = side else { continue };
        let points: Vec<(f64, f64)> = side
            .curve
            .iter()
            .filter(|(percentile, us)| percentile.is_finite() && *us > 0)
            .map(|(percentile, us)| (x.at(nines(*percentile)), y.at(*us as f64 / 1000.0)))
            .collect();
        svg.polyline(&points, &format!("curve {}", mode.as_str()));
    }
    svg.finish(&describe(what, sides))
}

/// How many nines a percentile has: 90 → 1, 99 → 2, 99.9 → 3; all of them for 100.
fn nines(percentile: f64) -> f64 {
    let beyond = 1.0 - percentile.clamp(0.0, 100.0) / 100.0;
    if beyond <= 0.0 { f64::INFINITY } else { -beyond.log10() }
}

fn curves(sides: Sides<'_>) -> impl Iterator<Item = (f64, u64)> {
    sides.into_iter().flatten().flat_map(|side| side.curve.iter().copied())
}

/// The width of the axis: as far as the data reach below 100, at least two nines.
fn nines_of(sides: Sides<'_>) -> f64 {
    let reached = curves(sides).map(|(p, _)| nines(p)).filter(|n| n.is_finite());
    reached.fold(2.0, f64::max).min(MOST_NINES)
}

fn describe(what: &str, sides: Sides<'_>) -> String {
    let parts = Side::BOTH.into_iter().zip(sides).map(|(mode, side)| match side {
        None => format!("{}: not measured", mode.as_str()),
        Some(side) if side.curve.is_empty() => format!("{}: no curve recorded", mode.as_str()),
        Some(side) => {
            let at = side.response_us;
            format!(
                "{}: p50 {} ms, p90 {} ms, p95 {} ms, p99 {} ms, p99.9 {} ms, largest {} ms",
                mode.as_str(),
                ms(at.p50),
                ms(at.p90),
                ms(at.p95),
                ms(at.p99),
                ms(at.p999),
                ms(at.max)
            )
        }
    });
    let parts: Vec<String> = parts.collect();
    format!("Response time by percentile, {}. {}.", label(what, NAME_LIMIT), parts.join("; "))
}
