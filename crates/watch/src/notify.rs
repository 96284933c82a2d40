//! What is told of an alarm: a line to a chat, and PagerDuty's events, version 2.

use serde_json::{Value, json};

use cutover_evidence::watch::{Alarm, AlarmLevel};
use cutover_ground::notify::{Webhook, escape};

/// Whom to tell, and how.
#[derive(Debug, Clone)]
pub enum Notify {
    /// A chat.
    Chat(Webhook),
    /// PagerDuty.
    PagerDuty {
        /// Where events go; `https://events.pagerduty.com/v2/enqueue` unless told otherwise.
        events: Webhook,
        /// The integration's key.
        routing_key: String,
    },
}

impl Notify {
    /// Tells of a change at `source`, the platform's URL without secrets.
    ///
    /// # Errors
    /// In words, if it did not get through.
    pub(super) async fn tell(&self, alarm: &Alarm, source: &str) -> Result<(), String> {
        match self {
            Self::Chat(chat) => chat.send(&escape(&format!("{source} {}", alarm.text()))).await,
            Self::PagerDuty { events, routing_key } => {
                events.post(&event(alarm, source, routing_key)).await
            }
        }
    }
}

/// An event; the same key for the same alarm, so that its end resolves what its beginning triggered.
fn event(alarm: &Alarm, source: &str, routing_key: &str) -> Value {
    let metric = alarm.metric;
    let dedup_key = format!("cutover/{source}/{metric}");
    if alarm.level == AlarmLevel::Clear {
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
            "source": source,
            "severity": alarm.level,
            "custom_details": { "metric": metric, "value": alarm.value, "action": alarm.action },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::watch::Metric;

    #[test]
    fn the_end_of_an_alarm_resolves_what_its_beginning_triggered() {
        let source = "http://production.app/";
        let alarm =
            |level| Alarm { metric: Metric::RowDelta, level, value: 7.0, action: "check".into() };
        let begun = event(&alarm(AlarmLevel::Critical), source, "key");
        let over = event(&alarm(AlarmLevel::Clear), source, "key");
        assert_eq!(begun["payload"]["severity"], "critical");
        assert_eq!(
            (&begun["event_action"], &over["event_action"]),
            (&json!("trigger"), &json!("resolve"))
        );
        assert_eq!(begun["dedup_key"], over["dedup_key"]);
        assert!(begun["payload"]["summary"].as_str().expect("text").contains("row delta"));
    }
}
