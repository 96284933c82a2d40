//! Rows that share a key, side by side: which difference is it?
//!
//! Pure. Within an org, rows with equal images pair off first; what is left of both sides is a
//! mismatch; a row of the twin that is left although legacy has the key is a duplicate. What is
//! then left under one org in legacy and under another in the twin stands under the wrong org, and
//! the remainder is missing or extra.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::schema::{ComparedColumn, PairPlan, Side};
use cutover_evidence::class::RowClass;
use cutover_evidence::finding::Finding;

/// Characters of a value that a finding shows.
pub(super) const SHOWN_CHARACTERS: usize = 200;

/// A row as the drill-down reads it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What both sides are ordered by.
    pub(super) sort: Vec<Option<Bytes>>,
    pub(super) org: String,
    pub(super) leaf: String,
    pub(super) misrouted: bool,
    /// For each compared column its image and the beginning of its text.
    pub(super) values: Vec<(Option<Bytes>, Option<String>)>,
}

impl Row {
    fn image(&self) -> Vec<Option<&[u8]>> {
        self.values.iter().map(|(image, _)| image.as_deref()).collect()
    }
}

/// What is wrong with rows that share a key; the findings are made as they are taken, because there may be many.
pub(super) fn classify(
    plan: &PairPlan,
    legacy: Vec<Row>,
    twin: Vec<Row>,
) -> impl Iterator<Item = Finding> {
    let astray = twin.iter().filter(|row| row.misrouted);
    let mut wrong: Vec<Wrong> = astray.cloned().map(Wrong::Misrouted).collect();
    let mut groups: BTreeMap<String, [Vec<Row>; 2]> = BTreeMap::new();
    for (side, rows) in [legacy, twin].into_iter().enumerate() {
        for row in rows {
            groups.entry(row.org.clone()).or_default()[side].push(row);
        }
    }
    let mut unmatched = [Vec::new(), Vec::new()];
    for sides in groups.into_values() {
        within_org(sides, &mut wrong, &mut unmatched);
    }
    let [legacy, twin] = unmatched;
    let mut twin = twin.into_iter();
    for row in legacy {
        wrong.push(match twin.next() {
            Some(other) => Wrong::Differs(RowClass::WrongOrg, row, other),
            None => Wrong::Alone(RowClass::Missing, Side::Legacy, row),
        });
    }
    wrong.extend(twin.map(|row| Wrong::Alone(RowClass::Extra, Side::Partitioned, row)));
    wrong.into_iter().map(move |wrong| wrong.finding(plan))
}

/// What is wrong with a row, or with two.
enum Wrong {
    Misrouted(Row),
    Differs(RowClass, Row, Row),
    Alone(RowClass, Side, Row),
}

impl Wrong {
    fn finding(self, plan: &PairPlan) -> Finding {
        match self {
            Self::Misrouted(row) => misrouted(plan, &row),
            Self::Differs(class, row, other) => different(plan, class, &row, &other),
            Self::Alone(class, side, row) => one_sided(plan, class, side, &row),
        }
    }
}

fn within_org(sides: [Vec<Row>; 2], wrong: &mut Vec<Wrong>, unmatched: &mut [Vec<Row>; 2]) {
    let known_to_legacy = !sides[0].is_empty();
    let [mut legacy, mut twin] = unequal(sides);
    let pairs = legacy.len().min(twin.len());
    let (rest_of_legacy, rest_of_twin) = (legacy.split_off(pairs), twin.split_off(pairs));
    let differing = legacy.into_iter().zip(twin);
    wrong.extend(differing.map(|(row, other)| Wrong::Differs(RowClass::Mismatched, row, other)));
    unmatched[0].extend(rest_of_legacy);
    if known_to_legacy {
        let surplus = rest_of_twin.into_iter();
        wrong.extend(surplus.map(|r| Wrong::Alone(RowClass::Duplicate, Side::Partitioned, r)));
    } else {
        unmatched[1].extend(rest_of_twin);
    }
}

/// What is left of both sides when rows with equal images have gone, one for one, in their order.
fn unequal(sides: [Vec<Row>; 2]) -> [Vec<Row>; 2] {
    let mut counts = HashMap::<Vec<Option<&[u8]>>, [usize; 2]>::new();
    for (side, rows) in sides.iter().enumerate() {
        for row in rows {
            counts.entry(row.image()).or_default()[side] += 1;
        }
    }
    for [legacy, twin] in counts.values_mut() {
        let pairs = (*legacy).min(*twin);
        (*legacy, *twin) = (pairs, pairs);
    }
    let mut kept = [Vec::new(), Vec::new()];
    for (side, rows) in sides.iter().enumerate() {
        for row in rows {
            let paired = counts.get_mut(&row.image()).map(|counts| &mut counts[side]);
            let goes = paired.filter(|left| **left > 0).map(|left| *left -= 1);
            kept[side].push(goes.is_none());
        }
    }
    drop(counts);
    let mut kept = kept.into_iter();
    sides.map(|rows| {
        let kept = kept.next().unwrap_or_default();
        rows.into_iter().zip(kept).filter_map(|(row, kept)| kept.then_some(row)).collect()
    })
}

fn one_sided(plan: &PairPlan, class: RowClass, side: Side, row: &Row) -> Finding {
    let values = Some(texts(plan, |at| Some(shown(plan, at, row, None))));
    let (legacy, partitioned) = match side {
        Side::Legacy => (values, None),
        Side::Partitioned => (None, values),
    };
    let partition = (side == Side::Partitioned).then(|| row.leaf.clone());
    Finding { legacy, partitioned, partition, ..about(plan, class, row) }
}

fn different(plan: &PairPlan, class: RowClass, row: &Row, other: &Row) -> Finding {
    let differs = |at: usize| row.values[at].0 != other.values[at].0;
    let columns = plan.columns.iter().enumerate().filter(|(at, _)| differs(*at));
    let shown = |row: &Row, other: &Row| {
        texts(plan, |at| differs(at).then(|| shown(plan, at, row, Some(other))))
    };
    Finding {
        columns: columns.map(|(_, column)| column.on(Side::Legacy).to_owned()).collect(),
        legacy: Some(shown(row, other)),
        partitioned: Some(shown(other, row)),
        partition: Some(other.leaf.clone()),
        ..about(plan, class, row)
    }
}

fn misrouted(plan: &PairPlan, row: &Row) -> Finding {
    let detail = "the partition's bounds exclude this row: queries that prune do not find it; \
                  move it to its partition";
    Finding {
        partition: Some(row.leaf.clone()),
        detail: Some(detail.into()),
        ..about(plan, RowClass::Misrouted, row)
    }
}

fn about(plan: &PairPlan, class: RowClass, row: &Row) -> Finding {
    let is_key = |at: usize| plan.key.contains(&plan.columns[at]);
    Finding {
        org_id: Some(row.org.clone()),
        key: texts(plan, |at| is_key(at).then(|| shown(plan, at, row, None))),
        ..Finding::new(&plan.name, class)
    }
}

/// What is shown of each column for which `value` gives something, by the columns' legacy names.
fn texts(
    plan: &PairPlan,
    value: impl Fn(usize) -> Option<Option<String>>,
) -> BTreeMap<String, Option<String>> {
    let named = |(at, column): (usize, &ComparedColumn)| {
        Some((column.on(Side::Legacy).to_owned(), value(at)?))
    };
    plan.columns.iter().enumerate().filter_map(named).collect()
}

/// A value as a finding shows it, `other` being what it differs from: cut where it is long, and of
/// a secret no more than whether the lengths differ.
fn shown(plan: &PairPlan, at: usize, row: &Row, other: Option<&Row>) -> Option<String> {
    let (image, text) = &row.values[at];
    let text = text.as_ref()?;
    if plan.is_secret(&plan.columns[at]) {
        let length = |image: &Option<Bytes>| image.as_ref().map(Bytes::len);
        let told = match other.map(|other| &other.values[at].0) {
            None | Some(None) => "***",
            Some(differing) if length(differing) == length(image) => "*** (differs, same length)",
            Some(_) => "*** (differs in length)",
        };
        return Some(told.into());
    }
    let end = text.char_indices().nth(SHOWN_CHARACTERS).map(|(at, _)| at);
    Some(end.map_or_else(|| text.clone(), |end| format!("{}…", &text[..end])))
}
