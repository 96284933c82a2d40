//! Which side the application writes to, and what carries its writes to the other.
//!
//! The triggers that are there decide, not the names: one of the partitioned side that keeps the other
//! means that the partitioned side is live. The configuration may say so itself.

use sqlx::postgres::PgConnection;

use super::probe::{Coverage, WATCHES_SCHEMA};
use super::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_ground::config::{Sync, TablePair};
use cutover_ground::pg::failure;
use cutover_ground::pg::reach::{Reach, Tie, set_aside};

/// What is known of the way that writes take.
#[derive(Debug, Clone)]
pub(super) struct Direction {
    /// The side that the application writes to, as far as anybody says.
    pub(super) written: Side,
    /// Why the other side may not be rewritten by what this one holds.
    pub(super) doubt: Option<Doubt>,
    /// What carries the writes.
    pub(super) sync: Sync,
    /// What the triggers of both sides reach.
    pub(super) reach: Reach,
    /// Whether changes of the schema fire something.
    pub(super) watches_schema: bool,
}

/// Why it is not proven which side is written to.
#[derive(Debug, Clone)]
pub(super) enum Doubt {
    /// No trigger ties the tables; the probe may still see that one does.
    Untied,
    /// Another reason, in words.
    Other(String),
}

impl Doubt {
    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Untied => {
                "no trigger of either side carries to the other, and the configuration does not \
                             say what does (`sync`) or which side is written to (`writes`)"
                    .into()
            }
            Self::Other(why) => why.clone(),
        }
    }
}

impl Direction {
    /// Asks the catalogs.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn look(
        connection: &mut PgConnection,
        plan: &PairPlan,
        pair: &TablePair,
    ) -> Result<Self> {
        let oids = Side::BOTH.map(|side| plan.table(side).oid);
        let reach = Reach::look(connection, Some(&oids)).await?;
        let ties = |from: Side| {
            let table = |side: Side| (plan.table(side).oid, plan.table(side).name.name.as_str());
            reach.ties(table(from), table(other(from)))
        };
        let (forward, reverse) = (ties(Side::Legacy), ties(Side::Partitioned));
        let found = Reach::written_side(&forward, &reverse);
        let written = pair.writes.or(found).unwrap_or(Side::Legacy);
        let doubt = doubt(plan, pair, written, [&forward, &reverse], found);
        let asked = sqlx::query_scalar(WATCHES_SCHEMA).fetch_one(connection).await;
        let watches_schema = asked.map_err(|e| failure("cannot ask for event triggers", &e))?;
        Ok(Self { written, doubt, sync: pair.sync.unwrap_or_default(), reach, watches_schema })
    }

    /// The side that is carried to.
    pub(super) fn follower(&self) -> Side {
        other(self.written)
    }

    /// Whether triggers are what carries.
    pub(super) fn by_triggers(&self) -> bool {
        self.sync == Sync::Trigger
    }

    /// Takes what was seen when the triggers were tried.
    pub(super) fn tried(&mut self, coverage: &Coverage) {
        if matches!(self.doubt, Some(Doubt::Untied)) && coverage.carries_any() {
            self.doubt = None;
        }
    }
}

/// The other side.
pub(super) fn other(side: Side) -> Side {
    match side {
        Side::Legacy => Side::Partitioned,
        Side::Partitioned => Side::Legacy,
    }
}

fn doubt(
    plan: &PairPlan,
    pair: &TablePair,
    written: Side,
    ties: [&[Tie]; 2],
    found: Option<Side>,
) -> Option<Doubt> {
    let names = |ties: &[Tie]| {
        let names = ties.iter().map(|tie| format!("`{}`", tie.trigger.name));
        names.collect::<Vec<_>>().join(", ")
    };
    let [table, follower] = [written, other(written)].map(|side| &plan.table(side).name);
    let back = ties[other(written) as usize];
    let back: Vec<Tie> = back.iter().filter(|tie| tie.trigger.is_enabled()).cloned().collect();
    if !back.is_empty() {
        let said = match pair.writes {
            Some(_) => "the side that is written to",
            None => "and `writes` does not say which side the application writes to",
        };
        return Some(Doubt::Other(format!(
            "trigger {} of {follower} carries what is written there back to {table}, {said}",
            names(&back)
        )));
    }
    if pair.is_declared() {
        return None;
    }
    let by_name =
        set_aside(&plan.table(Side::Legacy).name.name, &plan.table(Side::Partitioned).name.name);
    match (found, by_name) {
        (None, _) if ties.iter().all(|ties| ties.is_empty()) => Some(Doubt::Untied),
        (None, _) => Some(Doubt::Other(format!(
            "the triggers {} are all off: which side is written to is for the configuration to say (`writes`)",
            names(&ties.concat())
        ))),
        (Some(Side::Legacy), Some(part)) => Some(Doubt::Other(format!(
            "`{part}` in the name of {table} says that it was put aside, its trigger that it is written to: the \
             configuration has to say which side is (`writes`)"
        ))),
        _ => None,
    }
}
