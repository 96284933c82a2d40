//! The forest plot: one ratio per line, with its interval, beside the lines it must not cross.

use super::scale::Scale;
use super::svg::{Anchor, Svg};
use super::{Canvas, Chart, both};
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
    let (top, bottom) = (58.0, canvas.height - 30.0);
    let x = axis(effects, (left, right));
    let mut svg = Svg::new(canvas.width, canvas.height);
    limits(&mut svg, &x, top, bottom);
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

/// The limit lines; their names move to the next row where they would overlap.
fn limits(svg: &mut Svg, x: &Scale, top: f64, bottom: f64) {
    let mut taken_to = [f64::MIN; 4];
    for (value, text, class) in LIMITS {
        let at = x.at(value);
        let width = 6.4 * text.len() as f64;
        // Names stand to the right of their line, or to the left where the drawing ends.
        let fits = x.at(f64::MAX) - at > width;
        let start = if fits { at + 3.0 } else { at - 3.0 - width };
        let row = taken_to.iter().position(|taken| *taken < start).unwrap_or(3);
        taken_to[row] = start + width + 6.0;
        let y = 11.0 + 14.0 * row as f64;
        svg.line((at, y - 9.0), (at, bottom), class);
        let (anchor, text_x) =
            if fits { (Anchor::Start, at + 4.0) } else { (Anchor::End, at - 4.0) };
        svg.text((text_x, y), anchor, "limit-name", text);
    }
    svg.line((x.at(0.0), top - 4.0), (x.at(f64::MAX), top - 4.0), "grid");
}

fn mark(svg: &mut Svg, effect: &Effect, x: &Scale, y: f64) {
    let Some(ratio) = effect.ratio.filter(|r| r.is_finite() && *r > 0.0) else { return };
    let class = effect.class();
    let at = x.at(ratio);
    if let (Some(low), Some(high)) = (effect.low, effect.high) {
        let (from, to) = (x.at(low), x.at(high));
        svg.line((from, y), (to, y), &format!("{class} interval"));
        for (end, value) in [(from, low), (to, high)] {
            // No cap where the interval goes on beyond the drawing.
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
    let lines: Vec<String> = effects
        .iter()
        .map(|effect| match effect.ratio {
            Some(value) => format!("{} {} ({})", effect.name, ratio(value), effect.interval()),
            None => format!("{}: too few pairs", effect.name),
        })
        .collect();
    format!("Ratio of p95, partitioned over legacy, with its interval: {}.", lines.join("; "))
}
