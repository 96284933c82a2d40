//! The run second by second: p95, which mode was asked for, and what failed.

use std::collections::BTreeSet;

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Canvas, Chart, both};
use crate::report::text::{count, counted, ms};
use cutover_evidence::drive::{DriveEvidence, Side, TimelinePoint};

/// Some adjacent seconds in one mode, drawn as one point: the worst p95, all errors.
struct Bucket {
    from_s: f64,
    to_s: f64,
    mode: Option<Side>,
    errors: u64,
    p95_us: u64,
}

/// Draws the time line; more seconds than there is room for are joined.
pub fn timeline(drive: &DriveEvidence) -> Chart {
    both(320.0, 280.0, |canvas| draw(drive, canvas))
}

fn draw(drive: &DriveEvidence, canvas: Canvas) -> String {
    let (left, right) = (46.0, canvas.width - 12.0);
    let (top, bottom) = (22.0, canvas.height - 92.0);
    let (errors_top, errors_bottom) = (bottom + 16.0, bottom + 46.0);
    let buckets = buckets(&drive.timeline, if canvas.is_narrow() { 150 } else { 450 });
    let end_s = drive.windows.iter().map(|w| w.end_s).filter(|s| s.is_finite());
    let end_s = end_s.chain(buckets.iter().map(|b| b.to_s)).fold(1.0, f64::max);
    let x = Scale::linear((0.0, end_s), (left, right));
    let y = Scale::round_logarithmic(buckets.iter().map(Bucket::p95_ms), (bottom, top));
    let mut svg = Svg::new(canvas.width, canvas.height);
    // Short windows in turns are everywhere at once.
    let apart = drive.windows.is_sorted_by(|one, next| one.end_s <= next.start_s);
    for mode in Side::BOTH.into_iter().filter(|_| apart) {
        let windows = drive.windows.iter().filter(|window| window.mode == Some(mode));
        let spans: Vec<_> = windows.map(|w| (x.at(w.start_s), x.at(w.end_s))).collect();
        let mode = mode.as_str();
        svg.boxes(&spans, top, errors_bottom - top, &format!("band {mode}"));
        svg.boxes(&spans, top - 8.0, 5.0, &format!("flag {mode}"));
    }
    for (tick, text) in y.ticks(7) {
        svg.line((left, y.at(tick)), (right, y.at(tick)), "grid");
        svg.text((left - 6.0, y.at(tick) + 4.0), Anchor::End, "tick", &text);
    }
    let goes_on = |a: &Bucket, b: &Bucket| {
        a.mode == b.mode && a.to_s >= b.from_s && (a.p95_us > 0) == (b.p95_us > 0)
    };
    for run in buckets.chunk_by(goes_on).filter(|run| run[0].p95_us > 0) {
        let points: Vec<_> = run.iter().map(|b| (x.at(b.middle_s()), y.at(b.p95_ms()))).collect();
        svg.polyline(&points, &format!("curve thin {}", run[0].mode.map_or("warm", Side::as_str)));
    }
    errors(&mut svg, &buckets, &x, (errors_top, errors_bottom));
    svg.line((left, errors_bottom), (right, errors_bottom), "rule");
    for (tick, text) in x.ticks(if canvas.is_narrow() { 5 } else { 10 }) {
        svg.line((x.at(tick), errors_bottom), (x.at(tick), errors_bottom + 4.0), "rule");
        svg.text((x.at(tick), errors_bottom + 17.0), Anchor::Middle, "tick", &text);
    }
    svg.text((right, errors_bottom + 36.0), Anchor::End, "axis", "seconds since the load began");
    svg.text((left - 40.0, errors_bottom + 36.0), Anchor::Start, "axis", "ms; failed below");
    svg.finish(&describe(drive))
}

/// Failed and skipped requests as bars from below, the tallest as tall as there is room.
fn errors(svg: &mut Svg, buckets: &[Bucket], x: &Scale, (top, bottom): (f64, f64)) {
    let most = buckets.iter().map(|b| b.errors).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let y = Scale::linear((0.0, most as f64), (bottom, top));
    svg.text((x.at(0.0) - 6.0, top + 8.0), Anchor::End, "tick bad-text", &count(most));
    for bucket in buckets.iter().filter(|b| b.errors > 0) {
        let (from, to) = (x.at(bucket.from_s), x.at(bucket.to_s));
        // At least so wide and tall that a single failure is seen.
        let width = (to - from).max(2.0);
        let height = (bottom - y.at(bucket.errors as f64)).max(3.0);
        svg.rect((from, bottom - height), (width, height), "error-bar");
    }
}

impl Bucket {
    fn p95_ms(&self) -> f64 {
        self.p95_us as f64 / 1000.0
    }

    fn middle_s(&self) -> f64 {
        f64::midpoint(self.from_s, self.to_s)
    }
}

/// At most about `most` buckets, mode by mode, never one across a change of mode.
fn buckets(seconds: &[TimelinePoint], most: usize) -> Vec<Bucket> {
    let joined = seconds.len().div_ceil(most).max(1);
    let mut seconds = seconds.to_vec();
    seconds.sort_by_key(|second| second.mode);
    seconds
        .chunk_by(|a, b| a.mode == b.mode && b.at_s == a.at_s.saturating_add(1))
        .flat_map(|stretch| stretch.chunks(joined))
        .map(|group| Bucket {
            from_s: f64::from(group[0].at_s),
            to_s: f64::from(group[group.len() - 1].at_s) + 1.0,
            mode: group[0].mode,
            errors: group.iter().fold(0, |sum, s| sum.saturating_add(s.errors)),
            p95_us: group.iter().map(|s| s.p95_us).max().unwrap_or(0),
        })
        .collect()
}

fn describe(drive: &DriveEvidence) -> String {
    let of_mode = |mode: Side| {
        let p95 = drive.timeline.iter().filter(|s| s.mode == Some(mode)).map(|s| s.p95_us);
        let measured: Vec<u64> = p95.filter(|us| *us > 0).collect();
        match (measured.iter().min(), measured.iter().max()) {
            (Some(min), Some(max)) => {
                format!("{}: between {} and {} ms", mode.as_str(), ms(*min), ms(*max))
            }
            _ => format!("{}: not measured", mode.as_str()),
        }
    };
    let distinct = |seconds: &mut dyn Iterator<Item = &TimelinePoint>| {
        seconds.map(|second| second.at_s).collect::<BTreeSet<_>>().len() as u64
    };
    let failing = distinct(&mut drive.timeline.iter().filter(|s| s.errors > 0));
    let failed = drive.timeline.iter().fold(0u64, |sum, s| sum.saturating_add(s.errors));
    format!(
        "Response-time p95 second by second over {} in {}. {}; {}. {} failed or skipped, in {}.",
        counted(distinct(&mut drive.timeline.iter()), "second", "seconds"),
        counted(drive.windows.len() as u64, "measured window", "measured windows"),
        of_mode(Side::Legacy),
        of_mode(Side::Partitioned),
        counted(failed, "request", "requests"),
        counted(failing, "second", "seconds"),
    )
}
