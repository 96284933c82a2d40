//! What one transaction did to both sides of one pair.

use std::collections::{BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use super::decode::Field;
use crate::schema::{PairPlan, Side};
use cutover_ground::pg::quote_ident;

/// Keys that a finding names.
const SHOWN_KEYS: usize = 3;

/// Hashes of the compared columns; `None` for a large value that was not touched.
type Image = Vec<Option<u64>>;

/// What a transaction did to one side.
#[derive(Debug, Default)]
struct Changes {
    /// The rows that it left behind, by key.
    written: HashMap<String, Image>,
    /// Keys that it took away.
    deleted: BTreeSet<String>,
    /// Rows inserted less rows deleted.
    growth: i64,
    /// Whether a row went of which the log keeps no key.
    nameless: bool,
    truncated: bool,
}

/// What a transaction did to both sides of a pair.
#[derive(Debug, Default)]
pub(super) struct PairChanges([Changes; 2]);

impl PairChanges {
    pub(super) fn truncate(&mut self, side: Side) {
        self.0[side as usize].truncated = true;
    }

    /// Takes one changed row, by which its table grew so much.
    pub(super) fn row(
        &mut self,
        plan: &PairPlan,
        side: Side,
        growth: i64,
        old: Option<&[Field<'_>]>,
        new: Option<&[Field<'_>]>,
    ) {
        let changes = &mut self.0[side as usize];
        changes.growth += growth;
        if let Some(old) = old {
            match key(plan, side, old) {
                Some(key) => {
                    changes.written.remove(&key);
                    changes.deleted.insert(key);
                }
                None => changes.nameless |= new.is_none(),
            }
        }
        let Some(new) = new else { return };
        let Some(key) = key(plan, side, new) else { return };
        let mut image: Image = Vec::with_capacity(plan.columns.len());
        for (at, column) in plan.columns.iter().enumerate() {
            let value = value(new, column.on(side));
            let before = changes.written.get(&key).and_then(|image| image[at]);
            image.push(match value {
                Some("unchanged-toast-datum") => before,
                value => Some(xxh3_64(value.unwrap_or("").as_bytes())),
            });
        }
        changes.deleted.remove(&key);
        changes.written.insert(key, image);
    }

    /// What the twin did not follow in; `None` if the two sides agree. `keeps_key` says whether
    /// the log names each legacy row that goes.
    pub(super) fn divergence(&self, plan: &PairPlan, keeps_key: bool) -> Option<String> {
        let [legacy, twin] = &self.0;
        let mut found = Vec::new();
        if legacy.truncated != twin.truncated {
            let side = if legacy.truncated { "legacy" } else { "the twin" };
            found.push(format!("only {side} was truncated"));
        }
        if legacy.growth != twin.growth && !legacy.truncated {
            found.push(format!(
                "legacy grew by {} rows, the twin by {}",
                legacy.growth, twin.growth
            ));
        }
        if !legacy.nameless && !twin.nameless {
            found.extend(written(plan, legacy, twin));
            if keeps_key {
                let gone = |one: &Changes, other: &Changes| -> Vec<String> {
                    one.deleted.difference(&other.deleted).cloned().collect()
                };
                found.extend(listed("deleted in legacy alone", &gone(legacy, twin)));
                found.extend(listed("deleted in the twin alone", &gone(twin, legacy)));
            }
        }
        (!found.is_empty()).then(|| found.join("; "))
    }
}

/// Rows that were written on one side only, or with other values.
fn written(plan: &PairPlan, legacy: &Changes, twin: &Changes) -> Vec<String> {
    let (mut missing, mut differing, mut columns) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (key, image) in &legacy.written {
        let Some(other) = twin.written.get(key) else {
            missing.push(key.clone());
            continue;
        };
        let differs = |at: &usize| image[*at].zip(other[*at]).is_some_and(|(a, b)| a != b);
        let found: Vec<usize> = (0..plan.columns.len()).filter(differs).collect();
        if !found.is_empty() {
            differing.push(key.clone());
            columns.extend(found.into_iter().map(|at| plan.columns[at].on(Side::Legacy)));
        }
    }
    let is_extra = |key: &&String| !legacy.written.contains_key(*key);
    let extra: Vec<String> = twin.written.keys().filter(is_extra).cloned().collect();
    let columns: Vec<&str> = columns.into_iter().collect();
    let differ = format!("written with another {}", columns.join(", "));
    [
        listed("written in legacy alone", &missing),
        listed("written in the twin alone", &extra),
        listed(&differ, &differing),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn listed(what: &str, keys: &[String]) -> Option<String> {
    let mut shown: Vec<&str> = keys.iter().map(String::as_str).collect();
    shown.sort_unstable();
    let more = if keys.len() > SHOWN_KEYS { ", …" } else { "" };
    shown.truncate(SHOWN_KEYS);
    (!keys.is_empty()).then(|| format!("{} {what} ({}{more})", keys.len(), shown.join(", ")))
}

/// The key in a row; `None` if the log does not hold all of it.
fn key(plan: &PairPlan, side: Side, fields: &[Field<'_>]) -> Option<String> {
    let values = plan.key.iter().map(|column| {
        let value = value(fields, column.on(side))?;
        Some(format!("{}={value}", column.on(Side::Legacy)))
    });
    values.collect::<Option<Vec<_>>>().map(|values| values.join(" "))
}

fn value<'l>(fields: &[Field<'l>], column: &str) -> Option<&'l str> {
    let is = |name: &str| name == column || name.starts_with('"') && name == quote_ident(column);
    fields.iter().find(|field| is(field.name)).map(|field| field.value)
}
