//! The rows of a chunk, added to the digests.

use super::Job;
use super::chunks::{Chunk, Content, Route};
use super::digest::{Digests, OrgDigest, OrgKey, Secret, Totals};
use crate::schema::Side;
use cutover_error::{Error, Result};
use cutover_ground::pg::Fields;

/// Knows what a row means.
pub(super) struct Decoder {
    pub(super) secret: Secret,
    /// Which field, counted from 0, holds the org.
    org_at: usize,
    /// Which fields hold key columns that may be NULL.
    nullable_key_at: Vec<usize>,
}

impl Decoder {
    pub(super) fn of(job: &Job<'_>) -> Self {
        let plan = job.plan;
        let nullable =
            plan.key.iter().filter(|column| !column.not_null && Some(*column) != plan.org.column());
        Self {
            secret: job.secret.clone(),
            org_at: plan.org.column().filter(|_| plan.integer_org).map_or(0, |org| plan.field(org)),
            nullable_key_at: nullable.map(|column| plan.field(column)).collect(),
        }
    }

    /// Adds what one row of a chunk says; returns the table rows that it stands for.
    ///
    /// # Errors
    /// A run error if it is not what the statement asked for.
    pub(super) fn add<K: OrgKey>(
        &self,
        chunk: &Chunk,
        row: &[u8],
        digests: &mut Digests<K>,
    ) -> Result<u64> {
        let added = match chunk.content {
            Content::Rows { side, route } => self.add_row(side, route, row, digests),
            Content::Orgs => add_orgs(row, digests),
            Content::Sums(side) => add_sums(side, row, digests),
        };
        let what = "a row is not what was asked for, or the bytes of its org are no UTF-8";
        added.ok_or_else(|| {
            Error::run(format!("{}: {what}", chunk.what), "name another column as the pair's org")
        })
    }

    /// A row of [`super::sql::rows`].
    fn add_row<K: OrgKey>(
        &self,
        side: Side,
        route: Route,
        row: &[u8],
        digests: &mut Digests<K>,
    ) -> Option<u64> {
        let mut fields = Fields::of(row);
        let flagged = route == Route::Flagged && fields.next()? == Some(&[1]);
        let misrouted = match route {
            Route::Within(at, range) => {
                let mut fields = fields;
                range.excludes(fields.nth(at)?)?
            }
            Route::Free | Route::Flagged => flagged,
        };
        let hash = self.secret.hash(fields.rest());
        digests.totals.rows[side as usize] += 1;
        let is_null = |at: &usize| {
            let mut fields = fields;
            fields.nth(*at) == Some(None)
        };
        let key_null = self.nullable_key_at.iter().any(is_null);
        let org = K::read(fields.nth(self.org_at)??)?;
        digests.totals.null_keys[side as usize] += u64::from(key_null);
        if misrouted {
            digests.add_misrouted(&org);
        }
        digests.add_row(side, org, hash);
        Some(1)
    }
}

/// A row of [`super::sql::sums`].
fn add_sums<K: OrgKey>(side: Side, row: &[u8], digests: &mut Digests<K>) -> Option<u64> {
    let mut fields = Fields::of(row);
    let text = |field: Option<&'_ [u8]>| Some(std::str::from_utf8(field?).ok()?.to_owned());
    let org = text(fields.next()?);
    let mut number = || Some(u64::from_be_bytes(fields.next()??.try_into().ok()?));
    let (rows, null_keys) = (number()?, number()?);
    let misrouted = fields.next()?? == [1];
    let mut sum = || text(fields.next()?)?.parse::<i128>().ok();
    let [one, two] = [sum()?, sum()?];
    digests.totals.rows[side as usize] += rows;
    let org = K::parse(&org?)?;
    digests.totals.null_keys[side as usize] += null_keys;
    if misrouted {
        digests.add_misrouted(&org);
    }
    // The twin's hashes come as `~h`, which is `-h - 1`.
    let more = if side == Side::Partitioned { i128::from(rows) } else { 0 };
    let difference = ((one + more) as u128).wrapping_add(((two + more) as u128) << 64);
    let mut by_side = [0; 2];
    by_side[side as usize] = u32::try_from(rows).ok()?;
    digests.add(org, OrgDigest::new(difference, by_side));
    Some(rows)
}

/// A row of [`super::sql::orgs`].
fn add_orgs<K: OrgKey>(row: &[u8], digests: &mut Digests<K>) -> Option<u64> {
    let mut fields = Fields::of(row);
    let kind = i32::from_be_bytes(fields.next()??.try_into().ok()?);
    let org = fields.next()?;
    let mut number = || Some(u64::from_be_bytes(fields.next()??.try_into().ok()?)) as Option<u64>;
    let orgs = number()?;
    let rows = [number()?, number()?];
    let null_keys = [number()?, number()?];
    let [misrouted, differs] = [fields.next()?? == [1], fields.next()?? == [1]];
    let mut totals = Totals { rows, null_keys, unlisted_orgs: 0 };
    match kind {
        0 => totals.unlisted_orgs = orgs,
        _ => {
            let org = K::parse(std::str::from_utf8(org?).ok()?)?;
            if misrouted {
                digests.add_misrouted(&org);
            }
            let rows = [u32::try_from(rows[0]).ok()?, u32::try_from(rows[1]).ok()?];
            // The server has compared the sums; which they were no longer matters.
            digests.add(org, OrgDigest::new(differs.into(), rows));
        }
    }
    digests.totals.add(&totals);
    Some(rows[0] + rows[1])
}
