//! The forest plot: one ratio per line, with its interval, beside the lines it must not cross.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Canvas, Chart, NAME_LIMIT, both};
use crate::report::text::{NOTHING, label, ratio};

/// The lines drawn across. Handbook: "Success Criteria for Each Increment" (p95 below baseline
/// + 10 %), "Alert Thresholds" (+20 % warning, +50 % critical).
const LIMITS: [(f64, &str, &str); 4] = [
    (1.0, "1.00 equal", "limit equal"),
    (1.1, "1.10 criterion for all", "limit"),
    (1.2, "1.20 hold", "limit"),
    (1.5, "1.50 roll back", "limit bad"),
];
/// What the axis holds at least, and at most: beyond, a mark stands at the edge.
const LEAST: (f64, f64) = (0.85, 1.6);
const MOST: (f64, f64) = (0.1, 20.0);
const TICKS: [f64; 13] = [0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5, 2.0, 5.0, 10.0, 20.0];

/// One line of the plot.
pub struct Effect {
    /// What is compared.
    pub name: String,
    /// p95(partitioned) / p95(legacy); `None` with too few pairs.
    pub ratio: Option<f64>,
    /// Lower bound.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// All operations together.
    pub overall: bool,
    /// Too small a difference to be judged.
    pub shown_only: bool,
}

impl Effect {
    /// `0.980 to 1.090`, or a dash.
    fn interval(&self) -> String {
        match (self.low, self.high) {
            (Some(low), Some(high)) => format!("{} to {}", ratio(low), ratio(high)),
            _ => NOTHING.to_owned(),
        }
    }

    fn class(&self) -> &'static str {
        let line = if self.overall { 1.1 } else { 1.2 };
        match self.low {
            _ if self.shown_only => "effect hollow",
            Some(low) if low > line => "effect bad",
            _ => "effect",
        }
    }
}

/// Draws the effects in the given order.
pub fn forest(effects: &[Effect]) -> Chart {
    let lines = effects.len().max(1) as f64;
    both(96.0 + 30.0 * lines, 96.0 + 46.0 * lines, |canvas| draw(effects, canvas))
}

fn draw(effects: &[Effect], canvas: Canvas) -> String {
    let narrow = canvas.is_narrow();
    let (left, right) = if narrow { (8.0, 342.0) } else { (236.0, 770.0) };
    let x = axis(effects, (left, right));
    let limits = place_limits(&x);
    let rows = limits.iter().map(|limit| limit.row + 1).max().unwrap_or(0);
    let (top, bottom) = (14.0 * rows as f64 + 12.0, canvas.height - 30.0);
    let mut svg = Svg::new(canvas.width, canvas.height);
    for limit in &limits {
        let y = 11.0 + 14.0 * limit.row as f64;
        svg.line((limit.at, y - 9.0), (limit.at, bottom), limit.class);
    }
    for limit in &limits {
        let y = 11.0 + 14.0 * limit.row as f64;
        let aside = if matches!(limit.anchor, Anchor::Start) { 4.0 } else { -4.0 };
        svg.text((limit.at + aside, y), limit.anchor, "limit-name", limit.text);
    }
    for tick in TICKS.into_iter().filter(|tick| x.holds(*tick)) {
        svg.line((x.at(tick), bottom), (x.at(tick), bottom + 4.0), "rule");
        svg.text((x.at(tick), bottom + 17.0), Anchor::Middle, "tick", &tick.to_string());
    }
    svg.line((left, bottom), (right, bottom), "rule");
    let pitch = (bottom - top) / effects.len().max(1) as f64;
    for (i, effect) in effects.iter().enumerate() {
        let middle = top + pitch * (i as f64 + 0.5);
        let name_class = if effect.overall { "name strong" } else { "name" };
        let figures =
            format!("{} ({})", effect.ratio.map_or(NOTHING.into(), ratio), effect.interval());
        let figures = if effect.ratio.is_some() { figures } else { "too few pairs".to_owned() };
        if narrow {
            svg.text((left, middle - 5.0), Anchor::Start, name_class, &label(&effect.name, 24));
            svg.text((right, middle - 5.0), Anchor::End, "figure", &figures);
            mark(&mut svg, effect, &x, middle + 8.0);
        } else {
            svg.text(
                (left - 14.0, middle + 4.0),
                Anchor::End,
                name_class,
                &label(&effect.name, 30),
            );
            svg.text((right + 14.0, middle + 4.0), Anchor::Start, "figure", &figures);
            mark(&mut svg, effect, &x, middle);
        }
    }
    svg.finish(&describe(effects))
}

/// An axis that holds every effect, within reason.
fn axis(effects: &[Effect], px: (f64, f64)) -> Scale {
    let figures = effects.iter().flat_map(|e| [e.ratio, e.low, e.high]).flatten();
    let (low, high) = figures
        .filter(|v| v.is_finite() && *v > 0.0)
        .fold(LEAST, |(low, high), v| (low.min(v * 0.95), high.max(v * 1.05)));
    Scale::logarithmic((low.max(MOST.0), high.min(MOST.1)), px)
}

/// A limit line and where its name stands.
struct Limit {
    at: f64,
    text: &'static str,
    class: &'static str,
    anchor: Anchor,
    row: usize,
}

/// Places the names of the limit lines; they move to the next row if they would overlap.
fn place_limits(x: &Scale) -> Vec<Limit> {
    let mut taken_to = [f64::MIN; LIMITS.len()];
    let place = |(value, text, class): (f64, &'static str, &'static str)| {
        let at = x.at(value);
        let width = 6.4 * text.len() as f64;
        // Names stand to the right of their line, or to the left if the drawing ends.
        let (start, anchor) = match x.at(f64::MAX) - at > width {
            true => (at, Anchor::Start),
            false => (at - width, Anchor::End),
        };
        let free = taken_to.iter().position(|taken| *taken < start);
        let row = free.unwrap_or(LIMITS.len() - 1);
        taken_to[row] = start + width;
        Limit { at, text, class, anchor, row }
    };
    LIMITS.into_iter().map(place).collect()
}

fn mark(svg: &mut Svg, effect: &Effect, x: &Scale, y: f64) {
    let Some(ratio) = effect.ratio.filter(|r| r.is_finite() && *r > 0.0) else { return };
    let class = effect.class();
    let at = x.at(ratio);
    if let (Some(low), Some(high)) = (effect.low, effect.high) {
        let (from, to) = (x.at(low), x.at(high));
        svg.line((from, y), (to, y), &format!("{class} interval"));
        for (end, value) in [(from, low), (to, high)] {
            // No cap if the interval goes on beyond the drawing.
            if x.holds(value) {
                svg.line((end, y - 4.0), (end, y + 4.0), &format!("{class} interval"));
            }
        }
    }
    if effect.overall {
        let diamond = [(at - 8.0, y), (at, y - 7.0), (at + 8.0, y), (at, y + 7.0)];
        svg.polygon(&diamond, class);
    } else {
        svg.circle((at, y), 4.5, class);
    }
}

fn describe(effects: &[Effect]) -> String {
    let line = |effect: &Effect| {
        let name = label(&effect.name, NAME_LIMIT);
        match effect.ratio {
            Some(value) => format!("{name} {} ({})", ratio(value), effect.interval()),
            None => format!("{name}: too few pairs"),
        }
    };
    let lines: Vec<String> = effects.iter().map(line).collect();
    format!("Ratio of p95, partitioned over legacy, with its interval: {}.", lines.join("; "))
}
