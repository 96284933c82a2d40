//! What was done and seen in a drill, with the stopwatch.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use cutover_ground::act::{ActContext, Event};

/// One step.
#[derive(Debug, Clone, Serialize)]
struct Step {
    /// What was done or had to hold.
    what: String,
    /// Seconds on the stopwatch when it was done; absent before it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_s: Option<f64>,
    /// Whether it holds; absent for what was only done.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
    /// What was seen.
    seen: String,
}

/// The record of a drill under way.
pub(super) struct Script<'a> {
    context: &'a ActContext,
    steps: Vec<Step>,
    clock: Option<Instant>,
    stopped_s: Option<f64>,
}

impl<'a> Script<'a> {
    pub(super) fn new(context: &'a ActContext) -> Self {
        Self { context, steps: Vec::new(), clock: None, stopped_s: None }
    }

    /// The emergency is known: from here on it counts.
    pub(super) fn start_clock(&mut self) {
        self.clock = Some(Instant::now());
    }

    /// The last step of the handbook is done; proofs may follow.
    pub(super) fn stop_clock(&mut self) {
        self.stopped_s = self.clock.map(|clock| clock.elapsed().as_secs_f64());
    }

    /// Something was done.
    pub(super) fn did(&mut self, what: &str, seen: impl Into<String>) {
        self.push(what, None, seen.into());
    }

    /// Something had to hold.
    pub(super) fn prove(&mut self, what: &str, holds: bool, seen: impl Into<String>) {
        self.push(what, Some(holds), seen.into());
    }

    fn push(&mut self, what: &str, holds: Option<bool>, seen: String) {
        self.context.emit(Event::Status(what.to_owned()));
        let at_s = self.clock.map(|clock| clock.elapsed().as_secs_f64());
        self.steps.push(Step { what: what.to_owned(), at_s, holds, seen });
    }

    /// Seconds between start and stop of the clock; `None` if it was not stopped.
    pub(super) fn measured_s(&self) -> Option<f64> {
        self.stopped_s
    }

    /// Whether all that had to hold did, and what was seen, or why not. A drill without a proof has
    /// proven nothing.
    pub(super) fn outcome(&self) -> (bool, String) {
        let proofs: Vec<&Step> = self.steps.iter().filter(|step| step.holds.is_some()).collect();
        let broken: Vec<String> = proofs
            .iter()
            .filter(|step| step.holds == Some(false))
            .map(|step| format!("{}: no: {}", step.what, step.seen))
            .collect();
        if !broken.is_empty() || proofs.is_empty() {
            return (false, broken.join("; "));
        }
        let seen: Vec<String> =
            proofs.iter().map(|step| format!("{}: {}", step.what, step.seen)).collect();
        (true, seen.join("; "))
    }

    pub(super) fn steps(&self) -> Value {
        serde_json::to_value(&self.steps).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_proven_without_a_proof_and_by_one_that_fails() {
        let context = ActContext::silent();
        let mut script = Script::new(&context);
        script.start_clock();
        script.did("flag off", "status 200");
        assert!(!script.outcome().0);
        script.prove("legacy", true, "200 of 200");
        assert!(script.outcome().0);
        script.prove("healthy", false, "degraded");
        let (proven, note) = script.outcome();
        assert!(!proven && note.contains("healthy: no: degraded"), "{note}");
        assert_eq!(script.measured_s(), None);
    }
}
