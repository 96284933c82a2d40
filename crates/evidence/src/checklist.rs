//! A checklist of the handbook, item by item: `preflight.json`, `smoke.json`, `post-rollout.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::State;

/// A checklist.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checklist {
    /// `preflight`, `smoke` or `post-rollout`.
    pub name: String,
    /// When it was gone through, RFC 3339.
    pub at: String,
    /// The items in the handbook's order.
    pub items: Vec<Item>,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Stable name, for example `row_delta`.
    pub id: String,
    /// What has to hold, for people.
    pub title: String,
    /// Whether it does.
    pub state: State,
    /// Whether the handbook can do without; then only a failure counts.
    pub optional: bool,
    /// What was seen.
    pub seen: String,
    /// What to do; empty if it holds.
    pub advice: String,
}

impl Checklist {
    /// The state of the whole: a failure outweighs what is unknown, and an empty list is unknown.
    pub fn state(&self) -> State {
        let any = |state, optional_too: bool| {
            self.items.iter().any(|item| item.state == state && (optional_too || !item.optional))
        };
        if any(State::Fail, true) {
            State::Fail
        } else if self.items.is_empty() || any(State::Unknown, false) {
            State::Unknown
        } else {
            State::Pass
        }
    }
}
