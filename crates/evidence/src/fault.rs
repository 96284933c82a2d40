//! Faults that were planted on purpose while a load ran, and what became of each: `faults.json` holds a
//! list of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class::FindingClass;
use super::criterion::CriterionId;
use super::exit::Exit;
use super::verdict::{Action, Decision};
use super::words::words;

words! {
    /// What a comparison does that cannot be made.
    Refusal {
        /// It refuses, and says why.
        Refusal = "refusal",
    }
}

/// What sees a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Sight {
    /// A criterion that fails.
    Criterion(CriterionId),
    /// The comparison, which refuses.
    Comparison(Refusal),
}

impl Sight {
    /// A comparison that refuses.
    pub const REFUSAL: Self = Self::Comparison(Refusal::Refusal);
}

impl std::fmt::Display for Sight {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Criterion(id) => id.fmt(to),
            Self::Comparison(refusal) => refusal.fmt(to),
        }
    }
}

/// One fault.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlantedFault {
    /// The case's name, for example `07_exception_swallowed`.
    pub name: String,
    /// The fault in words.
    pub fault: String,
    /// How it was planted.
    pub planted: String,
    /// What has to see it; nothing if nothing is wrong.
    pub expected: Vec<Sight>,
    /// What saw it.
    pub seen_by: Vec<Sight>,
    /// Seconds from the fault to the end of the check that saw it, the last of those expected; `None`
    /// if one of them did not.
    pub seen_after_s: Option<f64>,
    /// Finding classes of the case that were not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes_missed: Vec<FindingClass>,
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
    /// Whether it was seen by every check that should see it, and led to the action that it should.
    pub fn passed(&self) -> bool {
        let all_seen = self.expected.iter().all(|sight| self.seen_by.contains(sight));
        // If nothing is wrong, nothing may be seen.
        let right = if self.expected.is_empty() { self.seen_by.is_empty() } else { all_seen };
        let refused = self.expected.contains(&Sight::REFUSAL);
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
    use crate::class::RowClass;

    const LEDGER: Sight = Sight::Criterion(CriterionId::Ledger);
    const ERRORS: Sight = Sight::Criterion(CriterionId::ErrorRate);

    fn fault(expected: &[Sight], seen_by: &[Sight], decision: Decision) -> PlantedFault {
        PlantedFault {
            expected: expected.into(),
            seen_by: seen_by.into(),
            decision: Some(decision),
            action: Some(Action::EmergencyRollback),
            expected_action: Action::EmergencyRollback,
            ..PlantedFault::default()
        }
    }

    #[test]
    fn what_saw_a_fault_is_one_word_in_a_file() {
        let file = r#"["ledger","refusal"]"#;
        let sights = [LEDGER, Sight::REFUSAL];
        assert_eq!(serde_json::to_string(&sights).expect("plain words"), file);
        assert_eq!(serde_json::from_str::<[Sight; 2]>(file).expect("both are known"), sights);
        assert!(serde_json::from_str::<Sight>(r#""leger""#).is_err());
    }

    #[test]
    fn a_fault_that_was_missed_or_led_elsewhere_never_passes() {
        let seen = fault(&[LEDGER], &[ERRORS, LEDGER], Decision::NoGo);
        assert!(seen.passed());
        assert!(!fault(&[LEDGER], &[ERRORS], Decision::NoGo).passed());
        assert!(!fault(&[LEDGER], &[], Decision::Go).passed());
        assert!(!fault(&[LEDGER], &[LEDGER], Decision::Inconclusive).passed());
        let held = PlantedFault { action: Some(Action::Hold), ..seen.clone() };
        assert!(!held.passed());
        assert!(!PlantedFault { broke: "no rig".into(), ..seen.clone() }.passed());
        assert!(
            !PlantedFault {
                classes_missed: vec![FindingClass::from(RowClass::Extra)],
                ..seen.clone()
            }
            .passed()
        );
        assert!(!PlantedFault { decision: None, ..seen }.passed());
        assert!(!PlantedFault::default().passed());
    }

    #[test]
    fn an_alarm_where_nothing_is_wrong_does_not_pass() {
        assert!(fault(&[], &[], Decision::Inconclusive).passed());
        assert!(!fault(&[], &[LEDGER], Decision::NoGo).passed());
        assert!(fault(&[Sight::REFUSAL], &[Sight::REFUSAL], Decision::Inconclusive).passed());
    }
}
