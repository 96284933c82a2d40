//! `report.html`: one page that needs nothing but itself.
//!
//! The views of the sections hold finished text; the templates only place it. Every foreign text
//! passes one gate on its way out: [`write_value`] makes acting characters visible, then escapes.

mod answers;
mod decision;
mod integrity;
mod ledger;
mod performance;
mod plans;
mod run;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value};
use serde::Serialize;

use super::charts::Chart;
use super::text::{self, tame};
use cutover_evidence::run_record::RunRecord;

/// The templates by the name under which they include each other.
const TEMPLATES: [(&str, &str); 14] = [
    ("head.html", include_str!("../templates/head.html")),
    ("page.html", include_str!("../templates/page.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("decision.html", include_str!("../templates/decision.html")),
    ("performance.html", include_str!("../templates/performance.html")),
    ("timeline.html", include_str!("../templates/timeline.html")),
    ("platform.html", include_str!("../templates/platform.html")),
    ("integrity.html", include_str!("../templates/integrity.html")),
    ("plans.html", include_str!("../templates/plans.html")),
    ("ledger.html", include_str!("../templates/ledger.html")),
    ("answers.html", include_str!("../templates/answers.html")),
    ("run.html", include_str!("../templates/run.html")),
    ("rollout.html", include_str!("../templates/rollout.html")),
    ("glossary.html", include_str!("../templates/glossary.html")),
];
const STYLE: &str = include_str!("../templates/style.css");

/// Most characters of one foreign sentence that the page shows.
const TEXT_LIMIT: usize = 1200;
/// Most characters of one foreign name or figure.
const NAME_LIMIT: usize = 160;

/// Everything the page shows.
#[derive(Serialize)]
struct Page {
    title: String,
    style: &'static str,
    head: run::Head,
    decision: decision::View,
    performance: Option<performance::View>,
    platform: run::Platform,
    integrity: integrity::View,
    plans: Vec<plans::Row>,
    ledger: Option<ledger::View>,
    answers: Option<answers::View>,
    run: run::View,
}

/// What every page begins with.
#[derive(Serialize)]
pub(super) struct Sheet {
    title: String,
    style: &'static str,
}

impl Sheet {
    /// A page under this title, in the common style.
    pub(super) fn new(title: String) -> Self {
        Self { title, style: STYLE }
    }
}

/// The page as text.
pub fn render(record: &RunRecord) -> String {
    let decision = decision::view(record);
    let page = Page {
        title: format!("{} · cutover {}", decision.label, run_name(record)),
        style: STYLE,
        head: run::head(record),
        decision,
        performance: record.drive.as_ref().map(performance::view),
        platform: run::platform(record),
        integrity: integrity::view(record),
        plans: record.diff.as_ref().map(plans::rows).unwrap_or_default(),
        ledger: record.drive.as_ref().and_then(|drive| drive.ledger.as_ref()).map(ledger::view),
        answers: record.drive.as_ref().map(answers::view),
        run: run::view(record),
    };
    environment()
        .get_template("page.html")
        .and_then(|template| template.render(Serde(&page)))
        .expect("templates and views are compiled in, and every state is rendered by a test")
}

/// What the run is called, also if nobody named it.
fn run_name(record: &RunRecord) -> String {
    if record.run_id.is_empty() { "run without a name".to_owned() } else { short(&record.run_id) }
}

/// A name or a figure short enough for a cell.
fn short(foreign: &str) -> String {
    text::clip(foreign, NAME_LIMIT).into_owned()
}

/// A sentence short enough for the page.
pub(super) fn clip(foreign: &str) -> String {
    text::clip(foreign, TEXT_LIMIT).into_owned()
}

pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(write_value);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).expect("templates are compiled in and tested");
    }
    environment
}

/// The one gate through which text enters the page.
fn write_value(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => {
            minijinja::escape_formatter(out, state, &Value::from(tame(text).as_ref()))
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// A drawing as the templates take it.
#[derive(Serialize)]
struct Drawing {
    wide: String,
    narrow: String,
}

impl From<Chart> for Drawing {
    fn from(chart: Chart) -> Self {
        Self { wide: chart.wide, narrow: chart.narrow }
    }
}
