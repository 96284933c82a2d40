//! May we start? The handbook's checklists before and after a rollout, the smoke tests, and the list
//! of pilot orgs.

mod backup;
mod database;
mod pilot;
mod platform;
mod post_rollout;
mod smoke;
mod sql;

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use url::Url;

pub use pilot::{Pilot, PilotOptions, pilot};
pub use post_rollout::{Milestone, post_rollout};
pub use smoke::smoke;

use cutover_error::Result;
use cutover_evidence::checklist::{Checklist, Item};
use cutover_evidence::verdict::State;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::Config;

/// Goes through the pre-rollout checklist. What cannot be reached is an item that is unknown or
/// fails, never an error.
///
/// # Errors
/// A usage error if a URL or the configuration cannot be used; [`cutover_error::Error::Interrupted`].
pub async fn preflight(
    config: &Config,
    database_url: &str,
    base_url: &Url,
    context: &ActContext,
) -> Result<Checklist> {
    context.started("preflight", None, "");
    let mut items = database::items(config, database_url).await?;
    context.check_stop()?;
    items.extend(platform::items(config, database_url, base_url).await?);
    items.extend(PEOPLE.iter().map(|(id, title)| {
        let seen = "people know, no program does";
        Item { optional: true, ..unknown(id, title, seen, "ask them, and note the answer") }
    }));
    context.emit(Event::Finished);
    Ok(Checklist { name: "preflight".into(), at: now(), items })
}

/// How long all questions to the platform may take together. What is left then is told as timeouts.
const LIST_LIMIT: Duration = Duration::from_secs(45);

/// How long the server may work on one question: counting the rows of large tables takes minutes.
const QUESTION_LIMIT: Duration = Duration::from_secs(300);

/// Team readiness: shown, so that nobody forgets to ask.
const PEOPLE: [(&str, &str); 5] = [
    ("on_call", "on-call engineer assigned and available"),
    ("dba", "database administrator on standby"),
    ("plan_reviewed", "rollback plan reviewed with the team"),
    ("channels", "communication channels established"),
    ("runbook", "runbook and dashboards open to all"),
];

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An item that was looked at.
fn item(id: &str, title: &str, holds: bool, seen: impl Into<String>, advice: &str) -> Item {
    Item {
        id: id.into(),
        title: title.into(),
        state: if holds { State::Pass } else { State::Fail },
        optional: false,
        seen: seen.into(),
        advice: if holds { String::new() } else { advice.into() },
    }
}

/// An item that could not be looked at.
fn unknown(id: &str, title: &str, seen: impl Into<String>, advice: &str) -> Item {
    Item { state: State::Unknown, advice: advice.into(), ..item(id, title, true, seen, "") }
}
