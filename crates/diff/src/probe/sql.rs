//! The statements of the probe, which `probe.sql` runs.

use serde_json::{Value, json};

use crate::schema::{ComparedColumn, PairPlan, Side};
use crate::sql::{literal, sortable_of};
use cutover_ground::pg::catalog::Column;
use cutover_ground::pg::quote_ident;

/// The row that a statement works on; a name that no column is likely to bear.
const ROW: &str = "\"the row\"";

/// Rows among which one is looked for that both sides agree on.
const CANDIDATES: usize = 100;

/// Values that one type or another accepts, unlikely to be refused for standing there already.
const LITERALS: [&str; 14] = [
    "current_date::text",
    "(current_date + 1)::text",
    "'1'",
    "'2'",
    "'true'",
    "'false'",
    "md5(random()::text)",
    "left(md5(random()::text), 1)",
    "'{}'",
    "'{\"a\": 1}'",
    "'<a/>'",
    "'empty'",
    "'10.9.8.7'",
    "'1 day'",
];

/// Values beyond what partitions usually take.
const FAR_LITERALS: [&str; 5] =
    ["'infinity'", "'5874000-01-01'", "'9223372036854775807'", "'2147483647'", "'cutover, far'"];

/// Everything but the probe itself: limits, triggers fire at once, and what the probe is to do.
///
/// The limits keep a probe from being in anybody's way: it waits half a second at most for a lock
/// and holds its own no longer than the whole may take.
fn preparation(plan: &PairPlan) -> String {
    format!(
        "BEGIN;
         SET LOCAL lock_timeout = '500ms';
         SET LOCAL statement_timeout = '10s';
         SET CONSTRAINTS ALL IMMEDIATE;
         SELECT set_config('cutover.probe', {}, true);",
        literal(&statements(plan).to_string())
    )
}

/// The whole probe, in one message to the server.
pub(super) fn probe(plan: &PairPlan) -> String {
    format!("{}\n{}", preparation(plan), include_str!("probe.sql"))
}

fn statements(plan: &PairPlan) -> Value {
    let legacy = &plan.table(Side::Legacy).name;
    let here = format!("{ROW}.tableoid = $1 AND {ROW}.ctid = $2");
    let columns: Vec<&Column> = writable(plan).collect();
    let names: Vec<String> = columns.iter().map(|column| quote_ident(&column.name)).collect();
    let is_key = |name: &str| plan.identity().iter().any(|key| key.on(Side::Legacy) == name);
    let columns: Vec<Value> = columns
        .iter()
        .map(|column| {
            json!({"name": column.name, "own": own(&column.name),
                   "key": is_key(&column.name)})
        })
        .collect();
    json!({
        "candidates": format!(
            "SELECT tableoid, ctid, {}, {ROW}::text FROM {legacy} AS {ROW}
              WHERE num_nulls({}) = 0 LIMIT {CANDIDATES}",
            key_texts(plan), key_columns(plan, Side::Legacy).join(", "),
        ),
        "lock": format!("SELECT true FROM {legacy} AS {ROW} WHERE {here} FOR UPDATE SKIP LOCKED"),
        "alone": format!(
            "SELECT count(*) = 1 FROM {legacy} WHERE {}", with_key(plan, Side::Legacy, "$1")
        ),
        "compare": compare(plan),
        "updates": updates(plan),
        "columns": columns,
        "insert": format!(
            "INSERT INTO {legacy} ({}) OVERRIDING SYSTEM VALUE SELECT ", names.join(", ")
        ),
        "from": format!(
            " FROM (SELECT ($3::text::{legacy}).*) AS {ROW} RETURNING tableoid, ctid, {}",
            key_texts(plan)
        ),
        "delete": format!(
            "DELETE FROM {legacy} AS {ROW} WHERE {here} RETURNING tableoid, ctid, {}",
            key_texts(plan)
        ),
        "clear": format!(
            "DELETE FROM {} WHERE {}",
            plan.table(Side::Partitioned).name, with_key(plan, Side::Partitioned, "$1")
        ),
    })
}

/// The legacy columns that a statement may set.
fn writable(plan: &PairPlan) -> impl Iterator<Item = &Column> {
    plan.table(Side::Legacy).columns.iter().filter(|column| !column.generated)
}

fn own(name: &str) -> String {
    format!("{ROW}.{}", quote_ident(name))
}

fn key_columns(plan: &PairPlan, side: Side) -> Vec<String> {
    plan.identity().iter().map(|column| quote_ident(column.on(side))).collect()
}

fn key_texts(plan: &PairPlan) -> String {
    let texts = key_columns(plan, Side::Legacy).into_iter().map(|name| format!("{name}::text"));
    format!("ARRAY[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// Rows of one side with the key that a parameter holds as texts.
fn with_key(plan: &PairPlan, side: Side, parameter: &str) -> String {
    let identity = plan.identity();
    let conditions = identity.iter().enumerate().map(|(at, column)| {
        let (name, at) = (column.on(side), at + 1);
        let type_name = plan.table(side).column(name).map_or("text", |c| &c.bare_type);
        format!("{} = ({parameter}::text[])[{at}]::{type_name}", quote_ident(name))
    });
    conditions.collect::<Vec<_>>().join(" AND ")
}

/// Whether the sides hold different numbers of rows with a key, and which columns differ between
/// the legacy row at a place and the twin's rows with its key.
fn compare(plan: &PairPlan) -> String {
    let [legacy, twin] = Side::BOTH.map(|side| &plan.table(side).name);
    let numbers_differ = |parameter: &str| {
        let [left, right] = Side::BOTH.map(|side| with_key(plan, side, parameter));
        format!(
            "(SELECT count(*) FROM {legacy} WHERE {left})
             <> (SELECT count(*) FROM {twin} WHERE {right})"
        )
    };
    let identity = plan.identity();
    let same_key = identity.iter().map(|column| {
        let [left, right] = Side::BOTH.map(|side| quote_ident(column.on(side)));
        format!("l.{left} = t.{right}")
    });
    let image = |alias: &str, column: &ComparedColumn, side: Side| {
        sortable_of(&format!("{alias}.{}", quote_ident(column.on(side))))
    };
    let pairs = plan.columns.iter().map(|column| {
        let name = literal(column.on(Side::Legacy));
        let (left, right) =
            (image("l", column, Side::Legacy), image("t", column, Side::Partitioned));
        format!("({name}, {left}, {right})")
    });
    format!(
        "SELECT {} OR {},
                ARRAY(SELECT DISTINCT v.name
                        FROM {legacy} AS l JOIN {twin} AS t ON {},
                             LATERAL (VALUES {}) AS v (name, a, b)
                       WHERE l.tableoid = $1 AND l.ctid = $2 AND v.a IS DISTINCT FROM v.b)",
        numbers_differ("$3"),
        numbers_differ("$4"),
        same_key.collect::<Vec<_>>().join(" AND "),
        pairs.collect::<Vec<_>>().join(", "),
    )
}

/// For each compared column: another value, NULL if it may be, and for the column that picks the
/// partition a value that has none.
fn updates(plan: &PairPlan) -> Vec<Value> {
    let mut updates = Vec::new();
    let mut add = |kind: &str, column: &Column, attempts: Vec<Value>| {
        let key = plan.identity().iter().any(|key| key.on(Side::Legacy) == column.name);
        let step = json!({"kind": kind, "column": column.name, "key": key, "attempts": attempts});
        updates.push(step);
    };
    let compared = |column: &&Column| plan.compared(&column.name).is_some();
    for column in writable(plan).filter(compared) {
        let changed = values(plan, column);
        add("value", column, changed.iter().map(|value| update(plan, column, value)).collect());
        if !column.not_null {
            add("null", column, vec![set_null(plan, column)]);
        }
        let picks = plan.partition_column().is_some_and(|c| c.on(Side::Legacy) == column.name);
        if picks {
            let far = FAR_LITERALS.iter().map(|value| of_type(column, value));
            add("far", column, far.map(|value| update(plan, column, &value)).collect());
        }
    }
    updates
}

/// Values to try, those first that the table is most likely to accept: that of another row heeds
/// every CHECK and foreign key; where values must be unique, one beyond those in use.
fn values(plan: &PairPlan, column: &Column) -> Vec<String> {
    let legacy = &plan.table(Side::Legacy).name;
    let (name, own) = (quote_ident(&column.name), own(&column.name));
    let mut values = Vec::new();
    let is_key = plan.identity().iter().any(|key| key.on(Side::Legacy) == column.name);
    if is_key && column.is_integer() {
        values.push(format!("(SELECT least(min({name}), 0) - 1 FROM {legacy})"));
        values.push(format!("(SELECT max({name}) + 1 FROM {legacy})"));
    }
    values.push(format!(
        "(SELECT o.{name} FROM (SELECT {name} FROM {legacy} LIMIT 1000) AS o
           WHERE num_nulls(o.{name}) = 0 AND {} IS DISTINCT FROM {} LIMIT 1)",
        sortable_of(&format!("o.{name}")),
        sortable_of(&own),
    ));
    // Of an enum, which refuses whatever is none of its labels; of any other type, nothing.
    values.push(of_type(
        column,
        &format!(
            "SELECT e.enumlabel::text FROM pg_catalog.pg_enum AS e
              WHERE e.enumtypid = {}::regtype AND e.enumlabel::text IS DISTINCT FROM {own}::text
              ORDER BY e.enumsortorder LIMIT 1",
            literal(&column.bare_type)
        ),
    ));
    values.extend(LITERALS.iter().map(|value| of_type(column, value)));
    values
}

fn of_type(column: &Column, value: &str) -> String {
    format!("({value})::{}", column.bare_type)
}

fn update(plan: &PairPlan, column: &Column, value: &str) -> Value {
    let (legacy, name) = (&plan.table(Side::Legacy).name, quote_ident(&column.name));
    let statement = format!(
        "UPDATE {legacy} AS {ROW} SET {name} = {value}
          WHERE {ROW}.tableoid = $1 AND {ROW}.ctid = $2 AND num_nulls({value}) = 0
            AND {} IS DISTINCT FROM {}
         RETURNING tableoid, ctid, {}",
        sortable_of(value),
        sortable_of(&own(&column.name)),
        key_texts(plan)
    );
    json!({"statement": statement, "expression": value})
}

fn set_null(plan: &PairPlan, column: &Column) -> Value {
    let (legacy, name) = (&plan.table(Side::Legacy).name, quote_ident(&column.name));
    let statement = format!(
        "UPDATE {legacy} AS {ROW} SET {name} = NULL
          WHERE {ROW}.tableoid = $1 AND {ROW}.ctid = $2 AND num_nulls({}) = 0
         RETURNING tableoid, ctid, {}",
        own(&column.name),
        key_texts(plan)
    );
    json!({"statement": statement, "expression": "NULL"})
}
