//! The rows of diverging orgs, both sides in the order of their keys, read as one.
//!
//! One statement for both sides, on the snapshot the digests came from, so that nothing a writer
//! does in between can look like a difference. Memory holds one key's rows, however many orgs
//! diverge.

use std::collections::HashSet;

use bytes::Bytes;

use super::classify::{Row, SHOWN_CHARACTERS, classify};
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use super::sql;
use crate::error::{Error, Result};
use crate::evidence::finding::Finding;
use crate::pg::{CopyConnection, Fields};

/// A difference, and whether it is this comparison's to report: of a row under the wrong org, each
/// shard that holds one of the two orgs learns, and the one with the right org reports.
pub(super) struct Difference {
    pub(super) finding: Finding,
    pub(super) ours: bool,
}

/// Compares the rows of `orgs` (all of them where `None`) and hands each difference to `tell`,
/// which says whether to go on.
///
/// # Errors
/// A run error where the server fails; whatever `tell` returns.
pub(super) async fn drill_down(
    plan: &PairPlan,
    orgs: Option<&[String]>,
    rows: Rows<'_>,
    connection: &mut CopyConnection,
    mut tell: impl FnMut(Difference) -> Result<bool>,
) -> Result<()> {
    let statement = sql::drill_down(plan, orgs, rows, SHOWN_CHARACTERS);
    let what = format!("reading diverging orgs of {}", plan.name);
    let mut reader = connection.copy(&statement, &what).await?;
    let sort_columns = plan.identity().len();
    let mut group = Group::default();
    loop {
        let next = match reader.next_row().await? {
            Some(row) => Some(read(plan, sort_columns, row).ok_or_else(|| {
                Error::run(format!("{what}: a row is not what was asked for"), "")
            })?),
            None => None,
        };
        if let Some((_, row)) = &next
            && row.sort < group.sort
        {
            let text = format!("{what}: the server's order is not the order of bytes");
            return Err(Error::run(text, ""));
        }
        if next.as_ref().is_none_or(|(_, row)| row.sort != group.sort) {
            for difference in std::mem::take(&mut group).differences(plan, rows) {
                if !tell(difference)? {
                    return Ok(());
                }
            }
        }
        match next {
            Some((told, row)) => group.push(told, row),
            None => return Ok(()),
        }
    }
}

/// The rows that share a key.
#[derive(Default)]
struct Group {
    sort: Vec<Option<Bytes>>,
    legacy: Vec<Row>,
    twin: Vec<Row>,
    /// Whether one of them was changed since the time asked for.
    changed: bool,
    /// Which of their orgs are asked for.
    asked: HashSet<String>,
}

impl Group {
    fn push(&mut self, told: Told, row: Row) {
        self.changed |= told.changed;
        if told.asked {
            self.asked.insert(row.org.clone());
        }
        self.sort.clone_from(&row.sort);
        match told.side {
            Side::Legacy => self.legacy.push(row),
            Side::Partitioned => self.twin.push(row),
        }
    }

    fn differences(self, plan: &PairPlan, rows: Rows<'_>) -> Vec<Difference> {
        if !self.changed {
            return Vec::new();
        }
        let asked = |org: Option<&String>| org.is_some_and(|org| self.asked.contains(org));
        let org_column = plan.org.on(Side::Legacy);
        let difference = |finding: Finding| {
            let holder = finding.partitioned.as_ref().and_then(|row| row.get(org_column)?.as_ref());
            let holder_asked = finding.class == "wrong_org" && asked(holder);
            let ours = asked(finding.org_id.as_ref()) || (holder_asked && rows.shard.is_none());
            (ours || holder_asked).then_some(Difference { finding, ours })
        };
        let findings = classify(plan, self.legacy, self.twin);
        findings.into_iter().filter_map(difference).collect()
    }
}

/// What a row says about itself besides its content.
struct Told {
    side: Side,
    /// Whether its org is asked for.
    asked: bool,
    /// Whether it was changed since the time asked for.
    changed: bool,
}

/// A row of [`sql::drill_down`].
fn read(plan: &PairPlan, sort_columns: usize, row: &[u8]) -> Option<(Told, Row)> {
    let row = Bytes::copy_from_slice(row);
    let mut fields = Fields::of(&row);
    let own = |field: Option<&[u8]>| field.map(|bytes| row.slice_ref(bytes));
    let text = |field: Option<&[u8]>| field.map(|b| String::from_utf8_lossy(b).into_owned());
    let mut sort = Vec::new();
    for _ in 0..sort_columns {
        sort.push(own(fields.next()?));
    }
    let is_twin = fields.next()? == Some(&[1]);
    let side = if is_twin { Side::Partitioned } else { Side::Legacy };
    let asked = fields.next()? == Some(&[1]);
    let org = text(fields.next()?).unwrap_or_default();
    let leaf = text(fields.next()?)?;
    let misrouted = fields.next()? == Some(&[1]);
    let changed = fields.next()? == Some(&[1]);
    let mut values = Vec::with_capacity(plan.columns.len());
    for _ in &plan.columns {
        let image = own(fields.next()?);
        // The text of NULL prints as nothing; only the image tells NULL from an empty text.
        let text = text(fields.next()?).filter(|_| image.is_some());
        values.push((image, text));
    }
    Some((Told { side, asked, changed }, Row { sort, org, leaf, misrouted, values }))
}
