//! The statements of the diff. Names come quoted, values as literals of ours.

use super::org::{org, org_is_among, org_text};
use super::schema::{ComparedColumn, PairPlan, Side};
use super::scope::Rows;
use cutover_evidence::shard::Shard;
use cutover_ground::pg::catalog::Leaf;
use cutover_ground::pg::{Bound, of_tree, quote_ident};

/// A value as a literal.
pub(super) fn literal(text: &str) -> String {
    // E'' so that a backslash means the same under every setting.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A column as it is hashed and compared: its wire image, or its text where the types differ.
pub(super) fn image(column: &ComparedColumn, side: Side) -> String {
    let name = quote_ident(column.on(side));
    match column.value(side) {
        Some(value) => value.to_owned(),
        None if column.as_text => format!("({name})::text"),
        None => name,
    }
}

/// A column as its text tells rows apart: itself, or its value if that is what is compared.
pub(super) fn text_of(column: &ComparedColumn, side: Side) -> String {
    column.value(side).map_or_else(|| quote_ident(column.on(side)), str::to_owned)
}

/// Whether an expression means anything of a table; it is not run.
pub(super) fn explain_expression(expression: &str, table: &str) -> String {
    format!("EXPLAIN SELECT ({expression})::text FROM {table}")
}

/// A column's text as bytes, which both sides order alike whatever their collations.
pub(super) fn sortable(column: &ComparedColumn, side: Side) -> String {
    sortable_of(&text_of(column, side))
}

/// The text of an expression as bytes: UTF-8, or as they are where the database has no encoding and they may
/// be anything. NULL for NULL.
pub(super) fn sortable_of(expression: &str) -> String {
    format!(
        "CASE WHEN num_nulls({expression}) = 0 \
         THEN convert_to(format('%s', {expression}), \
                         CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END) END"
    )
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
    conditions.extend(rows.orgs.map(|orgs| org_is_among(plan, side, orgs)));
    if let Some(Shard { index, of }) = rows.shard {
        let number = if plan.integer_org {
            format!("{}::bigint", org(plan, side))
        } else {
            format!("pg_catalog.hashtextextended({}, 0::bigint)", org_text(plan, side))
        };
        conditions.push(format!("abs(mod({number}, {of}::bigint)) = {}::bigint", index - 1));
    }
    conditions.extend(changed(plan, side, rows));
    if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    }
}

/// Whether a row was changed since the time asked for, as far as it says; `None` for all rows.
pub(super) fn changed(plan: &PairPlan, side: Side, rows: Rows<'_>) -> Option<String> {
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

/// Rows to read, and what can be said of each.
pub(super) struct Source {
    /// What follows `FROM`, the condition included.
    pub(super) from: String,
    /// The object identifier of a row's leaf.
    pub(super) leaf: &'static str,
    /// Whether a row is misrouted; `None` if no leaf has bounds.
    pub(super) misrouted: Option<String>,
}

/// The rows of a leaf, or of a whole side, that fulfil the condition of [`where_rows`].
///
/// The planner copies what is asked of a partitioned table for each of its leaves. An expression with a branch
/// for each leaf would grow by the square of their number: it stands above a fence, `OFFSET 0`, and there is
/// one of it.
pub(super) fn source(plan: &PairPlan, side: Side, leaf: Option<&Leaf>, filter: &str) -> Source {
    if let Some(leaf) = leaf {
        let from = format!("ONLY {}{filter}", leaf.qualified());
        return Source { from, leaf: "tableoid", misrouted: outside(leaf) };
    }
    let table = plan.table(side);
    let leaves = plan.leaves(side).iter();
    let arms: Vec<String> = leaves
        .filter_map(|leaf| Some(format!("WHEN {} THEN {}", leaf.oid, outside(leaf)?)))
        .collect();
    if arms.is_empty() {
        let from = format!("{}{filter}", table.name);
        return Source { from, leaf: "tableoid", misrouted: None };
    }
    let arms = arms.join(" ");
    let compared = |name: &str| plan.columns.iter().any(|column| column.on(side) == name);
    let columns = table.columns.iter().map(|column| &column.name);
    // Those, too, that the bounds may be about.
    let columns = columns.filter(|name| compared(name) || arms.contains(name.as_str()));
    let columns: Vec<String> = columns.map(|name| quote_ident(name)).collect();
    Source {
        from: format!(
            "(SELECT {}, tableoid AS {LEAF} FROM {}{filter} OFFSET 0) AS s",
            columns.join(", "),
            table.name
        ),
        leaf: LEAF,
        misrouted: Some(format!("CASE {LEAF}::bigint {arms} ELSE false END")),
    }
}

/// A row's leaf; a name that no column is likely to bear.
const LEAF: &str = "\"the leaf\"";

/// The plan of a question, as JSON; it is not run.
pub(super) fn plan_of(question: &str) -> String {
    format!("EXPLAIN (FORMAT JSON, VERBOSE) {question}")
}

/// A question for the rows that fulfil a condition.
pub(super) fn rows_that(table: &str, condition: &str) -> String {
    format!("SELECT 1 FROM {table} WHERE {condition}")
}

/// A row without NULL in these columns, which come as an array of texts.
pub(super) fn sample_row(table: &str, columns: &[String]) -> String {
    let texts = columns.iter().map(|name| format!("({name})::text")).collect::<Vec<_>>();
    let conditions: Vec<String> =
        columns.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    let conditions = match conditions.is_empty() {
        true => "true".to_owned(),
        false => conditions.join(" AND "),
    };
    format!("SELECT ARRAY[{}]::text[] FROM {table} WHERE {conditions} LIMIT 1", texts.join(", "))
}

/// Whether the planner leaves partitions out.
pub(super) const PRUNES: &str = "SELECT current_setting('enable_partition_pruning')::boolean";

/// What `$1`, called `$2`, is made of: columns, triggers, also those of each of its parts, tables that inherit
/// from it, and whether the name still stands for it.
pub(super) const FRAME: &str = "
WITH RECURSIVE below (oid) AS (
     SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = $1::bigint::oid
      UNION
     SELECT i.inhrelid FROM below JOIN pg_inherits AS i ON i.inhparent = below.oid)
SELECT 'column `' || attname || '`',
       format('%s %s %s', atttypid, atttypmod, attnotnull)
  FROM pg_attribute
 WHERE attrelid = $1::bigint::oid AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'trigger `' || t.tgname || '`',
       format('%s %s %s %s', t.tgenabled, t.tgtype, p.oid, md5(p.prosrc))
  FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1::bigint::oid AND NOT t.tgisinternal
UNION ALL
SELECT 'a trigger of part `' || below.oid::regclass || '`',
       coalesce(string_agg(format('%s %s %s %s %s', t.tgname, t.tgenabled, t.tgtype, p.oid, md5(p.prosrc)),
                           ', ' ORDER BY t.tgname), '')
  FROM below LEFT JOIN (pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid)
         ON t.tgrelid = below.oid AND NOT t.tgisinternal
 GROUP BY below.oid
UNION ALL
SELECT 'child `' || c.oid::regclass || '`', coalesce(pg_relation_filenode(c.oid), 0)::text
  FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
 WHERE i.inhparent = $1::bigint::oid AND NOT c.relispartition
UNION ALL
SELECT 'the name', (to_regclass($2)::oid IS NOT DISTINCT FROM $1::bigint::oid)::text";

/// What [`FRAME`] calls what the name stands for.
pub(super) const NAME: &str = "the name";
/// How what it calls the triggers of a part begins.
pub(super) const PART: &str = "a trigger of part";
/// How what it calls a table begins that inherits without being a partition.
pub(super) const CHILD: &str = "child";

/// The relations that hold rows of `$1`, and what of its own fires on the rows of each, whatever it is called.
pub(super) const FIRING: &str = "
WITH RECURSIVE below (oid) AS (
     SELECT $1::bigint::oid
      UNION
     SELECT i.inhrelid FROM below JOIN pg_inherits AS i ON i.inhparent = below.oid WHERE NOT i.inhdetachpending)
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name,
       coalesce(string_agg(
           format('%s %s %s %s %s', t.tgfoid, t.tgtype, t.tgenabled, t.tgattr, t.tgqual IS NULL),
           ', ' ORDER BY t.tgfoid, t.tgtype, t.tgenabled, t.tgattr::text, t.tgqual IS NULL), '') AS fires
  FROM below JOIN pg_class AS c ON c.oid = below.oid AND c.relkind <> 'p'
  LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgtype & 1 = 1
 GROUP BY c.oid
 ORDER BY c.oid";

/// The relations that hold the rows of `$1`, as `Leaf` tells of them.
pub(super) fn relations() -> String {
    of_tree(
        "
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name,
       coalesce(pg_relation_filenode(c.oid), 0)::bigint AS file,
       coalesce(pg_get_expr(c.relpartbound, c.oid), '') AS bound
  FROM tree JOIN pg_class c ON c.oid = tree.relid
 WHERE c.relkind <> 'p'",
    )
}

/// How many locks all sessions have together.
pub(super) const LOCK_TABLE: &str = "
SELECT current_setting('max_locks_per_transaction')::bigint
       * (current_setting('max_connections')::bigint
          + current_setting('max_prepared_transactions')::bigint)";

/// How many relations hang below the one with the object identifier `$1`, it included.
pub(super) const BELOW: &str = "
WITH RECURSIVE below (oid) AS (
     SELECT $1::bigint::oid
      UNION
     SELECT i.inhrelid FROM below JOIN pg_inherits i ON i.inhparent = below.oid)
SELECT count(*) FROM below";

/// Rows of a relation.
pub(super) fn count(leaf: &Leaf) -> String {
    format!("SELECT count(*) FROM ONLY {}", leaf.qualified())
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

/// Values that [`values_without_leaf`] names at most.
pub(super) const VALUES_SHOWN: usize = 5;

/// Some of the values of a column that a part of legacy holds and no list of `children` names.
pub(super) fn values_without_leaf(
    plan: &PairPlan,
    by: &ComparedColumn,
    children: &[Bound],
    from: &str,
) -> String {
    let [left, right] = Side::BOTH.map(|side| plan.table(side).column(by.on(side)));
    let type_name = right.or(left).map_or("text", |column| &column.bare_type);
    let listed = children.iter().filter_map(|bound| match bound {
        Bound::List(values) => Some(values),
        _ => None,
    });
    let (nulls, values): (Vec<&String>, Vec<&String>) =
        listed.flatten().partition(|value| *value == "NULL");
    let name = quote_ident(by.on(Side::Legacy));
    let known: Vec<String> = values.iter().map(|value| format!("({value})::{type_name}")).collect();
    let other = if nulls.is_empty() { format!("num_nulls({name}) = 1 OR ") } else { String::new() };
    format!(
        "SELECT DISTINCT coalesce(left(({name})::text, 40), 'NULL')
           FROM {from} WHERE {other}{name} <> ALL (ARRAY[{}]::{type_name}[]) LIMIT {VALUES_SHOWN}",
        known.join(", ")
    )
}

/// Tables beside the leaves of `$1` that bear the name of one, digits aside, and have the same
/// columns, `$2` left out; and partitions whose detaching was begun and not finished.
pub(super) fn detached_leaves() -> String {
    of_tree(
        ",
     leaf AS (SELECT DISTINCT c.relnamespace, regexp_replace(c.relname, '[0-9]+', '#', 'g') AS alike
                FROM tree JOIN pg_class c ON c.oid = tree.relid WHERE c.relkind <> 'p'),
     columns AS (SELECT attrelid, array_agg((attname::text, atttypid) ORDER BY attname) AS all_of_them
                   FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped GROUP BY attrelid)
SELECT c.oid::regclass::text, false
  FROM pg_class c
  JOIN leaf ON leaf.relnamespace = c.relnamespace
           AND leaf.alike = regexp_replace(c.relname, '[0-9]+', '#', 'g')
  JOIN columns AS its ON its.attrelid = c.oid
  JOIN columns AS twins ON twins.attrelid = $1::bigint::oid
 WHERE c.relkind IN ('r', 'f') AND NOT c.relispartition
   AND c.oid NOT IN ($1::bigint::oid, $2::bigint::oid)
   AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
   AND its.all_of_them = twins.all_of_them
UNION ALL
SELECT i.inhrelid::regclass::text, true
  FROM pg_inherits i JOIN tree ON tree.relid = i.inhparent
 WHERE i.inhdetachpending
 ORDER BY 1",
    )
}

/// The leaves of `$1` that have no part of its index `$2`.
pub(super) fn leaves_without_index() -> String {
    of_tree(
        "
SELECT c.oid::regclass::text
  FROM tree JOIN pg_class c ON c.oid = tree.relid
 WHERE c.relkind <> 'p' AND NOT EXISTS
       (SELECT FROM pg_index i
         WHERE i.indrelid = c.oid
           AND $2::regclass::oid IN (SELECT relid FROM pg_partition_ancestors(i.indexrelid) AS a (relid)))
 ORDER BY 1",
    )
}

/// Whether `cutover seed` ever worked on this database.
pub(super) const HAS_SEED: &str = "
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'cutover_seed' AND c.relname = 'run')";
/// Whether it is at work, was interrupted, or lacks a shard.
pub(super) const SEED_UNFINISHED: &str =
    "SELECT EXISTS (SELECT FROM cutover_seed.run WHERE NOT finished)";

/// How far a column's sequence has come, and the largest value in use in these relations; no row where it is
/// ahead.
pub(super) fn sequence_behind(tables: &[String], column: &str, sequence: &str) -> String {
    let column = quote_ident(column);
    let largest = tables.iter().map(|table| format!("(SELECT max({column})::bigint FROM {table})"));
    format!(
        "SELECT s.last_value::bigint, largest
           FROM {sequence} AS s,
                (SELECT greatest({}) AS largest) AS t
          WHERE largest >= s.last_value + s.is_called::int",
        largest.collect::<Vec<_>>().join(", ")
    )
}
