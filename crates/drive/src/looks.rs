//! Looks at a load while it runs: it ends once the pairs so far decide, and goes on while they do not.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::collector::Collector;
use super::options::Judge;
use super::shared::Shared;
use super::tally::Tally;
use cutover_evidence::drive::Look;
use cutover_ground::act::{ActContext, Event};

/// What the plan says of its looks.
pub(super) struct Planned {
    /// Pairs at each, the end included.
    pub looks_at: Vec<u32>,
    /// Requests after each, until the next.
    pub further: Vec<u64>,
}

/// The looks that are taken while the load runs.
#[derive(Clone, Default)]
pub(super) struct Looks(Arc<Mutex<Vec<Look>>>);

impl Looks {
    /// Has the pacer ask at each look of the plan.
    pub(super) fn begin(
        shared: &Shared,
        collector: &Collector,
        judge: Option<&Judge>,
        plan: Planned,
        context: &ActContext,
    ) -> Self {
        let looks = Self::default();
        // The collector wants the tally for itself in the end.
        let tally = Arc::downgrade(&collector.tally);
        match judge.cloned() {
            Some(judge) => {
                let (taken, context) = (looks.clone(), context.clone());
                let goes_on = move || taken.look(&tally, &judge, &plan, &context);
                shared.queue.ask_at_looks(Box::new(goes_on));
            }
            None => shared.queue.ask_at_looks(Box::new(|| true)),
        }
        looks
    }

    fn look(
        &self,
        tally: &Weak<Mutex<Tally>>,
        by: &Judge,
        plan: &Planned,
        context: &ActContext,
    ) -> bool {
        let Some(tally) = tally.upgrade() else { return false };
        let mut so_far = tally.lock().unwrap_or_else(PoisonError::into_inner).so_far();
        drop(tally);
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.looks_at.clone_from(&plan.looks_at);
        so_far.attempt = by.attempt;
        so_far.looks.clone_from(&looks);
        let Some(look) = (by.look)(&so_far) else { return false };
        looks.push(look);
        if look.undecided {
            context.emit(Event::Extended(plan.further.get(looks.len() - 1).copied().unwrap_or(0)));
            context.note(format!(
                "undecided after {} pairs (p95 ratio {:.3}, {:.3} to {:.3}): the load goes on",
                look.pairs, look.p95_ratio, look.p95_ratio_low, look.p95_ratio_high
            ));
        }
        look.undecided
    }

    /// What was seen.
    pub(super) fn taken(&self) -> Vec<Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
