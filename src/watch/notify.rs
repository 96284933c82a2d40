//! Telling people: a chat's webhook, and PagerDuty's events, version 2.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use url::Url;

use super::alerts::{Alarm, Level};
use crate::error::Result;
use crate::http::{Site, TrustedRoots};

/// A notice that does not get through must not hold up the next look.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to tell, and how.
#[derive(Debug, Clone)]
pub enum Notify {
    /// A webhook that takes `{"text": …}`.
    Webhook(Url),
    /// PagerDuty.
    PagerDuty {
        /// Where events go; `https://events.pagerduty.com/v2/enqueue` unless told otherwise.
        url: Url,
        /// The integration's key.
        routing_key: String,
    },
}

impl Notify {
    /// Tells of a change.
    ///
    /// # Errors
    /// In words, where it did not get through.
    pub(super) async fn tell(&self, alarm: &Alarm, source: &Url) -> Result<(), String> {
        let (url, body) = match self {
            Self::Webhook(url) => (url, json!({ "text": format!("{source} {}", alarm.text()) })),
            Self::PagerDuty { url, routing_key } => (url, event(alarm, source, routing_key)),
        };
        let mut base = url.clone();
        base.set_path("");
        base.set_query(None);
        let mut site = Site::new(&base, &TrustedRoots::default(), PATIENCE)
            .map_err(|error| error.to_string())?;
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        let path = format!("{}{query}", url.path());
        let answer = site.send(Method::POST, &path, body.to_string(), &[]).await;
        match answer.map_err(|failure| failure.name().to_owned())?.status {
            200..=299 => Ok(()),
            status => Err(format!("status {status}")),
        }
    }
}

/// An event; the same key for the same alarm, so that its end resolves what its beginning triggered.
fn event(alarm: &Alarm, source: &Url, routing_key: &str) -> Value {
    let metric = serde_json::to_value(alarm.metric).unwrap_or_default();
    let dedup_key = format!("cutover/{source}/{}", metric.as_str().unwrap_or_default());
    if alarm.level == Level::Clear {
        return json!({
            "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key,
        });
    }
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "payload": {
            "summary": alarm.text(),
            "source": source.as_str(),
            "severity": if alarm.level == Level::Critical { "critical" } else { "warning" },
            "custom_details": { "metric": metric, "value": alarm.value, "action": alarm.action },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::alerts::Metric;
    use super::*;

    #[test]
    fn the_end_of_an_alarm_resolves_what_its_beginning_triggered() {
        let source = Url::parse("http://production.app/").expect("a URL");
        let alarm = |level| Alarm { metric: Metric::RowDelta, level, value: 7.0, action: "check" };
        let begun = event(&alarm(Level::Critical), &source, "key");
        let over = event(&alarm(Level::Clear), &source, "key");
        assert_eq!(begun["payload"]["severity"], "critical");
        assert_eq!(
            (&begun["event_action"], &over["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(begun["dedup_key"], over["dedup_key"]);
        assert!(begun["payload"]["summary"].as_str().expect("text").contains("row delta"));
    }
}
