//! The statements of the diff. Names come quoted, values as literals of ours.

use super::schema::{ComparedColumn, PairPlan, Side};
use super::scope::Rows;
use cutover_evidence::shard::Shard;
use cutover_ground::pg::catalog::Leaf;
use cutover_ground::pg::{Bound, quote_ident};

/// A value as a literal.
pub(super) fn literal(text: &str) -> String {
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
    sortable_of(&quote_ident(column.on(side)))
}

/// The text of an expression as bytes in UTF-8; NULL for NULL.
pub(super) fn sortable_of(expression: &str) -> String {
    format!(
        "CASE WHEN num_nulls({expression}) = 0 \
         THEN convert_to(format('%s', {expression}), 'UTF8') END"
    )
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
pub(super) fn outside(leaf: &Leaf) -> Option<String> {
    let bounds = leaf.partition_constraint.as_ref()?;
    Some(format!("CASE WHEN {bounds} THEN false ELSE true END"))
}

/// Reads the rows of `sides` in the order of [`PairPlan::identity`]: sort columns, whether it is the
/// twin's, whether its org is asked for, org, leaf, whether misrouted, whether changed since the
/// time asked for, then for each compared column its image and the beginning of its text.
///
/// A statement for both sides sees one state of the database wherever the tables are. Where only
/// some orgs are asked for, rows with the keys of theirs come too, whatever their org: only so is a
/// row under the wrong org told from one that is missing.
pub(super) fn drill_down(
    plan: &PairPlan,
    sides: &[Side],
    orgs: Option<&[String]>,
    rows: Rows<'_>,
    cut: usize,
) -> String {
    // A row's counterpart matters even if it was not changed itself.
    let selected = Rows { orgs: orgs.or(rows.orgs), since: None, ..rows };
    let filters = Side::BOTH.map(|side| {
        let org = quote_ident(plan.org.on(side));
        where_rows(plan, side, selected, vec![format!("num_nulls({org}) = 0")])
    });
    let mut parts = Vec::new();
    for &side in sides {
        let filter = &filters[side as usize];
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
        (1..=plan.identity().len()).map(|nth| format!("{nth} NULLS FIRST")).collect();
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
        plan.identity().iter().map(|column| sortable(column, side)).collect();
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

/// Whether a row is misrouted; `None` if no leaf has bounds.
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

/// The plan of a question, as JSON; it is not run.
pub(super) fn plan_of(question: &str) -> String {
    format!("EXPLAIN (FORMAT JSON, VERBOSE) {question}")
}

/// A question for the rows that fulfil a condition.
pub(super) fn rows_that(table: &str, condition: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {condition}")
}

/// A row without NULL in these columns, which come as an array of texts.
pub(super) fn sample_row(table: &str, columns: &[String], condition: Option<&str>) -> String {
    let texts = columns.iter().map(|name| format!("({name})::text")).collect::<Vec<_>>();
    let known = columns.iter().map(|name| format!("{name} IS NOT NULL"));
    let conditions: Vec<String> = condition.map(str::to_owned).into_iter().chain(known).collect();
    let conditions = match conditions.is_empty() {
        true => "true".to_owned(),
        false => conditions.join(" AND "),
    };
    format!("SELECT ARRAY[{}]::text[] FROM {table} WHERE {conditions} LIMIT 1", texts.join(", "))
}

/// If a transaction goes on after a statement that may be refused.
pub(super) const MARK: &str = "SAVEPOINT cutover_mark";
pub(super) const BACK_TO_MARK: &str = "ROLLBACK TO SAVEPOINT cutover_mark";

/// Rows of a relation.
pub(super) fn count(leaf: &Leaf) -> String {
    format!("SELECT count(*) FROM ONLY {}", leaf.qualified())
}

/// Days within the next 35, today included, that none of the ranges `children` takes; of those that
/// all of `reached` take.
pub(super) fn days_without_partition(
    type_name: &str,
    children: &[Bound],
    reached: &[Bound],
) -> String {
    let within = |bound: &Bound| {
        let (from, to) = range(bound)?;
        Some(format!(
            "(coalesce(day >= ({from})::{type_name}, true) AND coalesce(day < ({to})::{type_name}, true))"
        ))
    };
    let taken: Vec<String> = children.iter().filter_map(within).collect();
    let taken = if taken.is_empty() { "false".into() } else { taken.join(" OR ") };
    let reached: Vec<String> = reached.iter().filter_map(within).collect();
    let reached = if reached.is_empty() { "true".into() } else { reached.join(" AND ") };
    format!(
        "SELECT day::date::text
           FROM (SELECT (current_date + n)::{type_name} AS day FROM generate_series(0, 35) AS n) AS d
          WHERE {reached} AND NOT ({taken})
          ORDER BY 1"
    )
}

/// The ends of ranges by one column in the binary form of their type, two for each; NULL where there
/// is none.
pub(super) fn edges<'b>(
    type_name: &str,
    send: &str,
    bounds: impl Iterator<Item = &'b Bound>,
) -> String {
    let send = |edge: &str| format!("{send}(({edge})::{type_name})");
    let ends = bounds.filter_map(range).flat_map(|(from, to)| [send(from), send(to)]);
    format!("SELECT ARRAY[{}]::bytea[]", ends.collect::<Vec<_>>().join(", "))
}

/// The ends of a RANGE by one column, as expressions; NULL if there is none.
fn range(bound: &Bound) -> Option<(&str, &str)> {
    let Bound::Range(from, to) = bound else { return None };
    let ([from], [to]) = (from.as_slice(), to.as_slice()) else { return None };
    Some((from.sql(), to.sql()))
}

/// Where ranges by one column leave a gap: `A to B`. `None` if there are fewer than two.
pub(super) fn gaps(type_name: &str, children: &[Bound]) -> Option<String> {
    let row = |(from, to)| format!("(({from})::{type_name}, ({to})::{type_name})");
    let rows: Vec<String> = children.iter().filter_map(range).map(row).collect();
    (rows.len() > 1).then(|| {
        format!(
            "SELECT upper::text || ' to ' || next::text
               FROM (SELECT upper, lead(lower) OVER (ORDER BY lower NULLS FIRST) AS next
                       FROM (VALUES {}) AS r (lower, upper)) AS ranges
              WHERE next > upper
              ORDER BY next",
            rows.join(", ")
        )
    })
}

/// Some of the values of a column that legacy holds and no list of `children` names.
pub(super) fn values_without_leaf(
    plan: &PairPlan,
    by: &ComparedColumn,
    children: &[Bound],
) -> String {
    let [from, to] = Side::BOTH.map(|side| plan.table(side).column(by.on(side)));
    let type_name = to.or(from).map_or("text", |column| &column.bare_type);
    let listed = children.iter().filter_map(|bound| match bound {
        Bound::List(values) => Some(values),
        _ => None,
    });
    let (nulls, values): (Vec<&String>, Vec<&String>) =
        listed.flatten().partition(|value| *value == "NULL");
    let name = quote_ident(by.on(Side::Legacy));
    let mut known = vec!["false".to_owned()];
    known.extend(values.iter().map(|value| format!("{name} = ({value})::{type_name}")));
    let other = if nulls.is_empty() { format!("num_nulls({name}) = 1 OR ") } else { String::new() };
    format!(
        "SELECT DISTINCT coalesce(left(({name})::text, 40), 'NULL')
           FROM {} WHERE {other}NOT ({}) LIMIT 5",
        plan.table(Side::Legacy).name,
        known.join(" OR ")
    )
}

/// Tables beside the leaves of `$1` that bear the name of one, digits aside, and have the same
/// columns, `$2` left out; and partitions whose detaching was begun and not finished.
pub(super) const DETACHED_LEAVES: &str = "
WITH tree AS (SELECT relid, isleaf FROM pg_partition_tree($1::bigint::oid::regclass)),
     leaf AS (SELECT DISTINCT c.relnamespace, regexp_replace(c.relname, '[0-9]+', '#', 'g') AS alike
                FROM tree JOIN pg_class c ON c.oid = tree.relid WHERE tree.isleaf),
     columns AS (SELECT attrelid, array_agg((attname::text, atttypid) ORDER BY attname) AS all_of_them
                   FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped GROUP BY attrelid)
SELECT c.oid::regclass::text, false
  FROM pg_class c
  JOIN leaf ON leaf.relnamespace = c.relnamespace
           AND leaf.alike = regexp_replace(c.relname, '[0-9]+', '#', 'g')
  JOIN columns AS its ON its.attrelid = c.oid
  JOIN columns AS twins ON twins.attrelid = $1::bigint::oid
 WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition AND c.oid <> $2::bigint::oid
   AND its.all_of_them = twins.all_of_them
UNION ALL
SELECT i.inhrelid::regclass::text, true
  FROM pg_inherits i JOIN tree ON tree.relid = i.inhparent
 WHERE i.inhdetachpending
 ORDER BY 1";

/// The leaves of `$1` that have no part of its index `$2`.
pub(super) const LEAVES_WITHOUT_INDEX: &str = "
SELECT t.relid::regclass::text
  FROM pg_partition_tree($1::bigint::oid::regclass) AS t
 WHERE t.isleaf AND NOT EXISTS
       (SELECT FROM pg_index i
         WHERE i.indrelid = t.relid
           AND $2::regclass::oid IN (SELECT relid FROM pg_partition_ancestors(i.indexrelid) AS a (relid)))
 ORDER BY 1";

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
          WHERE largest >= s.last_value + s.is_called::int",
        column = quote_ident(column)
    )
}
