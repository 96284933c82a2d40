//! The rows of diverging orgs, both sides in the order of their keys, read as one.
//!
//! On the snapshot the digests came from, so that nothing a writer does in between can look like a
//! difference; on a connection per side, or in one statement for both if connections do not
//! share a snapshot. Memory holds one key's rows, however many orgs diverge.

use std::collections::HashSet;

use bytes::Bytes;

use super::classify::{Row, SHOWN_CHARACTERS, classify};
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use super::sql;
use cutover_error::{Error, Result};
use cutover_evidence::class::RowClass;
use cutover_evidence::finding::Finding;
use cutover_ground::pg::{CopyConnection, CopyReader, Fields};

/// A difference, and whether it is this comparison's to report: of a row under the wrong org, each
/// shard that holds one of the two orgs learns, and the one with the right org reports.
pub(super) struct Difference {
    pub(super) finding: Finding,
    pub(super) ours: bool,
}

/// Compares the rows of `orgs` (all of them where `None`) and hands each difference to `tell`,
/// which says whether to go on. `readers` are connections that see one state of the database, and
/// which sides to read from each.
///
/// # Errors
/// A run error if the server fails; whatever `tell` returns.
pub(super) async fn drill_down(
    plan: &PairPlan,
    orgs: Option<&[String]>,
    rows: Rows<'_>,
    readers: &mut [(CopyConnection, &[Side])],
    mut tell: impl FnMut(Difference) -> Result<bool>,
) -> Result<()> {
    let what = format!("reading diverging orgs of {}", plan.name);
    let mut streams = Vec::new();
    for (connection, sides) in readers {
        let statement = sql::drill_down(plan, sides, orgs, rows, SHOWN_CHARACTERS);
        let reader = connection.copy(&statement, &what).await?;
        streams.push(Stream { what: &what, plan, reader, next: None });
    }
    for stream in &mut streams {
        stream.advance(&[]).await?;
    }
    loop {
        let keys = streams.iter().filter_map(|stream| Some(&stream.next.as_ref()?.1.sort));
        let Some(key) = keys.min().cloned() else { return Ok(()) };
        let mut group = Group::default();
        for stream in &mut streams {
            while let Some((told, row)) = stream.next.take_if(|(_, row)| row.sort == key) {
                group.push(told, row);
                stream.advance(&key).await?;
            }
        }
        for difference in group.differences(plan, rows) {
            if !tell(difference)? {
                return Ok(());
            }
        }
    }
}

/// The rows that one connection sends, in the order of their keys.
struct Stream<'c> {
    what: &'c str,
    plan: &'c PairPlan,
    reader: CopyReader<'c>,
    next: Option<(RowHead, Row)>,
}

impl Stream<'_> {
    /// Reads the row after the one of key `last`.
    async fn advance(&mut self, last: &[Option<Bytes>]) -> Result<()> {
        let broken = |why| Error::run(format!("{}: {why}", self.what), "");
        let Some(row) = self.reader.next_row().await? else { return Ok(()) };
        let next = read(self.plan, row).ok_or_else(|| broken("a row is not what was asked for"))?;
        if next.1.sort.as_slice() < last {
            return Err(broken("the server's order is not the order of bytes"));
        }
        self.next = Some(next);
        Ok(())
    }
}

/// The rows that share a key.
#[derive(Default)]
struct Group {
    legacy: Vec<Row>,
    twin: Vec<Row>,
    /// Whether one of them was changed since the time asked for.
    changed: bool,
    /// Which of their orgs are asked for.
    asked: HashSet<String>,
}

impl Group {
    fn push(&mut self, told: RowHead, row: Row) {
        self.changed |= told.changed;
        if told.asked {
            self.asked.insert(row.org.clone());
        }
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
            let holder_asked = finding.class == RowClass::WrongOrg.into() && asked(holder);
            let ours = asked(finding.org_id.as_ref()) || (holder_asked && rows.shard.is_none());
            (ours || holder_asked).then_some(Difference { finding, ours })
        };
        let findings = classify(plan, self.legacy, self.twin);
        findings.into_iter().filter_map(difference).collect()
    }
}

/// What a row says about itself besides its content.
struct RowHead {
    side: Side,
    /// Whether its org is asked for.
    asked: bool,
    /// Whether it was changed since the time asked for.
    changed: bool,
}

/// A row of [`sql::drill_down`].
fn read(plan: &PairPlan, row: &[u8]) -> Option<(RowHead, Row)> {
    let row = Bytes::copy_from_slice(row);
    let mut fields = Fields::of(&row);
    let own = |field: Option<&[u8]>| field.map(|bytes| row.slice_ref(bytes));
    let text = |field: Option<&[u8]>| field.map(|b| String::from_utf8_lossy(b).into_owned());
    let mut sort = Vec::new();
    for _ in 0..plan.identity().len() {
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
    Some((RowHead { side, asked, changed }, Row { sort, org, leaf, misrouted, values }))
}
