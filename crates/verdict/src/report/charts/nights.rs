//! p95 run by run, and where its level changed.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Canvas, Chart, NAME_LIMIT, both};
use crate::report::text::{NOTHING, counted, label, ms};
use cutover_evidence::drive::Side;

/// One run.
pub struct Night {
    /// Its name.
    pub name: String,
    /// p95 of all requests in legacy mode, microseconds; 0 if it was not measured.
    pub legacy_us: u64,
    /// The same in partitioned mode.
    pub partitioned_us: u64,
}

impl Night {
    fn us(&self, mode: Side) -> u64 {
        match mode {
            Side::Legacy => self.legacy_us,
            Side::Partitioned => self.partitioned_us,
        }
    }
}

/// Runs that are drawn, the newest of them.
const MOST: usize = 200;

/// Draws the runs, oldest first; `changed_at` is the first run of a new level.
pub fn nights(nights: &[Night], changed_at: Option<usize>) -> Chart {
    let left_out = nights.len().saturating_sub(MOST);
    let changed_at = changed_at.and_then(|at| at.checked_sub(left_out));
    both(250.0, 230.0, |canvas| draw(&nights[left_out..], changed_at, canvas))
}

fn draw(nights: &[Night], changed_at: Option<usize>, canvas: Canvas) -> String {
    let (left, right, top, bottom) = (46.0, canvas.width - 16.0, 26.0, canvas.height - 44.0);
    let x = Scale::linear((-0.5, nights.len() as f64 - 0.5), (left, right));
    let figures = || Side::BOTH.iter().flat_map(|mode| nights.iter().map(|night| night.us(*mode)));
    let y = Scale::round_logarithmic(figures().map(|us| us as f64 / 1000.0), (bottom, top));
    let mut svg = Svg::new(canvas.width, canvas.height);
    for (tick, text) in y.ticks(6) {
        svg.line((left, y.at(tick)), (right, y.at(tick)), "grid");
        svg.text((left - 6.0, y.at(tick) + 4.0), Anchor::End, "tick", &text);
    }
    svg.line((left, bottom), (right, bottom), "rule");
    if let Some(at) = changed_at {
        let at = x.at(at as f64 - 0.5);
        svg.line((at, top - 14.0), (at, bottom), "limit bad");
        let (anchor, aside) = match at > f64::midpoint(left, right) {
            true => (Anchor::End, -4.0),
            false => (Anchor::Start, 4.0),
        };
        svg.text((at + aside, top - 6.0), anchor, "limit-name", "the level changed");
    }
    for mode in Side::BOTH {
        let measured = nights.iter().enumerate().filter(|(_, night)| night.us(mode) > 0);
        let points: Vec<_> = measured
            .map(|(at, night)| (x.at(at as f64), y.at(night.us(mode) as f64 / 1000.0)))
            .collect();
        svg.polyline(&points, &format!("curve {}", mode.as_str()));
        for point in &points {
            svg.circle(*point, 3.0, &format!("curve {} dot", mode.as_str()));
        }
    }
    let (first, last) = (nights.first(), nights.last());
    let room = if canvas.is_narrow() { 20 } else { 40 };
    let named = |night: Option<&Night>| night.map_or(NOTHING.into(), |n| label(&n.name, room));
    svg.text((left, bottom + 17.0), Anchor::Start, "tick", &named(first));
    svg.text((right, bottom + 17.0), Anchor::End, "tick strong", &named(last));
    svg.text((left - 40.0, bottom + 37.0), Anchor::Start, "axis", "p95, ms");
    svg.text(
        (right, bottom + 37.0),
        Anchor::End,
        "axis",
        "runs, oldest first; the last is this one",
    );
    svg.finish(&describe(nights, changed_at))
}

fn describe(nights: &[Night], changed_at: Option<usize>) -> String {
    let of_mode = |mode: Side| {
        let measured: Vec<u64> = nights.iter().map(|n| n.us(mode)).filter(|us| *us > 0).collect();
        match (measured.iter().min(), measured.iter().max(), measured.last()) {
            (Some(least), Some(most), Some(last)) => format!(
                "{}: between {} and {} ms, now {} ms",
                mode.as_str(),
                ms(*least),
                ms(*most),
                ms(*last)
            ),
            _ => format!("{}: not measured", mode.as_str()),
        }
    };
    let change = match changed_at.and_then(|at| nights.get(at)) {
        Some(night) => format!("The level changed with run {}.", label(&night.name, NAME_LIMIT)),
        None => "No change of level stands out.".to_owned(),
    };
    format!(
        "p95 of {}, oldest first. {}. {}. {change}",
        counted(nights.len() as u64, "run", "runs"),
        of_mode(Side::Legacy),
        of_mode(Side::Partitioned)
    )
}
