//! What is written to while the triggers are tried, and what has to follow.

use crate::direction::other;
use crate::firing::Part;
use crate::schema::{ComparedColumn, PairPlan, Side};
use cutover_ground::pg::QualifiedName;
use cutover_ground::pg::catalog::Column;

/// A pair, the side of it that the application writes to, and the rows there that are tried.
pub(super) struct Target<'p> {
    pub(super) plan: &'p PairPlan,
    pub(super) side: Side,
    pub(super) part: &'p Part,
    /// The role that the application has.
    pub(super) role: Option<&'p str>,
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

    /// The columns that tell rows of the table apart.
    pub(super) fn identity(&self) -> Vec<String> {
        self.plan.identity().iter().map(|column| column.on(self.side).to_owned()).collect()
    }

    /// Whether a unique index begins with a column.
    pub(super) fn leads_unique(&self, name: &str) -> bool {
        let mut indexes = self.plan.indexes(self.side).iter();
        indexes.any(|i| i.direct && i.is_unique && i.columns.first().is_some_and(|c| c == name))
    }

    /// The columns of a unique index by which an INSERT sees that the row is there.
    pub(super) fn arbiter(&self) -> Option<&[String]> {
        let identity = self.identity();
        let mut indexes = self.plan.indexes(self.side).iter();
        let found = indexes.find(|index| {
            let usable =
                index.direct && index.is_unique && index.valid && !index.columns.is_empty();
            usable && index.columns.iter().all(|name| identity.contains(name))
        });
        found.map(|index| index.columns.as_slice())
    }

    /// Whether the table itself is divided by a column.
    pub(super) fn divides(&self, column: &Column) -> bool {
        self.plan.table(self.side).partition_columns.contains(&column.name)
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
