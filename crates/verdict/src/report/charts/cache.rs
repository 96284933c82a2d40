//! The cache hit rate over time, and when the external cache was away.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Canvas, Chart, both};
use crate::report::facts::{cache_rates, lost_spans};
use crate::report::text::{counted, number};
use cutover_evidence::observation::Observation;

/// The handbook's alert thresholds in percent, as lines.
const LIMITS: [(f64, &str, &str); 2] =
    [(70.0, "70 % warning", "limit"), (50.0, "50 % critical", "limit bad")];

/// Looks that are drawn one by one.
const MOST_POINTS: usize = 400;

/// Draws the rate; `None` if no rate is known at any time.
pub fn cache_rate(observations: &[Observation]) -> Option<Chart> {
    let has_points = !cache_rates(observations).points.is_empty();
    has_points.then(|| both(240.0, 220.0, |canvas| draw(observations, canvas)))
}

fn draw(observations: &[Observation], canvas: Canvas) -> String {
    let rates = cache_rates(observations);
    let lost = lost_spans(observations);
    let (left, right, top, bottom) = (46.0, canvas.width - 12.0, 14.0, canvas.height - 42.0);
    let times = observations.iter().map(|o| o.at_s).filter(|s| s.is_finite());
    let range = times.fold((0.0, 1.0), |(from, to): (f64, f64), s| (from.min(s), to.max(s)));
    let x = Scale::linear(range, (left, right));
    let y = Scale::linear((0.0, 100.0), (bottom, top));
    let mut svg = Svg::new(canvas.width, canvas.height);
    // A single look that found it away is a moment; it is drawn wide enough to be seen.
    let spans: Vec<_> =
        lost.iter().map(|(from, to)| (x.at(*from) - 2.0, x.at(*to) + 2.0)).collect();
    svg.boxes(&spans, top, bottom - top, "lost");
    for tick in [0.0, 25.0, 50.0, 75.0, 100.0] {
        svg.line((left, y.at(tick)), (right, y.at(tick)), "grid");
        svg.text((left - 6.0, y.at(tick) + 4.0), Anchor::End, "tick", &number(tick, 0));
    }
    for (value, text, class) in LIMITS {
        svg.line((left, y.at(value)), (right, y.at(value)), class);
        svg.text((right - 2.0, y.at(value) - 4.0), Anchor::End, "limit-name", text);
    }
    // If there are more looks than room, the lowest of some adjacent ones is drawn.
    let joined = rates.points.len().div_ceil(MOST_POINTS).max(1);
    let lowest =
        rates.points.chunks(joined).filter_map(|c| c.iter().min_by(|a, b| a.1.total_cmp(&b.1)));
    let points: Vec<_> = lowest.map(|(at, rate)| (x.at(*at), y.at(*rate))).collect();
    svg.polyline(&points, "curve neutral");
    for (tick, text) in x.ticks(if canvas.is_narrow() { 5 } else { 10 }) {
        svg.text((x.at(tick), bottom + 16.0), Anchor::Middle, "tick", &text);
    }
    svg.text((right, bottom + 35.0), Anchor::End, "axis", "seconds since the load began");
    svg.text((left - 40.0, bottom + 35.0), Anchor::Start, "axis", "% hits");
    svg.finish(&describe(&rates.points, rates.source, lost.len()))
}

fn describe(points: &[(f64, f64)], source: &str, lost: usize) -> String {
    let figures: Vec<f64> = points.iter().map(|(_, rate)| *rate).collect();
    let lowest = figures.iter().copied().reduce(f64::min).unwrap_or(f64::NAN);
    let highest = figures.iter().copied().reduce(f64::max).unwrap_or(f64::NAN);
    let last = figures.last().copied().unwrap_or(f64::NAN);
    let away = match lost {
        0 => String::new(),
        n => format!(" The external cache was away in {}.", counted(n as u64, "span", "spans")),
    };
    format!(
        "Cache hit rate over time ({source}): lowest {} %, highest {} %, at the end {} %.{away}",
        number(lowest, 1),
        number(highest, 1),
        number(last, 1)
    )
}
