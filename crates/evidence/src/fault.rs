//! Faults that were planted on purpose while a load ran, and what became of each: `faults.json` holds a
//! list of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exit::Exit;
use super::verdict::{Action, Decision};

/// One fault.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlantedFault {
    /// The case's name, for example `07_exception_swallowed`.
    pub name: String,
    /// The fault in words.
    pub fault: String,
    /// How it was planted.
    pub planted: String,
    /// The criteria that have to fail; none if nothing is wrong.
    pub expected: Vec<String>,
    /// The criteria that failed.
    pub seen_by: Vec<String>,
    /// Seconds from the fault to the end of the check that saw it, the last of those expected; `None`
    /// if one of them did not.
    pub seen_after_s: Option<f64>,
    /// Finding classes of the case that were not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes_missed: Vec<String>,
    /// The verdict.
    pub decision: Option<Decision>,
    /// Its exit code.
    pub exit_code: Option<Exit>,
    /// The action it asks for.
    pub action: Option<Action>,
    /// The action it has to ask for.
    pub expected_action: Action,
    /// Why it could not be played to its end; empty if it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub broke: String,
}

impl PlantedFault {
    /// What is expected, in the place of a criterion, if the comparison has to refuse.
    pub const REFUSAL: &str = "refusal";

    /// Whether it was seen by every check that should see it, and led to the action that it should.
    pub fn passed(&self) -> bool {
        let all_seen = self.expected.iter().all(|criterion| self.seen_by.contains(criterion));
        // If nothing is wrong, nothing may be seen.
        let right = if self.expected.is_empty() { self.seen_by.is_empty() } else { all_seen };
        let refused = self.expected.iter().any(|criterion| criterion == Self::REFUSAL);
        let decided = match self.decision {
            Some(Decision::NoGo) => !self.expected.is_empty(),
            // A machine that was too busy to time a load has compared all the same.
            Some(Decision::Invalid) => true,
            // Who cannot compare decides nothing; if nothing is wrong, nothing is decided either.
            Some(Decision::Inconclusive) => refused || self.expected.is_empty(),
            Some(Decision::Go) => self.expected.is_empty(),
            None => false,
        };
        let action = self.expected.is_empty() || self.action == Some(self.expected_action);
        self.broke.is_empty() && right && decided && action && self.classes_missed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(expected: &[&str], seen_by: &[&str], decision: Decision) -> PlantedFault {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        PlantedFault {
            expected: names(expected),
            seen_by: names(seen_by),
            decision: Some(decision),
            action: Some(Action::EmergencyRollback),
            expected_action: Action::EmergencyRollback,
            ..PlantedFault::default()
        }
    }

    #[test]
    fn a_fault_that_was_missed_or_led_elsewhere_never_passes() {
        let seen = fault(&["ledger"], &["error_rate", "ledger"], Decision::NoGo);
        assert!(seen.passed());
        assert!(!fault(&["ledger"], &["error_rate"], Decision::NoGo).passed());
        assert!(!fault(&["ledger"], &[], Decision::Go).passed());
        assert!(!fault(&["ledger"], &["ledger"], Decision::Inconclusive).passed());
        let held = PlantedFault { action: Some(Action::Hold), ..seen.clone() };
        assert!(!held.passed());
        assert!(!PlantedFault { broke: "no rig".into(), ..seen.clone() }.passed());
        assert!(!PlantedFault { classes_missed: vec!["extra".into()], ..seen.clone() }.passed());
        assert!(!PlantedFault { decision: None, ..seen }.passed());
        assert!(!PlantedFault::default().passed());
    }

    #[test]
    fn an_alarm_where_nothing_is_wrong_does_not_pass() {
        assert!(fault(&[], &[], Decision::Inconclusive).passed());
        assert!(!fault(&[], &["ledger"], Decision::NoGo).passed());
        assert!(fault(&[PlantedFault::REFUSAL], &["refusal"], Decision::Inconclusive).passed());
    }
}
