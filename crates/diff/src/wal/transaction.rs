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

/// Updates of one side that are kept with their values.
const KEPT_UPDATES: usize = 2_000;

/// What an update left of a row, as texts; `None` for NULL.
#[derive(Debug, Clone)]
pub(super) struct Update {
    pub(super) key: Vec<String>,
    /// By the compared column's number, large values that were not touched left out.
    pub(super) values: Vec<(usize, Option<String>)>,
}

impl Update {
    fn read(plan: &PairPlan, side: Side, fields: &[Field<'_>]) -> Option<Self> {
        let key = plan.key.iter().map(|column| text(value(fields, column.on(side))?));
        let values = plan.columns.iter().enumerate().filter_map(|(at, column)| {
            let value = value(fields, column.on(side))?;
            (value != UNTOUCHED).then(|| (at, text(value)))
        });
        Some(Self { key: key.collect::<Option<_>>()?, values: values.collect() })
    }
}

/// How the log says that a large value was not touched.
const UNTOUCHED: &str = "unchanged-toast-datum";

/// A value without the quotes that the log prints around it; `None` for NULL.
fn text(printed: &str) -> Option<String> {
    let quoted = printed.strip_prefix('B').unwrap_or(printed);
    match quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        Some(inner) => Some(inner.replace("''", "'")),
        None => (printed != "null").then(|| printed.to_owned()),
    }
}

/// What a transaction did to one side.
#[derive(Debug, Default)]
struct Changes {
    /// The rows that it left behind, by key.
    written: HashMap<String, Image>,
    /// Those of the rows that it only updated, as far as they are kept.
    updated: HashMap<String, Update>,
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
                    if new.is_none() {
                        changes.updated.remove(&key);
                    }
                    changes.written.remove(&key);
                    changes.deleted.insert(key);
                }
                None => changes.nameless |= new.is_none(),
            }
        }
        let Some(new) = new else { return };
        let Some(key) = key(plan, side, new) else { return };
        let only_updated = growth == 0
            && old.is_none_or(|_| changes.deleted.contains(&key))
            && (!changes.written.contains_key(&key) || changes.updated.contains_key(&key));
        let update = Update::read(plan, side, new);
        match update.filter(|_| only_updated && changes.updated.len() < KEPT_UPDATES) {
            Some(update) => drop(changes.updated.insert(key.clone(), update)),
            None => drop(changes.updated.remove(&key)),
        }
        let mut image: Image = Vec::with_capacity(plan.columns.len());
        for (at, column) in plan.columns.iter().enumerate() {
            let value = value(new, column.on(side));
            let before = changes.written.get(&key).and_then(|image| image[at]);
            image.push(match value {
                Some(UNTOUCHED) => before,
                value => Some(xxh3_64(value.unwrap_or("").as_bytes())),
            });
        }
        changes.deleted.remove(&key);
        changes.written.insert(key, image);
    }

    /// The updates of a side whose rows the other side's log says nothing of.
    pub(super) fn updated_alone(&self, side: Side) -> Vec<(String, Update)> {
        let [own, other] = [side as usize, 1 - side as usize].map(|side| &self.0[side]);
        let alone = own
            .updated
            .iter()
            .filter(|(key, _)| !other.written.contains_key(*key) && !other.deleted.contains(*key));
        alone.map(|(key, update)| (key.clone(), update.clone())).collect()
    }

    /// Forgets an update.
    pub(super) fn forget(&mut self, side: Side, key: &str) {
        self.0[side as usize].written.remove(key);
    }

    /// The keys that were written on both sides, and those that were written on one alone.
    pub(super) fn keys(&self) -> (Vec<&String>, Vec<&String>) {
        let [legacy, twin] = &self.0;
        let (both, alone): (Vec<_>, Vec<_>) =
            legacy.written.keys().partition(|key| twin.written.contains_key(*key));
        let extra = twin.written.keys().filter(|key| !legacy.written.contains_key(*key));
        (both, alone.into_iter().chain(extra).collect())
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
        // The log has texts, of which no server tells the value.
        let as_it_is = |at: &usize| plan.columns[*at].value(Side::Legacy).is_none();
        let all = (0..plan.columns.len()).filter(as_it_is);
        let found: Vec<usize> = all.filter(differs).collect();
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
