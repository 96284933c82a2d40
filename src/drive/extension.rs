//! More pairs where those so far do not decide.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::collector::Collector;
use super::tally::Tally;
use super::worker::Shared;
use crate::act::{ActContext, Event};
use crate::evidence::drive::{DriveEvidence, Look};

/// What looks at a load that runs.
pub type Judge = dyn Fn(&DriveEvidence) -> Option<Look> + Send + Sync;

/// Who says whether more pairs are needed. An act does not judge; whoever runs it brings the judge.
#[derive(Clone)]
pub struct Extension {
    /// How often the load may go on.
    pub at_most: u32,
    /// Which of several loads with one question this is, from 1 on; 0 where it is the only one.
    pub attempt: u32,
    /// Looks at what is there; `None` where more pairs would not help.
    pub judge: Arc<Judge>,
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension").field("at_most", &self.at_most).finish_non_exhaustive()
    }
}

/// The looks that are taken while the load runs.
#[derive(Clone, Default)]
pub(super) struct Looks(Arc<Mutex<Vec<Look>>>);

impl Looks {
    /// Has the pacer ask at each look of the plan; `further` requests follow where one is undecided.
    pub(super) fn begin(
        shared: &Shared,
        collector: &Collector,
        extension: Option<&Extension>,
        further: Vec<u64>,
        context: &ActContext,
    ) -> Self {
        let looks = Self::default();
        if let Some(extension) = extension.cloned() {
            let (taken, context) = (looks.clone(), context.clone());
            // The collector wants the tally for itself in the end.
            let tally = Arc::downgrade(&collector.tally);
            let goes_on = move || taken.look(&tally, &extension, &further, &context);
            shared.queue.ask_at_looks(Box::new(goes_on));
        }
        looks
    }

    fn look(
        &self,
        tally: &Weak<Mutex<Tally>>,
        by: &Extension,
        further: &[u64],
        context: &ActContext,
    ) -> bool {
        let Some(tally) = tally.upgrade() else { return false };
        let mut so_far = tally.lock().unwrap_or_else(PoisonError::into_inner).so_far();
        drop(tally);
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (so_far.looks_planned, so_far.attempt) = (by.at_most + 1, by.attempt);
        so_far.looks.clone_from(&looks);
        let Some(look) = (by.judge)(&so_far) else { return false };
        looks.push(look);
        if look.undecided {
            context.emit(Event::Extended(further.get(looks.len() - 1).copied().unwrap_or(0)));
            context.note(format!(
                "undecided after {} pairs (p95 ratio {:.3}, {:.3} to {:.3}): further pairs follow",
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
