//! The handbook's monitoring loop: looks at the platform, and at its database if one is named, again
//! and again, applies the alert thresholds without flapping, tells whoever has to know, and leaves a line
//! per look.
//!
//! An endpoint that is down, slow or talks nonsense is an observation, never the end of the watch.

mod alerts;
mod database;
mod metrics;
mod notify;
mod poll;
mod reads;
mod sql;
mod view;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use url::Url;

pub use notify::Notify;

use alerts::Alerts;
use cutover_error::{Context, Result};
use cutover_evidence::limits::Limits;
use cutover_evidence::policy::thresholds;
use cutover_evidence::watch::{Alarm, AlarmLevel, Metric};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::Config;
use cutover_ground::http::without_secrets;
use cutover_ground::own_file;
use cutover_ground::run_folder::Place;
use poll::Poll;
use view::View;

/// The file of the looks, a line each, in the order in which they were taken.
const FILE: &str = "watch.jsonl";

/// How long telling of the alarms of one look may take.
const TELL_LIMIT: Duration = Duration::from_secs(20);

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time between the beginnings of two looks.
    pub every: Duration,
    /// The platform's database, to be looked at as well.
    pub database_url: Option<String>,
    /// How long; without end if absent.
    pub length: Option<Duration>,
    /// Whom to tell.
    pub notify: Vec<Notify>,
}

/// What the watch came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Looks.
    pub looks: u64,
    /// Of those, looks that were answered.
    pub answered: u64,
    /// How often an alarm was raised.
    pub warnings: u64,
    /// How often one became critical.
    pub criticals: u64,
    /// What was critical at the last look, with no further one to say whether it stays so.
    pub open: Vec<Metric>,
    /// Seconds watched.
    pub watched_s: f64,
    /// Whether it came to the end it was given.
    pub to_the_end: bool,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
}

/// Watches until the time is over or a signal comes; either way what was seen is kept.
///
/// # Errors
/// A usage error if a URL cannot be used; a run error if the file cannot be written.
pub async fn watch(
    config: &Config,
    base_url: &Url,
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<Summary> {
    let path = out.join(FILE);
    let place = format!("cannot write {}", path.display());
    let source = without_secrets(base_url);
    let mut poll = Poll::new(config, base_url, options.database_url.as_deref())?;
    let _folder = Place::make_own(out)?;
    let mut file = own_file::append(&path).or_usage(&place, "give --out a folder of its own")?;
    let thresholds = thresholds(&Limits { own: &config.limits, phase: None });
    let (mut alerts, mut view) = (Alerts::new(thresholds.clone()), View::new(thresholds));
    let mut summary = Summary::default();
    let began = Instant::now();
    context.started("watch", None, "looks");
    loop {
        let after = options.every * u32::try_from(summary.looks).unwrap_or(u32::MAX);
        // The last look is at the very end: what lies between the looks is what was watched.
        let after = options.length.map_or(after, |length| after.min(length));
        let due = began + after;
        tokio::select! {
            () = context.stop.cancelled() => break,
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let at = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut look = tokio::select! {
            () = context.stop.cancelled() => break,
            look = poll.look() => look,
        };
        look.base_url = Some(source.clone());
        look.at = at;
        let changes = alerts.take(&look);
        look.alarms = alerts.raised();
        summary.looks += 1;
        summary.answered += u64::from(look.error.is_none());
        for change in &changes {
            summary.warnings += u64::from(change.level == AlarmLevel::Warning);
            summary.criticals += u64::from(change.level == AlarmLevel::Critical);
            context.note(change.text());
            if change.level == AlarmLevel::Critical {
                summary.reasons.push(format!("{}: {}", look.at, change.text()));
            }
        }
        let told = tokio::time::timeout(TELL_LIMIT, tell(options, &changes, &source, context));
        if told.await.is_err() {
            context.note("not everybody was told in time: the webhooks are too slow");
        }
        let mut line = serde_json::to_string(&look).or_run(&place, "")?;
        line.push('\n');
        file.write_all(line.as_bytes()).or_run(&place, "is the disk full?")?;
        context.emit(Event::Advanced(1));
        context.emit(Event::Status(view.take(&look)));
        summary.watched_s = began.elapsed().as_secs_f64();
        if options.length.is_some_and(|length| after >= length) {
            summary.to_the_end = true;
            break;
        }
    }
    context.emit(Event::Finished);
    summary.open = alerts.open();
    Ok(summary)
}

/// Tells everybody of what has changed.
async fn tell(options: &Options, changes: &[Alarm], source: &str, context: &ActContext) {
    for (change, notify) in changes.iter().flat_map(|c| options.notify.iter().map(move |n| (c, n)))
    {
        if let Err(why) = notify.tell(change, source).await {
            context.note(format!("nobody was told of it: {why}"));
        }
    }
}
