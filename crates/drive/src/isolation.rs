//! Looks whether an answer holds another org's data.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::recorder::Outcome;
use cutover_evidence::answers::IsolationEvidence;
use cutover_evidence::class::AnswerFault;
use cutover_evidence::drive::Side;
use cutover_evidence::finding::Finding;
use cutover_scenario::Operation;

/// What was seen of it so far.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    checked: AtomicU64,
    leaks: AtomicU64,
    findings: Mutex<Vec<Finding>>,
}

impl Isolation {
    /// Whether every org that an answer names is the one that asked.
    pub(super) fn check(
        &self,
        operation: &Operation,
        mode: Side,
        org: u64,
        answer: &Value,
    ) -> Result<(), Outcome> {
        if operation.own.is_empty() {
            return Ok(());
        }
        self.checked.fetch_add(1, Ordering::Relaxed);
        let own = org.to_string();
        for places in &operation.own {
            // What cannot be looked at is not known to be its own.
            let found = places.find(answer).ok_or(Outcome::CheckFailed)?;
            let other = found.iter().map(|value| text(value)).find(|text| *text != own);
            if let Some(other) = other {
                self.tell(operation, mode, own, &other);
                return Err(Outcome::ForeignOrg);
            }
        }
        Ok(())
    }

    fn tell(&self, operation: &Operation, mode: Side, org: String, other: &str) {
        self.leaks.fetch_add(1, Ordering::Relaxed);
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() < IsolationEvidence::KEPT_FINDINGS {
            let (name, mode) = (&operation.name, mode.as_str());
            let detail =
                format!("{name} of org {org} in {mode} mode was answered with org {other}");
            let finding = Finding::new(name, AnswerFault::ForeignOrg);
            findings.push(Finding { org_id: Some(org), detail: Some(detail), ..finding });
        }
    }

    /// What was seen; `None` if no answer was looked at.
    pub(super) fn evidence(&self) -> Option<IsolationEvidence> {
        let answers_checked = self.checked.load(Ordering::Relaxed);
        (answers_checked > 0).then(|| IsolationEvidence {
            answers_checked,
            leaks: self.leaks.load(Ordering::Relaxed),
            findings: self.findings.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
