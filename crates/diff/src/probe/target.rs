//! What is written to while the triggers are tried, and what has to follow.

use crate::direction::other;
use crate::schema::{ComparedColumn, PairPlan, Side};
use cutover_ground::pg::QualifiedName;
use cutover_ground::pg::catalog::Column;

/// A pair, and the side of it that the application writes to.
pub(super) struct Target<'p> {
    pub(super) plan: &'p PairPlan,
    pub(super) side: Side,
}

impl Target<'_> {
    /// The table that is written to.
    pub(super) fn table(&self) -> &QualifiedName {
        &self.plan.table(self.side).name
    }

    /// The side that has to follow.
    pub(super) fn other(&self) -> Side {
        other(self.side)
    }

    /// Its table.
    pub(super) fn follower(&self) -> &QualifiedName {
        &self.plan.table(self.other()).name
    }

    /// What is compared of a column of the table that is written to.
    pub(super) fn compared(&self, column: &Column) -> Option<&ComparedColumn> {
        self.plan.columns.iter().find(|compared| compared.on(self.side) == column.name)
    }

    /// What reports call a column: its legacy name.
    pub(super) fn label(&self, column: &Column) -> String {
        self.compared(column).map_or(&*column.name, |compared| compared.on(Side::Legacy)).to_owned()
    }

    /// Whether a column picks the partition of the side that has to follow.
    pub(super) fn picks(&self, column: &Column) -> bool {
        let picking = self.plan.partition_column().filter(|_| self.side == Side::Legacy);
        picking.is_some_and(|picking| picking.on(Side::Legacy) == column.name)
    }
}
