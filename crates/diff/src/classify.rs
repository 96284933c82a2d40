//! Rows that share a key, side by side: which difference is it?
//!
//! Pure. Within an org, rows with equal images pair off first; what is left of both sides is a
//! mismatch; a row of the twin that is left although legacy has the key is a duplicate. What is
//! then left under one org in legacy and under another in the twin stands under the wrong org, and
//! the remainder is missing or extra.

use std::collections::BTreeMap;

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
    fn same_image(&self, other: &Self) -> bool {
        self.values.iter().zip(&other.values).all(|(a, b)| a.0 == b.0)
    }
}

/// The findings of rows that share a key.
pub(super) fn classify(plan: &PairPlan, legacy: Vec<Row>, twin: Vec<Row>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        twin.iter().filter(|row| row.misrouted).map(|row| misrouted(plan, row)).collect();
    let mut groups: BTreeMap<String, [Vec<Row>; 2]> = BTreeMap::new();
    for (side, rows) in [legacy, twin].into_iter().enumerate() {
        for row in rows {
            groups.entry(row.org.clone()).or_default()[side].push(row);
        }
    }
    let mut unmatched = [Vec::new(), Vec::new()];
    for [legacy, twin] in groups.into_values() {
        within_org(plan, legacy, twin, &mut findings, &mut unmatched);
    }
    let [legacy, twin] = unmatched;
    let mut twin = twin.into_iter();
    for row in legacy {
        findings.push(match twin.next() {
            Some(other) => different(plan, RowClass::WrongOrg, &row, &other),
            None => one_sided(plan, RowClass::Missing, Side::Legacy, &row),
        });
    }
    findings.extend(twin.map(|row| one_sided(plan, RowClass::Extra, Side::Partitioned, &row)));
    findings
}

fn within_org(
    plan: &PairPlan,
    mut legacy: Vec<Row>,
    mut twin: Vec<Row>,
    findings: &mut Vec<Finding>,
    unmatched: &mut [Vec<Row>; 2],
) {
    let known_to_legacy = !legacy.is_empty();
    legacy.retain(|row| {
        let equal = twin.iter().position(|other| row.same_image(other));
        equal.map(|at| twin.remove(at)).is_none()
    });
    let pairs = legacy.len().min(twin.len());
    let (rest_of_legacy, rest_of_twin) = (legacy.split_off(pairs), twin.split_off(pairs));
    for (row, other) in legacy.iter().zip(&twin) {
        findings.push(different(plan, RowClass::Mismatched, row, other));
    }
    unmatched[0].extend(rest_of_legacy);
    if known_to_legacy {
        let surplus = rest_of_twin.iter();
        findings
            .extend(surplus.map(|r| one_sided(plan, RowClass::Duplicate, Side::Partitioned, r)));
    } else {
        unmatched[1].extend(rest_of_twin);
    }
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
