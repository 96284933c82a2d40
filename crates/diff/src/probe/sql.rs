//! The statements of the probe, which `probe.sql` runs.

use serde_json::{Value, json};

use super::session::Trial;
use super::target::Target;
use crate::schema::Side;
use crate::sql::{literal, sortable_of};
use crate::value::is_cast_alike;
use cutover_ground::pg::catalog::Column;
use cutover_ground::pg::quote_ident;

/// The row that a statement works on; a name that no column is likely to bear.
const ROW: &str = "\"the row\"";

/// Rows among which one is looked for that stands on both sides.
const CANDIDATES: usize = 100;

/// How long a try may take in all, and so hold a row; less than the 200 ms that are promised.
const TRY_TIMEOUT: &str = "180ms";
/// How long it waits for a lock.
const LOCK_TIMEOUT: &str = "100ms";
/// How long the choice of rows may take, which holds none.
const PICK_TIMEOUT: &str = "900ms";

/// Begins a transaction in which triggers fire at once; what stands before it has failed.
fn begin(timeout: &str, plan: &Value) -> String {
    format!(
        "ROLLBACK;
         BEGIN;
         SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';
         SET LOCAL statement_timeout = '{timeout}';
         SET CONSTRAINTS ALL IMMEDIATE;
         SELECT set_config('cutover.probe', {}, true);",
        literal(&plan.to_string())
    )
}

/// Once a session: the comparison of a row's two sides is planned for all partitions, not with each try.
pub(super) fn prepare(target: &Target<'_>) -> String {
    format!("PREPARE cutover_compare (oid, tid, text[], text[]) AS {}", compare(target))
}

/// The choice of rows, in one message to the server.
pub(super) fn pick(target: &Target<'_>) -> String {
    let table = target.table();
    let candidates = |relation: &String| {
        format!(
            "(SELECT tableoid, ctid, {}, ({ROW}.*)::text FROM {relation} AS {ROW}
               WHERE num_nulls({}) = 0 LIMIT {CANDIDATES})",
            key_texts(target),
            key_columns(target, target.side).join(", "),
        )
    };
    let relations: Vec<String> = target.part.relations.iter().map(candidates).collect();
    let plan = json!({
        "candidates": format!(
            "SELECT * FROM ({}) AS c LIMIT {CANDIDATES}", relations.join(" UNION ALL ")
        ),
        "alone": format!(
            "SELECT count(*) = 1 FROM {table} WHERE {}", with_key(target, target.side, "$1")
        ),
        "lock": lock(target),
    });
    format!("{}\n{}", begin(PICK_TIMEOUT, &plan), include_str!("pick.sql"))
}

/// One try, in one message to the server.
pub(super) fn probe(
    target: &Target<'_>,
    trial: &Trial,
    rows: &Value,
    shields: &[String],
) -> String {
    let plan = json!({
        "rows": rows, "lock": lock(target), "shields": shields, "attempts": trial.attempts,
        "reason": trial.reason, "last": trial.last, "role": target.role.unwrap_or("none"),
    });
    format!("{}\n{}", begin(TRY_TIMEOUT, &plan), include_str!("probe.sql"))
}

/// Locks the row as it was, if nobody else holds it.
fn lock(target: &Target<'_>) -> String {
    format!(
        "SELECT true FROM {} AS {ROW} WHERE {HERE} AND {ROW}::text = $3 FOR UPDATE SKIP LOCKED",
        target.table()
    )
}

/// The row that a statement works on, by its leaf and place.
const HERE: &str = "\"the row\".tableoid = $1 AND \"the row\".ctid = $2";

/// Takes a sequence's numbers on a copy of it that goes with the transaction; its owner alone may.
pub(super) fn shield(sequence: &str) -> String {
    let change = format!("ALTER SEQUENCE {sequence} INCREMENT BY ");
    format!(
        "DO $shield$ BEGIN EXECUTE {} || (SELECT seqincrement FROM pg_sequence WHERE seqrelid = {}::regclass); \
         END $shield$",
        literal(&change),
        literal(sequence)
    )
}

/// Whether changes of the schema fire something, so that no sequence can be set aside unseen.
pub(crate) const WATCHES_SCHEMA: &str =
    "SELECT EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled IN ('O', 'A'))";

/// The insertion of a copy of the row: with another value where `changed` has an expression for a column.
pub(super) fn copy(target: &Target<'_>, changed: impl Fn(&Column) -> Option<String>) -> String {
    let columns: Vec<&Column> = writable(target).collect();
    let names: Vec<String> = columns.iter().map(|column| quote_ident(&column.name)).collect();
    let fields: Vec<String> =
        columns.iter().map(|c| changed(c).unwrap_or_else(|| own(&c.name))).collect();
    let table = target.table();
    format!(
        "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {}
           FROM (SELECT ($3::text::{table}).*) AS {ROW} WHERE {}
         RETURNING tableoid, ctid, {}",
        names.join(", "),
        fields.join(", "),
        is_free(target, |name| target.plan.table(target.side).column(name).and_then(&changed)),
        key_texts(target)
    )
}

/// Whether no row has the key of the row, `changed` in some columns, if no unique index sees to that.
fn is_free(target: &Target<'_>, changed: impl Fn(&str) -> Option<String>) -> String {
    let names = target.identity();
    if target.arbiter().is_some() || names.iter().all(|name| changed(name).is_none()) {
        return "true".into();
    }
    let same = names.iter().map(|name| {
        format!("o.{} = {}", quote_ident(name), changed(name).unwrap_or_else(|| own(name)))
    });
    let same: Vec<String> = same.collect();
    format!("NOT EXISTS (SELECT FROM {} AS o WHERE {})", target.table(), same.join(" AND "))
}

/// An INSERT of the very row that has to update a column of it instead, by the unique index on `arbiter`.
pub(super) fn upsert(
    target: &Target<'_>,
    arbiter: &[String],
    column: &Column,
    value: &str,
) -> String {
    let columns: Vec<&Column> = writable(target).collect();
    let names: Vec<String> = columns.iter().map(|column| quote_ident(&column.name)).collect();
    let arbiter: Vec<String> = arbiter.iter().map(|name| quote_ident(name)).collect();
    let (table, name) = (target.table(), quote_ident(&column.name));
    let fields = columns.iter().map(|c| if *c == column { value.into() } else { own(&c.name) });
    let keys = key_columns(target, target.side).into_iter();
    let keys = keys.map(|name| format!("{UPSERTED}.{name}::text"));
    format!(
        "INSERT INTO {table} AS {UPSERTED} ({}) OVERRIDING SYSTEM VALUE SELECT {}
           FROM (SELECT ($3::text::{table}).*) AS {ROW}
             ON CONFLICT ({}) DO UPDATE SET {name} = EXCLUDED.{name}
         RETURNING {UPSERTED}.tableoid, {UPSERTED}.ctid, ARRAY[{}]",
        names.join(", "),
        fields.collect::<Vec<String>>().join(", "),
        arbiter.join(", "),
        keys.collect::<Vec<String>>().join(", "),
    )
}

/// A row that is there already; a name that no column is likely to bear.
const UPSERTED: &str = "\"the other row\"";

/// A MERGE that gives a column of the row with the key another value.
pub(super) fn merge(target: &Target<'_>, column: &Column, value: &str) -> String {
    format!(
        "MERGE INTO {} AS {ROW} USING (SELECT 1) AS s (\"the one\") ON {}
          WHEN MATCHED THEN UPDATE SET {} = {value}",
        target.table(),
        with_key(target, target.side, "$1"),
        quote_ident(&column.name),
    )
}

/// The row with the key, a column of which may have another value now, if it stands in another partition.
pub(super) fn find(target: &Target<'_>, column: &Column, value: &str) -> String {
    let identity = target.identity();
    let same = identity.iter().enumerate().map(|(at, name)| {
        let held = target.plan.table(target.side).column(name);
        let type_name = held.map_or("text", |column| &column.bare_type);
        match *name == column.name {
            true => format!("{} = {value}", quote_ident(name)),
            false => format!("{} = ($4::text[])[{}]::{type_name}", quote_ident(name), at + 1),
        }
    });
    format!(
        "SELECT tableoid, ctid, {} FROM {}
          WHERE {} AND tableoid <> $1 AND num_nulls($2::tid, $3::text, $4::text[]) = 0",
        key_texts(target),
        target.table(),
        same.collect::<Vec<_>>().join(" AND "),
    )
}

/// The deletion of the row.
pub(super) fn delete(target: &Target<'_>) -> String {
    let table = target.table();
    format!(
        "DELETE FROM {table} AS {ROW} WHERE {HERE} RETURNING tableoid, ctid, {}",
        key_texts(target)
    )
}

/// The deletion of what the other side holds under the row's key.
pub(super) fn clear(target: &Target<'_>) -> String {
    format!("DELETE FROM {} WHERE {}", target.follower(), with_key(target, target.other(), "$1"))
}

/// Whether a column tells rows apart.
pub(super) fn is_key(target: &Target<'_>, column: &Column) -> bool {
    target.identity().contains(&column.name)
}

/// The columns that a statement may set.
pub(super) fn writable<'t>(target: &'t Target<'_>) -> impl Iterator<Item = &'t Column> {
    target.plan.table(target.side).columns.iter().filter(|column| !column.generated)
}

pub(super) fn own(name: &str) -> String {
    format!("{ROW}.{}", quote_ident(name))
}

fn key_columns(target: &Target<'_>, side: Side) -> Vec<String> {
    target.plan.identity().iter().map(|column| quote_ident(column.on(side))).collect()
}

fn key_texts(target: &Target<'_>) -> String {
    let texts = key_columns(target, target.side).into_iter().map(|name| format!("{name}::text"));
    format!("ARRAY[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// Rows of one side with the key that a parameter holds as texts.
fn with_key(target: &Target<'_>, side: Side, parameter: &str) -> String {
    let identity = target.plan.identity();
    let conditions = identity.iter().enumerate().map(|(at, column)| {
        let (name, at) = (column.on(side), at + 1);
        let type_name = target.plan.table(side).column(name).map_or("text", |c| &c.bare_type);
        format!("{} = ({parameter}::text[])[{at}]::{type_name}", quote_ident(name))
    });
    conditions.collect::<Vec<_>>().join(" AND ")
}

/// Whether the sides hold different numbers of rows with a key, and which columns differ between the row at a
/// place and the other side's rows with its key.
///
/// The other side is searched once for both keys: in a twin of thousands of partitions, each search looks into
/// every one of them.
fn compare(target: &Target<'_>) -> String {
    let sides = [target.side, target.other()];
    let [table, follower] = [target.table(), target.follower()];
    let numbers_differ = |parameter: &str| {
        let [left, right] = sides.map(|side| with_key(target, side, parameter));
        format!(
            "(SELECT count(*) FROM {table} WHERE {left}) <> (SELECT count(*) FROM t WHERE {right})"
        )
    };
    let identity = target.plan.identity();
    let same_key = identity.iter().map(|column| {
        let [left, right] = sides.map(|side| quote_ident(column.on(side)));
        // Of two collations that were asked for neither outweighs the other.
        let collates = |side: &Side| {
            let column = target.plan.table(*side).column(column.on(*side));
            column.is_some_and(|column| column.collation.is_some())
        };
        let cast = if sides.iter().all(collates) { "::text COLLATE \"C\"" } else { "" };
        format!("l.{left}{cast} = t.{right}{cast}")
    });
    let columns = target.plan.columns.iter().filter_map(|column| {
        let of = |side: Side| target.plan.table(side).column(column.on(side));
        let (from, to) = (of(sides[0])?, of(sides[1])?);
        let (left, right) =
            (format!("l.{}", quote_ident(&from.name)), format!("t.{}", quote_ident(&to.name)));
        // A trigger carries what the other type holds of it; that it holds less is told of the types.
        let (left, right) = match (column.value(sides[0]), column.value(sides[1])) {
            (Some(one), Some(other)) => (of_row(one, "l"), of_row(other, "t")),
            _ if is_cast_alike(from, to) => (format!("({left})::{}", to.type_name), right),
            _ => (left, right),
        };
        let name = literal(column.on(Side::Legacy));
        // Nothing carries what the other side computes.
        let pair = format!("({name}, {}, {})", sortable_of(&left), sortable_of(&right));
        (!to.generated).then_some(pair)
    });
    let mut pairs: Vec<String> = columns.collect();
    if pairs.is_empty() {
        pairs.push("('', NULL::bytea, NULL::bytea)".into());
    }
    format!(
        "WITH t AS MATERIALIZED (SELECT * FROM {follower} WHERE {})
         SELECT {} OR {},
                ARRAY(SELECT DISTINCT v.name
                        FROM {table} AS l JOIN t ON {}, LATERAL (VALUES {}) AS v (name, a, b)
                       WHERE l.tableoid = $1 AND l.ctid = $2 AND v.a IS DISTINCT FROM v.b)",
        with_either_key(target, sides[1]),
        numbers_differ("$3"),
        numbers_differ("$4"),
        same_key.collect::<Vec<_>>().join(" AND "),
        pairs.join(", "),
    )
}

/// An expression over the columns of one of several rows.
fn of_row(expression: &str, alias: &str) -> String {
    format!("(SELECT {expression} FROM (SELECT {alias}.*) AS s)")
}

/// Rows of one side with one of the two keys that parameters hold.
fn with_either_key(target: &Target<'_>, side: Side) -> String {
    let [now, before] = ["$3", "$4"].map(|parameter| with_key(target, side, parameter));
    match target.plan.identity().as_slice() {
        // One search of an index rather than two.
        [column] => {
            let name = column.on(side);
            let type_name = target.plan.table(side).column(name).map_or("text", |c| &c.bare_type);
            let values = ["$3", "$4"].map(|p| format!("({p}::text[])[1]::{type_name}")).join(", ");
            format!("{} = ANY (ARRAY[{values}])", quote_ident(name))
        }
        _ => format!("({now}) OR ({before})"),
    }
}

/// Gives a column another value.
pub(super) fn update(target: &Target<'_>, column: &Column, value: &str) -> String {
    format!(
        "UPDATE {} AS {ROW} SET {} = {value}
          WHERE {HERE} AND num_nulls({value}) = 0 AND {} IS DISTINCT FROM {} AND {}
         RETURNING tableoid, ctid, {}",
        target.table(),
        quote_ident(&column.name),
        sortable_of(value),
        sortable_of(&own(&column.name)),
        is_free(target, |name| (name == column.name).then(|| value.to_owned())),
        key_texts(target)
    )
}

/// Takes a column's value away.
pub(super) fn set_null(target: &Target<'_>, column: &Column) -> String {
    format!(
        "UPDATE {} AS {ROW} SET {} = NULL WHERE {HERE} AND num_nulls({}) = 0
         RETURNING tableoid, ctid, {}",
        target.table(),
        quote_ident(&column.name),
        own(&column.name),
        key_texts(target)
    )
}
