//! What stands in `repair.sql`. The `source` is the side that the application writes to, the `target` the one
//! that is rewritten.

use crate::direction::other;
use crate::org::{org_is, row_text};
use crate::schema::{ComparedColumn, PairPlan, Side};
use crate::sql::{literal, outside};
use crate::value::is_cast_alike;
use cutover_evidence::finding::RepairPlan;
use cutover_ground::pg::catalog::Column;
use cutover_ground::pg::quote_ident;

/// A row of the source as a whole; a name that no column is likely to bear.
const ROW: &str = "\"the row\"";

/// Whether tables may be distributed over servers by Citus.
pub(super) const HAS_CITUS: &str = "SELECT to_regclass('pg_dist_partition') IS NOT NULL";

/// Whether the table `$2` of schema `$1` is.
pub(super) const IS_DISTRIBUTED: &str = "
SELECT EXISTS (SELECT 1 FROM pg_dist_partition d
                 JOIN pg_class c ON c.oid = d.logicalrelid::oid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $1 AND c.relname = $2)";

/// Whether there may be chunks of hypertables.
pub(super) const HAS_CHUNKS: &str = "
SELECT to_regclass('_timescaledb_catalog.chunk') IS NOT NULL
   AND to_regclass('_timescaledb_catalog.hypertable') IS NOT NULL";

/// Whether the table `$2` of schema `$1` has some that are compressed.
pub(super) const HAS_COMPRESSED: &str = "
SELECT EXISTS (SELECT FROM _timescaledb_catalog.chunk c
                 JOIN _timescaledb_catalog.hypertable h ON h.id = c.hypertable_id
                WHERE h.schema_name::text = $1 AND h.table_name::text = $2
                  AND c.compressed_chunk_id IS NOT NULL)";

/// What the file does, how it is applied, and a session that prints equal values alike and hides no row.
pub(super) fn head(plans: &[RepairPlan]) -> String {
    let mut head = String::from("-- repair.sql, made by cutover diff --repair.\n");
    if plans.iter().all(RepairPlan::is_empty) {
        head.push_str("-- No row differs that it could mend: it changes nothing.\n");
    }
    for plan in plans.iter().filter(|plan| !plan.is_empty() || plan.refused.is_some()) {
        head.push_str(&format!("-- {}\n", plan.words().replace(char::is_control, " ")));
    }
    head + SESSION
}

/// How it is applied, and its session.
const SESSION: &str = "\
-- It makes these rows equal to what the other side holds WHEN IT IS APPLIED. Apply it with
--     psql -X -v ON_ERROR_STOP=1 -f repair.sql DATABASE_URL
-- as a role that may read and write both tables, then compare again. Mend the cause first: what a
-- trigger does not carry is lost again with the next write. A row without a partition stops its
-- org; create the partition and apply the file again.
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET row_security = off;
SET constraint_exclusion = 'partition';
";

/// The functions of the pair with this number, which last as long as the session; they stop once more than
/// `limit` rows were deleted or overwritten.
pub(super) fn functions(
    plan: &PairPlan,
    target: Side,
    number: usize,
    limit: Option<u64>,
) -> String {
    let (find, repair) = (differences(plan, target, "$1"), repair(plan, target, number, limit));
    let [source, tag] = [plan.table(other(target)).name.to_string(), tag(&[&find, &repair])];
    format!(
        "
CREATE FUNCTION pg_temp.cutover_differences_{number}(text)
RETURNS TABLE (leaf oid, place tid, wanted {source}) LANGUAGE sql STABLE AS {tag}{find}{tag};
CREATE FUNCTION pg_temp.cutover_repair_{number}(text, boolean)
RETURNS text LANGUAGE plpgsql AS {tag}{repair}{tag};
"
    )
}

/// Asks how the statement that finds differences would be run.
pub(super) fn explain_differences(plan: &PairPlan, target: Side) -> String {
    format!("EXPLAIN {}", differences(plan, target, "NULL::text"))
}

/// The transaction of one org; `misrouted` where a partition's bounds exclude one of its rows.
pub(super) fn org(number: usize, org: &str, misrouted: bool) -> String {
    let org = literal(org);
    format!("BEGIN;\nSELECT pg_temp.cutover_repair_{number}({org}, {misrouted});\nCOMMIT;\n")
}

/// A dollar quote that none of the texts ends by accident or design.
fn tag(texts: &[&str]) -> String {
    let mut tag = "$repair$".to_owned();
    while texts.iter().any(|text| text.contains(&tag)) {
        tag.insert(tag.len() - 1, '_');
    }
    tag
}

/// What differs in an org: rows that the twin has to have (`wanted`) and rows that it has instead
/// (`leaf`, `place`), in pairs where they share the key; one half is NULL if there is no other.
fn differences(plan: &PairPlan, target: Side, wanted_org: &str) -> String {
    let (sides, target_side) = ([other(target), target], target);
    let [source, target] = sides.map(|side| plan.table(side).name.to_string());
    let [source_org, target_org] = sides.map(|side| org_is(plan, side, wanted_org));
    let [source_image, target_image] = sides.map(|side| row_text(&plan.columns, side));
    let [source_key, target_key] = sides.map(|side| row_text(&plan.key, side));
    // Of several rows that one only has to make way, the one in the right place stays.
    let [source_home, target_home] = sides.map(|side| {
        plan.partition_column().map_or_else(
            || "NULL::text".into(),
            |column| row_text(std::slice::from_ref(column), side),
        )
    });
    let row = format!(
        "SELECT tableoid AS leaf, ctid AS place, {target_key} AS key, {target_home} AS home,
                   {target_image} AS image
              FROM {target}"
    );
    // A row that stands under another org in the twin is the same row if keys are unique. It is
    // looked for by itself: with an OR, no index would serve either half.
    let elsewhere = if plan.key_within_org {
        String::new()
    } else {
        let [source_keys, target_keys] = sides.map(|side| key_list(plan, side, target_side));
        format!(
            "
            UNION ALL
            {row} WHERE ({target_keys}) IN (SELECT {source_keys} FROM {source} WHERE {source_org})
               AND ({target_org}) IS NOT TRUE"
        )
    };
    format!(
        "
    WITH l AS MATERIALIZED (
        SELECT {ROW} AS wanted, {source_key} AS key, {source_home} AS home, {source_image} AS image,
               row_number() OVER (PARTITION BY {source_image}) AS copy
          FROM {source} AS {ROW} WHERE {source_org}
    ), t AS MATERIALIZED (
        SELECT r.*, row_number() OVER (PARTITION BY image) AS copy FROM (
            {row} WHERE {target_org}{elsewhere}
        ) AS r
    ), lost AS MATERIALIZED (
        SELECT l.* FROM l WHERE NOT EXISTS
            (SELECT FROM t WHERE t.image = l.image AND t.copy = l.copy)
    ), surplus AS MATERIALIZED (
        SELECT t.* FROM t WHERE NOT EXISTS
            (SELECT FROM l WHERE l.image = t.image AND l.copy = t.copy)
    )
    SELECT leaf, place, wanted
      FROM (SELECT wanted, key, row_number() OVER (PARTITION BY key ORDER BY EXISTS
                (SELECT FROM surplus AS s WHERE s.key = lost.key AND s.home = lost.home) DESC, home)
                AS nth FROM lost) AS a
      FULL JOIN
           (SELECT leaf, place, key, row_number() OVER (PARTITION BY key ORDER BY EXISTS
                (SELECT FROM lost AS o WHERE o.key = surplus.key AND o.home = surplus.home) DESC,
                home) AS nth FROM surplus) AS b
     USING (key, nth)
"
    )
}

/// The key of one side. If the collations are unlike, the target's is asked for, which its indexes have.
fn key_list(plan: &PairPlan, side: Side, target: Side) -> String {
    let names = plan.key.iter().map(|column| {
        let name = quote_ident(column.on(side));
        let collation = |side| plan.table(side).column(column.on(side))?.collation.as_deref();
        match (collation(side), collation(target)) {
            (Some(own), Some(other)) if own != other => format!("{name} COLLATE {other}"),
            _ => name,
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Locks, rewrites, checks; begins again where another transaction was in the way.
///
/// It gives up on a lock before the server looks for a deadlock, so that no writer of the
/// application is ever the one that is ended.
fn repair(plan: &PairPlan, target: Side, number: usize, limit: Option<u64>) -> String {
    let [from, to] = [other(target), target].map(|side| plan.table(side).name.to_string());
    let from_org = org_is(plan, other(target), "$1");
    let counted = format!("cutover.rewritten_{number}");
    let limit = limit.map_or("NULL".into(), |limit| limit.to_string());
    let (names, values): (Vec<String>, Vec<String>) = carried(plan, target)
        .map(|(column, value)| (quote_ident(column.on(target)), value))
        .chain(required(plan, target))
        .unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    let (set, misplaced) = (assignments(plan, target), misplaced(plan, target));
    let differences = format!("pg_temp.cutover_differences_{number}($1) AS d");
    let there = format!("{ROW}.tableoid = d.leaf AND {ROW}.ctid = d.place");
    format!(
        "
DECLARE
    cutover_deleted   bigint;
    cutover_rewritten bigint;
    cutover_inserted  bigint;
    cutover_total     bigint;
BEGIN
    PERFORM set_config('lock_timeout', '500ms', true);
    FOR cutover_attempt IN 1..40 LOOP
        BEGIN
            PERFORM 1 FROM {from} WHERE {from_org} FOR UPDATE;
            IF $2 THEN
                NULL;{misplaced}
            END IF;
            DELETE FROM {to} AS {ROW} USING {differences} WHERE d.wanted IS NULL AND {there};
            GET DIAGNOSTICS cutover_deleted = ROW_COUNT;
            UPDATE {to} AS {ROW} SET {set} FROM {differences}
             WHERE d.place IS NOT NULL AND {there};
            GET DIAGNOSTICS cutover_rewritten = ROW_COUNT;
            INSERT INTO {to} ({names}) OVERRIDING SYSTEM VALUE
            SELECT {values} FROM {differences} WHERE d.place IS NULL;
            GET DIAGNOSTICS cutover_inserted = ROW_COUNT;
            IF EXISTS (SELECT FROM {differences}) THEN
                RAISE EXCEPTION USING ERRCODE = 'CU003', MESSAGE = format(
                    'org %s of %s still differs after its rows were rewritten', $1, {name}),
                    HINT = 'a trigger, default or generated column alters its rows';
            END IF;
            cutover_total := coalesce(nullif(current_setting('{counted}', true), ''), '0')::bigint
                + cutover_deleted + cutover_rewritten;
            IF cutover_total > {limit} THEN
                RAISE EXCEPTION USING ERRCODE = 'CU004', MESSAGE = format(
                    'more than a tenth of %s would be deleted or overwritten', {table}),
                    HINT = 'rows changed since the comparison: compare again';
            END IF;
            PERFORM set_config('{counted}', cutover_total::text, false);
            RETURN format('org %s: %s rows deleted, %s rewritten, %s inserted',
                $1, cutover_deleted, cutover_rewritten, cutover_inserted);
        EXCEPTION WHEN lock_not_available OR deadlock_detected OR SQLSTATE 'CU003' THEN
            IF cutover_attempt = 40 OR SQLSTATE = 'CU003' AND cutover_attempt > 3 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(random() * 0.05 * cutover_attempt);
        END;
    END LOOP;
END
",
        name = literal(&plan.name),
        table = literal(&to),
    )
}

/// What an UPDATE sets.
fn assignments(plan: &PairPlan, target: Side) -> String {
    // Rows are paired by their keys, so that these are equal; a table may hold nothing else.
    let is_key = |column: &ComparedColumn| plan.key.contains(column);
    let only_keys = carried(plan, target).all(|(column, _)| is_key(column));
    let set: Vec<String> = carried(plan, target)
        .filter(|(column, _)| only_keys || !is_key(column))
        .map(|(column, value)| format!("{} = {value}", quote_ident(column.on(target))))
        .collect();
    set.join(", ")
}

/// The compared columns that the target does not compute, with the value that each has to have.
fn carried(plan: &PairPlan, target: Side) -> impl Iterator<Item = (&ComparedColumn, String)> {
    plan.columns.iter().filter_map(move |column| {
        let from = plan.table(other(target)).column(column.on(other(target)))?;
        let to = plan.table(target).column(column.on(target))?;
        let mut value = format!("(d.wanted).{}", quote_ident(&from.name));
        if let Some(expression) = column.made_on(other(target)) {
            value = format!("(SELECT {expression} FROM (SELECT (d.wanted).*) AS s)");
        }
        if column.value(target).is_some() && is_cast_alike(from, to) {
            // A text of it may stand for another value: 0.1 is not the same in four bytes and in eight.
            value = format!("({value})::{}", to.type_name);
        } else if from.type_oid != to.type_oid {
            value = format!("({value})::text::{}", to.type_name);
        }
        (!to.generated).then_some((column, value))
    })
}

/// Columns that are not compared and that the target can neither leave empty nor fill itself.
fn required(plan: &PairPlan, target: Side) -> impl Iterator<Item = (String, String)> {
    let source = plan.table(other(target));
    let compared = move |column: &Column| plan.columns.iter().any(|c| c.on(target) == column.name);
    let columns = plan.table(target).columns.iter().filter(move |column| {
        let by_itself = column.generated || column.identity || column.default_value.is_some();
        column.not_null && !by_itself && !compared(column) && source.column(&column.name).is_some()
    });
    columns.map(|column| {
        let name = quote_ident(&column.name);
        (name.clone(), format!("(d.wanted).{name}"))
    })
}

/// Takes rows out of leaves whose bounds exclude them; they come back where they belong.
fn misplaced(plan: &PairPlan, target: Side) -> String {
    let org = org_is(plan, target, "$1");
    let leaves = plan.leaves(target).iter();
    let deletes = leaves.filter_map(|leaf| {
        let (leaf, outside) = (leaf.qualified(), outside(leaf)?);
        Some(format!("\n                DELETE FROM ONLY {leaf} WHERE {org} AND {outside};"))
    });
    deletes.collect()
}
