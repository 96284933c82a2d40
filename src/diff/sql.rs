//! The statements of the diff. Names come quoted, values as literals of ours.

use super::schema::{ComparedColumn, PairPlan, Side};
use super::scope::{Rows, Shard};
use crate::pg::catalog::Leaf;
use crate::pg::quote_ident;

/// A value as a literal.
fn literal(text: &str) -> String {
    // E'' so that a backslash means the same under every setting.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A column as it is hashed and compared: its wire image, or its text where the types differ.
pub(super) fn image(column: &ComparedColumn, side: Side) -> String {
    let name = quote_ident(column.on(side));
    if column.as_text { format!("({name})::text") } else { name }
}

/// A column's text as bytes in UTF-8, which both sides order alike whatever their collations.
fn sortable(column: &ComparedColumn, side: Side) -> String {
    let name = quote_ident(column.on(side));
    format!("CASE WHEN num_nulls({name}) = 0 THEN convert_to(format('%s', {name}), 'UTF8') END")
}

/// The org as PostgreSQL prints it, compared by its bytes.
pub(super) fn org_text(plan: &PairPlan, side: Side) -> String {
    format!("({})::text COLLATE \"C\"", quote_ident(plan.org.on(side)))
}

/// Texts as the literal of an array, its type left out.
pub(super) fn text_array(texts: &[String]) -> String {
    let quoted = |text: &String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    literal(&format!("{{{}}}", texts.iter().map(quoted).collect::<Vec<_>>().join(",")))
}

/// `WHERE` with what is asked for and `conditions` of the caller's; empty for all rows.
pub(super) fn where_rows(
    plan: &PairPlan,
    side: Side,
    rows: Rows<'_>,
    mut conditions: Vec<String>,
) -> String {
    let org = quote_ident(plan.org.on(side));
    if let Some(orgs) = rows.orgs {
        // A subquery rather than `= ANY (list)`: the planner would weigh a list of thousands
        // element by element, for every partition anew.
        let type_name =
            plan.table(side).column(plan.org.on(side)).map_or("text", |column| &column.bare_type);
        let list = text_array(orgs);
        conditions.push(format!("{org} IN (SELECT unnest({list}::{type_name}[]))"));
    }
    if let Some(Shard { index, of }) = rows.shard {
        let number = if plan.integer_org {
            format!("{org}::bigint")
        } else {
            format!("hashtextextended({}, 0)", org_text(plan, side))
        };
        // Rows without org are the first shard's, so that one of them tells.
        conditions.push(format!("coalesce(abs(mod({number}, {of})), 0) = {}", index - 1));
    }
    conditions.extend(changed(plan, side, rows));
    if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    }
}

/// Whether a row was changed since the time asked for, as far as it says; `None` for all rows.
fn changed(plan: &PairPlan, side: Side, rows: Rows<'_>) -> Option<String> {
    let column = plan.changed_at.as_ref()?;
    let since = rows.since?.format("%Y-%m-%d %H:%M:%S%.6f+00");
    let name = quote_ident(column.on(side));
    let type_name = plan.table(side).column(column.on(side)).map(|c| c.bare_type.as_str())?;
    let later = format!("{name} >= '{since}'::{type_name}");
    // A row that does not say when it was changed may have been changed since.
    Some(if column.not_null { later } else { format!("({later} OR num_nulls({name}) > 0)") })
}

/// True for a row that its leaf's bounds exclude.
///
/// Not `NOT (bounds)` in a WHERE clause: the planner takes the bounds as proven and finds nothing.
fn outside(leaf: &Leaf) -> Option<String> {
    let bounds = leaf.partition_constraint.as_ref()?;
    Some(format!("CASE WHEN {bounds} THEN false ELSE true END"))
}

/// Reads the rows of both sides in the order of [`sort_columns`]: sort columns, whether it is the
/// twin's, whether its org is asked for, org, leaf, whether misrouted, whether changed since the
/// time asked for, then for each compared column its image and the beginning of its text.
///
/// One statement for both sides sees one state of the database wherever the tables are. Where only
/// some orgs are asked for, rows with the keys of theirs come too, whatever their org: only so is a
/// row under the wrong org told from one that is missing.
pub(super) fn drill_down(
    plan: &PairPlan,
    orgs: Option<&[String]>,
    rows: Rows<'_>,
    cut: usize,
) -> String {
    // A row's counterpart matters even where it was not changed itself.
    let selected = Rows { orgs: orgs.or(rows.orgs), since: None, ..rows };
    let filters = Side::BOTH.map(|side| {
        let org = quote_ident(plan.org.on(side));
        where_rows(plan, side, selected, vec![format!("num_nulls({org}) = 0")])
    });
    let mut parts = Vec::new();
    for (side, filter) in Side::BOTH.into_iter().zip(&filters) {
        let fields = |asked| drill_down_fields(plan, side, rows, asked, cut).join(", ");
        let table = &plan.table(side).name;
        parts.push(format!("SELECT {} FROM {table}{filter}", fields(true)));
        if rows.is_part() && !plan.key_within_org {
            let key = |side| {
                let images: Vec<String> = plan.key.iter().map(|k| image(k, side)).collect();
                images.join(", ")
            };
            let keys = Side::BOTH.map(|side| {
                let filter = &filters[side as usize];
                format!("SELECT {} FROM {}{filter}", key(side), plan.table(side).name)
            });
            parts.push(format!(
                "SELECT {} FROM {table} WHERE num_nulls({}) = 0 AND ({}) IN ({}) AND NOT ({})",
                fields(false),
                quote_ident(plan.org.on(side)),
                key(side),
                keys.join(" UNION ALL "),
                filter.trim_start_matches(" WHERE ")
            ));
        }
    }
    let order: Vec<String> =
        (1..=sort_columns(plan).len()).map(|nth| format!("{nth} NULLS FIRST")).collect();
    let order = order.join(", ");
    format!("COPY ({} ORDER BY {order}) TO STDOUT (FORMAT binary)", parts.join(" UNION ALL "))
}

fn drill_down_fields(
    plan: &PairPlan,
    side: Side,
    rows: Rows<'_>,
    asked: bool,
    cut: usize,
) -> Vec<String> {
    let mut fields: Vec<String> =
        sort_columns(plan).iter().map(|column| sortable(column, side)).collect();
    fields.push((side == Side::Partitioned).to_string());
    fields.push(asked.to_string());
    fields.push(format!("({})::text", quote_ident(plan.org.on(side))));
    fields.push("tableoid::regclass::text".into());
    fields.push(misrouted(plan, side, None).unwrap_or("false".into()));
    fields.push(changed(plan, side, rows).unwrap_or("true".into()));
    for column in &plan.columns {
        fields.push(image(column, side));
        let name = quote_ident(column.on(side));
        fields.push(format!("left(format('%s', {name}), {})", cut + 1));
    }
    fields
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
