//! `cutover watch`: the monitoring loop.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs, intents, values};
use crate::error::Result;
use crate::http::TrustedRoots;
use crate::notify::Webhook;
use crate::watch::{self, Notify, Options, Summary};

/// Of the looks, this share has to be answered for a verdict.
const ANSWERED: f64 = 0.9;

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Time between two looks
    #[arg(long, value_name = "D", default_value = "30s", value_parser = values::between_looks)]
    pub every: Duration,
    /// How long, for example 24h; without it until a signal comes
    #[arg(long = "for", value_name = "D", value_parser = values::watched)]
    pub length: Option<Duration>,
    /// Told of each alarm that changes, as {"text": "…"}
    #[arg(long, env = "CUTOVER_ALERT_WEBHOOK", hide_env_values = true, value_name = "URL")]
    pub webhook: Option<String>,
    /// Key of a PagerDuty integration that takes events, version 2
    #[arg(long, env = "CUTOVER_PAGERDUTY_KEY", hide_env_values = true, value_name = "KEY")]
    pub pagerduty_key: Option<String>,
    /// Where PagerDuty takes events
    #[arg(long, default_value = "https://events.pagerduty.com/v2/enqueue", value_name = "URL")]
    pub pagerduty_url: String,
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Watches, and ends with a verdict if it came to its end.
///
/// # Errors
/// If no platform is named, or the file cannot be written.
pub async fn run(args: WatchArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let config = args.target.read_config()?;
    let base_url = args.target.required_base_url(&config)?;
    let database_url = args.target.checked_database_url()?;
    let place = intents::place(database_url, Some(&base_url));
    intents::announce(printer, &config.environment, &place, &[], &[])?;
    let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
    let mut notify = Vec::new();
    // CI hands on a secret that it does not have as an empty one.
    if let Some(url) = args.webhook.as_ref().filter(|url| !url.is_empty()) {
        notify.push(Notify::Chat(Webhook::new("--webhook", url, &roots)?));
    }
    if let Some(key) = args.pagerduty_key.as_ref().filter(|key| !key.is_empty()) {
        let events = Webhook::new("--pagerduty-url", &args.pagerduty_url, &roots)?;
        notify.push(Notify::PagerDuty { events, routing_key: key.clone() });
    }
    let database_url = database_url.map(str::to_owned);
    let options = Options { every: args.every, database_url, length: args.length, notify };
    let out = args.target.out.clone().unwrap_or_else(|| {
        let now = chrono::Utc::now().format("%Y%m%dT%H%M%SZ");
        PathBuf::from("reports").join(format!("watch-{now}-{}", std::process::id()))
    });
    let summary = watch::watch(&config, &base_url, &options, &out, &printer.context(stop)).await?;
    printer.result(&text(&summary));
    printer.json(&serde_json::json!({ "dir": out, "watch": summary }));
    printer.note(&format!("evidence: {}", out.join("watch.jsonl").display()));
    Ok(exit(&summary))
}

fn exit(summary: &Summary) -> Exit {
    if summary.criticals > 0 {
        Exit::NO_GO_PERFORMANCE
    } else if !summary.to_the_end
        || summary.looks == 0
        || !summary.open.is_empty()
        || (summary.answered as f64) < ANSWERED * summary.looks as f64
    {
        Exit::INCONCLUSIVE
    } else {
        Exit::OK
    }
}

fn text(summary: &Summary) -> String {
    let mut text = format!(
        "watched {:.2} h: {} of {} looks answered, {} warnings, {} critical alarms",
        summary.watched_s / 3600.0,
        summary.answered,
        summary.looks,
        summary.warnings,
        summary.criticals
    );
    if !summary.to_the_end {
        text.push_str("\n  it was ended before its time");
    }
    for metric in &summary.open {
        let what = metric.words().0;
        text.push_str(&format!("\n  at the last look critical, and nobody looked again: {what}"));
    }
    for reason in &summary.reasons {
        text.push_str(&format!("\n  - {reason}"));
    }
    text
}
