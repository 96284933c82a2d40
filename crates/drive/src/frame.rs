//! What the numbers in a sample stand for, and what it is part of.

use cutover_evidence::drive::OrgClass;
use cutover_scenario::{Scenario, WindowPlan};

/// What the numbers in samples stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    pub scenario: String,
    /// Name, and whether it writes.
    pub operations: Vec<(String, bool)>,
    /// Classes of orgs by size; empty if sizes are not known.
    pub org_classes: Vec<OrgClass>,
}

impl Names {
    pub(super) fn of(scenario: &Scenario, org_classes: Vec<OrgClass>) -> Self {
        let operations = scenario.operations.iter().map(|o| (o.name.clone(), o.writes));
        Self { scenario: scenario.name.clone(), operations: operations.collect(), org_classes }
    }
}

/// The plan, as far as it says what a sample is part of.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub windows: &'a [WindowPlan],
    /// How many measured arrivals a window has; `None` as long as nobody knows.
    pub planned: &'a dyn Fn(usize) -> Option<u64>,
    /// Whether a flag is switched, so that answers from the other side are to be expected while it
    /// settles.
    pub settles: bool,
    /// Whether requests are sent as fast as they are answered.
    pub closed_loop: bool,
}
