//! The rows of diverging orgs, both sides in the order of their keys, walked together.
//!
//! One statement per side, on the snapshot the digests came from, so that nothing a writer does in
//! between can look like a difference. Memory holds one key's rows, however many orgs diverge.

use bytes::Bytes;

use super::classify::{Row, SHOWN_CHARACTERS, classify};
use super::schema::{PairPlan, Side};
use super::sql;
use crate::error::{Error, Result};
use crate::evidence::finding::Finding;
use crate::pg::{CopyConnection, CopyReader, Fields, Snapshot};

/// Compares the rows of `orgs` (all of them where `None`) and hands each difference to `tell`.
///
/// # Errors
/// A run error where the server fails; whatever `tell` returns.
pub(super) async fn drill_down(
    plan: &PairPlan,
    orgs: Option<&[String]>,
    snapshot: &Snapshot,
    mut tell: impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    let (mut one, mut other) = tokio::try_join!(snapshot.reader(), snapshot.reader())?;
    let (legacy, twin) = tokio::try_join!(
        Walk::start(plan, Side::Legacy, orgs, &mut one),
        Walk::start(plan, Side::Partitioned, orgs, &mut other),
    )?;
    walk(plan, legacy, twin, &mut tell).await?;
    tokio::join!(one.close(), other.close());
    Ok(())
}

async fn walk(
    plan: &PairPlan,
    mut legacy: Walk<'_>,
    mut twin: Walk<'_>,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<()> {
    loop {
        let smallest = match (&legacy.ahead, &twin.ahead) {
            (None, None) => return Ok(()),
            (Some(row), None) | (None, Some(row)) => row.sort.clone(),
            (Some(row), Some(other)) => row.sort.clone().min(other.sort.clone()),
        };
        let (left, right) = tokio::try_join!(legacy.take(&smallest), twin.take(&smallest))?;
        for finding in classify(plan, left, right) {
            tell(finding)?;
        }
    }
}

/// One side, one row ahead.
struct Walk<'c> {
    reader: CopyReader<'c>,
    what: String,
    sort_columns: usize,
    columns: usize,
    ahead: Option<Row>,
}

impl<'c> Walk<'c> {
    async fn start(
        plan: &PairPlan,
        side: Side,
        orgs: Option<&[String]>,
        connection: &'c mut CopyConnection,
    ) -> Result<Self> {
        let statement = sql::drill_down(plan, side, orgs, SHOWN_CHARACTERS);
        let what = format!("reading diverging orgs of {}", plan.table(side).name);
        let reader = connection.copy(&statement, &what).await?;
        let sort_columns = plan.identity().len();
        let columns = plan.columns.len();
        let mut walk = Self { reader, what, sort_columns, columns, ahead: None };
        walk.step().await?;
        Ok(walk)
    }

    /// The rows with this key, none where the side has none.
    async fn take(&mut self, sort: &[Option<Bytes>]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while self.ahead.as_ref().is_some_and(|row| row.sort == sort) {
            rows.extend(self.step().await?);
        }
        Ok(rows)
    }

    /// Goes one row on and returns the one it stood before.
    async fn step(&mut self) -> Result<Option<Row>> {
        let next = match self.reader.next_row().await? {
            None => None,
            Some(row) => {
                let row = read(row, self.sort_columns, self.columns);
                Some(row.ok_or_else(|| {
                    Error::run(format!("{}: a row is not what was asked for", self.what), "")
                })?)
            }
        };
        if let (Some(before), Some(next)) = (&self.ahead, &next)
            && next.sort < before.sort
        {
            let what = format!("{}: the server's order is not the order of bytes", self.what);
            return Err(Error::run(what, ""));
        }
        Ok(std::mem::replace(&mut self.ahead, next))
    }
}

/// A row of [`sql::drill_down`].
fn read(row: &[u8], sort_columns: usize, columns: usize) -> Option<Row> {
    let row = Bytes::copy_from_slice(row);
    let mut fields = Fields::of(&row);
    let own = |field: Option<&[u8]>| field.map(|bytes| row.slice_ref(bytes));
    let text = |field: Option<&[u8]>| field.map(|b| String::from_utf8_lossy(b).into_owned());
    let mut sort = Vec::with_capacity(sort_columns);
    for _ in 0..sort_columns {
        sort.push(own(fields.next()?));
    }
    let org = text(fields.next()?).unwrap_or_default();
    let leaf = text(fields.next()?)?;
    let misrouted = fields.next()? == Some(&[1]);
    let mut values = Vec::with_capacity(columns);
    for _ in 0..columns {
        let image = own(fields.next()?);
        // The text of NULL prints as nothing; only the image tells NULL from an empty text.
        let text = text(fields.next()?).filter(|_| image.is_some());
        values.push((image, text));
    }
    Some(Row { sort, org, leaf, misrouted, values })
}
