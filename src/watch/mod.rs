//! The handbook's monitoring loop: looks at the platform, and at its database where one is named, again
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

pub use alerts::{Alarm, Level};
pub use metrics::Metric;
pub use notify::Notify;

use crate::act::{ActContext, Event};
use crate::config::Config;
use crate::error::{Context, Result};
use crate::http::without_secrets;
use alerts::Alerts;
use poll::Poll;
use view::View;

/// The file of the looks, a line each, in the order in which they were taken.
const FILE: &str = "watch.jsonl";

/// How to watch.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time between the beginnings of two looks.
    pub every: Duration,
    /// The platform's database, to be looked at as well.
    pub database_url: Option<String>,
    /// How long; without end where absent.
    pub length: Option<Duration>,
    /// Whom to tell.
    pub notify: Vec<Notify>,
}

/// One look: a line of `watch.jsonl`. A field is `None` where nobody said.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Look {
    /// When, RFC 3339.
    pub at: String,
    /// The platform that was looked at, without secrets.
    pub base_url: Option<String>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// `healthy`, `degraded`, `unhealthy`.
    pub system_status: Option<String>,
    /// Critical alerts raised by the platform.
    pub critical_alerts: Option<u64>,
    /// The largest lag of a replica, seconds, by the platform's word or the database's.
    pub replica_lag_s: Option<f64>,
    /// Cache hit rate of late, percent.
    pub hit_rate_percent: Option<f64>,
    /// Whether that rate still rises, as a cache's does that was empty; it raises no alarm then.
    pub cache_filling: bool,
    /// The largest difference of row counts.
    pub row_delta: Option<f64>,
    /// Connections of the fullest pool that are in use.
    pub pool_in_use: Option<u64>,
    /// Connections that this pool may have.
    pub pool_max: Option<u64>,
    /// Why the database said nothing; absent, too, where none is named.
    pub database_error: Option<String>,
    /// Dual-write triggers that are missing or disabled, of those that the configuration names.
    pub triggers_off: Option<u64>,
    /// Replicas that an earlier look saw and this one does not.
    pub replicas_gone: Option<u64>,
    /// Connections of the database server that are in use.
    pub connections: Option<u64>,
    /// Connections that it may have.
    pub connections_max: Option<u64>,
    /// The share of our own reads that failed of late, percent.
    pub error_rate_percent: Option<f64>,
    /// 95th percentile of our own reads of late, milliseconds: the median of the last looks'.
    pub p95_ms: Option<f64>,
    /// The same against the first looks, percent more.
    pub p95_more_percent: Option<f64>,
    /// Our own reads since the look before that did not name a side.
    pub routed_requests: Option<u64>,
    /// Of those, reads that the partitioned side answered.
    pub routed_partitioned: Option<u64>,
    /// Alarms that are raised.
    pub alarms: Vec<Alarm>,
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
/// A usage error where a URL cannot be used; a run error where the file cannot be written.
pub async fn watch(
    config: &Config,
    base_url: &Url,
    options: &Options,
    out: &Path,
    context: &ActContext,
) -> Result<Summary> {
    let path = out.join(FILE);
    let place = format!("cannot write {}", path.display());
    std::fs::create_dir_all(out).or_usage(&place, "give --out a writable folder")?;
    let file = std::fs::File::options().create(true).append(true).open(&path);
    let mut file = file.or_usage(&place, "give --out a writable folder")?;
    let source = without_secrets(base_url);
    let mut poll = Poll::new(config, base_url, options.database_url.as_deref())?;
    let (mut alerts, mut view) = (Alerts::default(), View::default());
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
        let mut look = poll.look().await;
        look.base_url = Some(source.clone());
        look.at = at;
        let changes = alerts.take(&look);
        look.alarms = alerts.raised();
        summary.looks += 1;
        summary.answered += u64::from(look.error.is_none());
        for change in &changes {
            summary.warnings += u64::from(change.level == Level::Warning);
            summary.criticals += u64::from(change.level == Level::Critical);
            context.note(change.text());
            if change.level == Level::Critical {
                summary.reasons.push(format!("{}: {}", look.at, change.text()));
            }
            for notify in &options.notify {
                if let Err(why) = notify.tell(change, &source).await {
                    context.note(format!("nobody was told of it: {why}"));
                }
            }
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
