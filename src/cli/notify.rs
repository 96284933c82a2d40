//! Tells a channel about a verdict. What the channel does with it never changes the verdict.

use std::path::Path;

use clap::{Args, ValueEnum};

use super::Printer;
use crate::config::Config;
use crate::error::Result;
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::Decision;
use crate::http::TrustedRoots;
use crate::notify::{Webhook, escape};

/// Reasons that a message holds.
const REASONS: usize = 3;
/// Characters of one reason.
const REASON_LIMIT: usize = 400;

/// Whom to tell, and when.
#[derive(Debug, Clone, Default, Args)]
pub struct NotifyArgs {
    /// Webhook that speaks Slack's language; secret, so better given by the environment
    #[arg(long, env = "CUTOVER_NOTIFY_URL", hide_env_values = true, value_name = "URL")]
    pub notify_url: Option<String>,
    /// Which verdicts to tell
    #[arg(long, hide_short_help = true, value_enum, default_value_t = NotifyOn::NotGo)]
    pub notify_on: NotifyOn,
    /// Where the report can be read, for the message [default: the step of GitHub's CI, else the
    /// page's path]
    #[arg(long, hide_short_help = true, env = "CUTOVER_REPORT_URL", hide_env_values = true)]
    #[arg(value_name = "URL")]
    pub report_url: Option<String>,
}

/// Which verdicts are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum NotifyOn {
    /// Every verdict.
    Always,
    /// Every verdict but GO.
    #[default]
    NotGo,
    /// NO-GO alone.
    NoGo,
}

impl NotifyOn {
    fn wants(self, decision: Decision) -> bool {
        match self {
            Self::Always => true,
            Self::NotGo => decision != Decision::Go,
            Self::NoGo => decision == Decision::NoGo,
        }
    }
}

/// A channel that is told about verdicts.
pub struct Notifier {
    webhook: Option<Webhook>,
    on: NotifyOn,
    report_url: Option<String>,
}

impl NotifyArgs {
    /// Checks the URL before anything is done.
    ///
    /// # Errors
    /// A usage error, without the URL in it, if it is none.
    pub fn resolve(&self, config: &Config) -> Result<Notifier> {
        let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
        let url = self.notify_url.as_deref().filter(|url| !url.is_empty());
        let webhook = url.map(|url| Webhook::new("--notify-url", url, &roots)).transpose()?;
        Ok(Notifier { webhook, on: self.notify_on, report_url: self.report_url.clone() })
    }
}

impl Notifier {
    /// Tells the channel if it wants to know. A webhook that is dead, slow or talks nonsense is a
    /// warning.
    pub async fn tell(&self, record: &RunRecord, folder: &Path, printer: &Printer) {
        let Some(webhook) = &self.webhook else { return };
        if !self.on.wants(record.verdict.decision) {
            return;
        }
        if let Err(why) = webhook.send(&self.message(record, folder)).await {
            printer.note(&format!("warning: the webhook did not take the verdict: {why}"));
        }
    }

    fn message(&self, record: &RunRecord, folder: &Path) -> String {
        let verdict = &record.verdict;
        let gate = match record.increment_percent {
            Some(percent) => format!("{} to {percent} %", record.phase.as_str()),
            None => record.phase.as_str().to_owned(),
        };
        let mut lines = vec![format!(
            "*{}*: {} (cutover, {gate}, run {})",
            verdict.decision.label(),
            verdict.action.label(),
            escape(&record.run_id)
        )];
        for reason in verdict.reasons.iter().take(REASONS) {
            let reason: String = reason.chars().take(REASON_LIMIT).collect();
            lines.push(format!("• {}", escape(&reason)));
        }
        if verdict.reasons.len() > REASONS {
            lines.push(format!("and {} more", verdict.reasons.len() - REASONS));
        }
        lines.push(format!("Report: {}", escape(&self.link(folder))));
        lines.join("\n")
    }

    fn link(&self, folder: &Path) -> String {
        let of_ci = || {
            let value = |name| std::env::var(name).ok();
            let (server, repository) = (value("GITHUB_SERVER_URL")?, value("GITHUB_REPOSITORY")?);
            Some(format!("{server}/{repository}/actions/runs/{}", value("GITHUB_RUN_ID")?))
        };
        let page = || {
            let page = folder.join("report.html");
            std::path::absolute(&page).unwrap_or(page).display().to_string()
        };
        self.report_url.clone().or_else(of_ci).unwrap_or_else(page)
    }
}
