//! The statements of the diff. Names come quoted, values as literals of ours.

use super::schema::{ComparedColumn, PairPlan, Side};
use crate::pg::catalog::Leaf;
use crate::pg::quote_ident;

/// A value as a literal.
fn literal(text: &str) -> String {
    // E'' so that a backslash means the same under every setting.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A column as it is hashed and compared: its wire image, or its text where the types differ.
fn image(column: &ComparedColumn, side: Side) -> String {
    let name = quote_ident(column.on(side));
    if column.as_text { format!("({name})::text") } else { name }
}

/// A column's text as bytes in UTF-8, which both sides order alike whatever their collations.
fn sortable(column: &ComparedColumn, side: Side) -> String {
    let name = quote_ident(column.on(side));
    format!("CASE WHEN num_nulls({name}) = 0 THEN convert_to(format('%s', {name}), 'UTF8') END")
}

/// `WHERE` with the orgs that are asked for; `None` for all of them.
///
/// A subquery rather than `= ANY (list)`: the planner would weigh a list of thousands element by
/// element, for every partition anew.
fn org_filter(plan: &PairPlan, side: Side, orgs: Option<&[String]>) -> String {
    let Some(orgs) = orgs else { return String::new() };
    let org = plan.org.on(side);
    let type_name = plan.table(side).column(org).map_or("text", |column| &column.bare_type);
    let quoted = |org: &String| format!("\"{}\"", org.replace('\\', "\\\\").replace('"', "\\\""));
    let list = orgs.iter().map(quoted).collect::<Vec<_>>().join(",");
    let list = literal(&format!("{{{list}}}"));
    format!(" WHERE {} IN (SELECT unnest({list}::{type_name}[]))", quote_ident(org))
}

/// True for a row that its leaf's bounds exclude.
///
/// Not `NOT (bounds)` in a WHERE clause: the planner takes the bounds as proven and finds nothing.
fn outside(leaf: &Leaf) -> Option<String> {
    let bounds = leaf.partition_constraint.as_ref()?;
    Some(format!("CASE WHEN {bounds} THEN false ELSE true END"))
}

/// The fields of a scanned row: whether it is misrouted (for a leaf with bounds), the org, then
/// everything that is compared, the key first.
fn scan_fields(plan: &PairPlan, side: Side, leaf: Option<&Leaf>) -> Vec<String> {
    let mut fields: Vec<String> = misrouted(plan, side, leaf).into_iter().collect();
    if plan.integer_org {
        fields.push(quote_ident(plan.org.on(side)));
    } else {
        fields.push(format!("({})::text", quote_ident(plan.org.on(side))));
    }
    let is_key = |column: &&ComparedColumn| plan.key.contains(*column);
    // The first field holds the org's own image already, unless it was printed as text.
    let columns = || plan.columns.iter().filter(|c| !(plan.integer_org && **c == plan.org));
    let others = columns().filter(|column| !is_key(column));
    fields.extend(columns().filter(is_key).chain(others).map(|column| image(column, side)));
    fields
}

/// Reads one leaf, or the whole side where `leaf` is `None`.
pub(super) fn scan(
    plan: &PairPlan,
    side: Side,
    leaf: Option<&Leaf>,
    orgs: Option<&[String]>,
) -> String {
    let from = match leaf {
        Some(leaf) => format!("ONLY {}", leaf.qualified()),
        None => plan.table(side).name.to_string(),
    };
    format!(
        "COPY (SELECT {} FROM {from}{}) TO STDOUT (FORMAT binary)",
        scan_fields(plan, side, leaf).join(", "),
        org_filter(plan, side, orgs)
    )
}

/// Reads rows of one side in the order of [`sort_columns`]: sort columns, org, leaf, whether
/// misrouted, then for each compared column its image and the beginning of its text.
pub(super) fn drill_down(
    plan: &PairPlan,
    side: Side,
    orgs: Option<&[String]>,
    cut: usize,
) -> String {
    let mut fields: Vec<String> =
        sort_columns(plan).iter().map(|column| sortable(column, side)).collect();
    let order: Vec<String> = (1..=fields.len()).map(|nth| format!("{nth} NULLS FIRST")).collect();
    let org = quote_ident(plan.org.on(side));
    fields.push(format!("({org})::text"));
    fields.push("tableoid::regclass::text".into());
    fields.push(misrouted(plan, side, None).unwrap_or("false".into()));
    for column in &plan.columns {
        fields.push(image(column, side));
        let name = quote_ident(column.on(side));
        fields.push(format!("left(format('%s', {name}), {})", cut + 1));
    }
    format!(
        "COPY (SELECT {} FROM {}{} ORDER BY {}) TO STDOUT (FORMAT binary)",
        fields.join(", "),
        plan.table(side).name,
        if orgs.is_some() {
            org_filter(plan, side, orgs)
        } else {
            format!(" WHERE num_nulls({org}) = 0")
        },
        order.join(", "),
    )
}

/// The columns by which both sides are walked together.
pub(super) fn sort_columns(plan: &PairPlan) -> Vec<ComparedColumn> {
    let org = plan.key_within_org.then(|| plan.org.clone());
    org.into_iter().chain(plan.key.iter().cloned()).collect()
}

/// Whether a row is misrouted; `None` where no leaf has bounds.
pub(super) fn misrouted(plan: &PairPlan, side: Side, leaf: Option<&Leaf>) -> Option<String> {
    if let Some(leaf) = leaf {
        return outside(leaf);
    }
    let leaves = plan.leaves(side).iter();
    let arms: Vec<String> = leaves
        .filter_map(|leaf| Some(format!("WHEN {} THEN {}", leaf.oid, outside(leaf)?)))
        .collect();
    let arms = (!arms.is_empty()).then(|| arms.join(" "))?;
    Some(format!("CASE tableoid::bigint {arms} ELSE false END"))
}

/// Rows of a relation.
pub(super) fn count(leaf: &Leaf) -> String {
    format!("SELECT count(*) FROM ONLY {}", leaf.qualified())
}

/// Days within the next 35, today included, that no partition other than DEFAULT takes.
///
/// `children` are the constraints of the direct partitions, written in terms of `column`.
pub(super) fn days_without_partition(column: &str, type_name: &str, children: &[String]) -> String {
    let bounds = if children.is_empty() { "false".into() } else { children.join(" OR ") };
    format!(
        "SELECT \"the day\"::text
           FROM (SELECT current_date + n AS \"the day\", (current_date + n)::{type_name} AS {column}
                   FROM generate_series(0, 35) AS n) AS days
          WHERE CASE WHEN {bounds} THEN false ELSE true END
          ORDER BY 1",
        column = quote_ident(column)
    )
}

/// The constraints of a table's direct partitions, DEFAULT left out.
pub(super) const DIRECT_PARTITIONS: &str = "
SELECT pg_get_partition_constraintdef(c.oid)
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = $1::bigint::oid AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'";

/// Whether `cutover seed` ever worked on this database.
pub(super) const HAS_SEED: &str = "
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'cutover_seed' AND c.relname = 'run')";
/// Whether it is at work, was interrupted, or lacks a shard.
pub(super) const SEED_UNFINISHED: &str =
    "SELECT EXISTS (SELECT FROM cutover_seed.run WHERE NOT finished)";

/// How far a column's sequence has come, and the largest value in use; no row where it is ahead.
pub(super) fn sequence_behind(table: &str, column: &str, sequence: &str) -> String {
    format!(
        "SELECT s.last_value::bigint, largest
           FROM {sequence} AS s,
                (SELECT max({column})::bigint AS largest FROM {table}) AS t
          WHERE largest > s.last_value",
        column = quote_ident(column)
    )
}
