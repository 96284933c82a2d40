//! The few shapes that the drawings are made of.

use std::fmt::Write;

use crate::report::text::tame;

/// Which end of a text stands at its point.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A drawing that grows shape by shape.
pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

impl Svg {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (px(from.0), px(from.1), px(to.0), px(to.1));
        self.put(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{class}"/>"#
        ));
    }

    pub fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str) {
        let (x, y, w, h) = (px(corner.0), px(corner.1), px(size.0.max(0.0)), px(size.1.max(0.0)));
        self.put(format_args!(
            r#"<rect x="{x}" y="{y}" width="{w}" height="{h}" class="{class}"/>"#
        ));
    }

    /// Boxes of one height side by side, each from one place to another, as a single shape.
    pub fn boxes(&mut self, spans: &[(f64, f64)], top: f64, height: f64, class: &str) {
        let mut d = String::new();
        for (from, to) in spans {
            let (x, w) = (px(*from), px((to - from).max(0.0)));
            let _ = write!(d, "M{x} {}h{w}v{}h-{w}z", px(top), px(height));
        }
        if !d.is_empty() {
            self.put(format_args!(r#"<path d="{d}" class="{class}"/>"#));
        }
    }

    pub fn circle(&mut self, centre: (f64, f64), radius: f64, class: &str) {
        let (x, y, r) = (px(centre.0), px(centre.1), px(radius));
        self.put(format_args!(r#"<circle cx="{x}" cy="{y}" r="{r}" class="{class}"/>"#));
    }

    /// A line through points; a single point becomes a dot, none becomes nothing.
    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        match points {
            [] => {}
            [point] => self.circle(*point, 2.0, &format!("{class} dot")),
            _ => self.path(points, "", class),
        }
    }

    /// A closed shape.
    pub fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        self.path(points, "Z", class);
    }

    fn path(&mut self, points: &[(f64, f64)], end: &str, class: &str) {
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let command = if i == 0 { 'M' } else { 'L' };
            let _ = write!(d, "{command}{} {}", px(*x), px(*y));
        }
        self.put(format_args!(r#"<path d="{d}{end}" class="{class}"/>"#));
    }

    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (x, y, anchor, text) = (px(at.0), px(at.1), anchor.as_str(), escape(text));
        self.put(format_args!(
            r#"<text x="{x}" y="{y}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    /// The finished drawing; `label` says in words what it shows.
    pub fn finish(self, label: &str) -> String {
        let Self { width, height, body } = self;
        let label = escape(label);
        let (w, h) = (px(width), px(height));
        format!(r#"<svg viewBox="0 0 {w} {h}" role="img" aria-label="{label}">{body}</svg>"#)
    }

    fn put(&mut self, shape: std::fmt::Arguments<'_>) {
        self.body.write_fmt(shape).expect("writing to a string cannot fail");
    }
}

/// A coordinate with one decimal. Scales give finite figures only; should one ever not, a shape in
/// a corner is better than a page that no longer parses.
fn px(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Foreign text as text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in tame(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    escaped
}
