//! What stands in `repair.sql`.

use crate::schema::{ComparedColumn, PairPlan, Side};
use crate::sql::{literal, outside};
use cutover_ground::pg::catalog::Column;
use cutover_ground::pg::quote_ident;

/// A legacy row as a whole; a name that no column is likely to bear.
const ROW: &str = "\"the row\"";

/// How it is applied, and a session that prints equal values alike and hides no row.
pub(super) const HEADER: &str = "\
-- Makes the twin's rows of diverging orgs equal to what legacy holds NOW. Apply it with
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

/// The functions of the pair with this number, which last as long as the session.
pub(super) fn functions(plan: &PairPlan, number: usize) -> String {
    let (find, repair) = (differences(plan), repair(plan, number));
    let [legacy, tag] = [plan.table(Side::Legacy).name.to_string(), tag(&[&find, &repair])];
    format!(
        "
CREATE FUNCTION pg_temp.cutover_differences_{number}(text)
RETURNS TABLE (leaf oid, place tid, wanted {legacy}) LANGUAGE sql STABLE AS {tag}{find}{tag};
CREATE FUNCTION pg_temp.cutover_repair_{number}(text, boolean)
RETURNS text LANGUAGE plpgsql AS {tag}{repair}{tag};
"
    )
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

/// Rows as text, NULL and the empty text apart.
fn row_text(columns: &[ComparedColumn], side: Side) -> String {
    let names = columns.iter().map(|column| quote_ident(column.on(side)));
    format!("ROW({})::text COLLATE \"C\"", names.collect::<Vec<_>>().join(", "))
}

fn org_is(plan: &PairPlan, side: Side) -> String {
    let name = plan.org.on(side);
    let type_name = plan.table(side).column(name).map_or("text", |column| &column.bare_type);
    format!("{} = $1::{type_name}", quote_ident(name))
}

/// What differs in an org: rows that the twin has to have (`wanted`) and rows that it has instead
/// (`leaf`, `place`), in pairs where they share the key; one half is NULL if there is no other.
fn differences(plan: &PairPlan) -> String {
    let [legacy, twin] = Side::BOTH.map(|side| plan.table(side).name.to_string());
    let [legacy_org, twin_org] = Side::BOTH.map(|side| org_is(plan, side));
    let [legacy_image, twin_image] = Side::BOTH.map(|side| row_text(&plan.columns, side));
    let [legacy_key, twin_key] = Side::BOTH.map(|side| row_text(&plan.key, side));
    // Of several rows of the twin that one only has to make way, the one in the right place stays.
    let [legacy_home, twin_home] = Side::BOTH.map(|side| {
        plan.partition_column().map_or_else(
            || "NULL::text".into(),
            |column| row_text(std::slice::from_ref(column), side),
        )
    });
    let row = format!(
        "SELECT tableoid AS leaf, ctid AS place, {twin_key} AS key, {twin_home} AS home,
                   {twin_image} AS image
              FROM {twin}"
    );
    // A row that stands under another org in the twin is the same row if keys are unique. It is
    // looked for by itself: with an OR, no index would serve either half.
    let elsewhere = if plan.key_within_org {
        String::new()
    } else {
        let [legacy_keys, twin_keys] = Side::BOTH.map(|side| key_list(plan, side));
        format!(
            "
            UNION ALL
            {row} WHERE ({twin_keys}) IN (SELECT {legacy_keys} FROM {legacy} WHERE {legacy_org})
               AND ({twin_org}) IS NOT TRUE"
        )
    };
    format!(
        "
    WITH l AS MATERIALIZED (
        SELECT {ROW} AS wanted, {legacy_key} AS key, {legacy_home} AS home, {legacy_image} AS image,
               row_number() OVER (PARTITION BY {legacy_image}) AS copy
          FROM {legacy} AS {ROW} WHERE {legacy_org}
    ), t AS MATERIALIZED (
        SELECT r.*, row_number() OVER (PARTITION BY image) AS copy FROM (
            {row} WHERE {twin_org}{elsewhere}
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

fn key_list(plan: &PairPlan, side: Side) -> String {
    let names = plan.key.iter().map(|column| quote_ident(column.on(side)));
    names.collect::<Vec<_>>().join(", ")
}

/// Locks, rewrites, checks; begins again where another transaction was in the way.
///
/// It gives up on a lock before the server looks for a deadlock, so that no writer of the
/// application is ever the one that is ended.
fn repair(plan: &PairPlan, number: usize) -> String {
    let [legacy, twin] = Side::BOTH.map(|side| plan.table(side).name.to_string());
    let legacy_org = org_is(plan, Side::Legacy);
    // Rows are paired by their keys, so that these are equal; a table may hold nothing else.
    let is_key = |column: &ComparedColumn| plan.key.contains(column);
    let only_keys = carried(plan).all(|(column, _)| is_key(column));
    let set: Vec<String> = carried(plan)
        .filter(|(column, _)| only_keys || !is_key(column))
        .map(|(column, value)| format!("{} = {value}", quote_ident(column.on(Side::Partitioned))))
        .collect();
    let (names, values): (Vec<String>, Vec<String>) = carried(plan)
        .map(|(column, value)| (quote_ident(column.on(Side::Partitioned)), value))
        .chain(required(plan))
        .unzip();
    let (names, values) = (names.join(", "), values.join(", "));
    let (set, misplaced) = (set.join(", "), misplaced(plan));
    let differences = format!("pg_temp.cutover_differences_{number}($1) AS d");
    let there = format!("{ROW}.tableoid = d.leaf AND {ROW}.ctid = d.place");
    format!(
        "
DECLARE
    cutover_deleted   bigint;
    cutover_rewritten bigint;
    cutover_inserted  bigint;
BEGIN
    PERFORM set_config('lock_timeout', '500ms', true);
    FOR cutover_attempt IN 1..40 LOOP
        BEGIN
            PERFORM 1 FROM {legacy} WHERE {legacy_org} FOR UPDATE;
            IF $2 THEN
                NULL;{misplaced}
            END IF;
            DELETE FROM {twin} AS {ROW} USING {differences} WHERE d.wanted IS NULL AND {there};
            GET DIAGNOSTICS cutover_deleted = ROW_COUNT;
            UPDATE {twin} AS {ROW} SET {set} FROM {differences}
             WHERE d.place IS NOT NULL AND {there};
            GET DIAGNOSTICS cutover_rewritten = ROW_COUNT;
            INSERT INTO {twin} ({names}) OVERRIDING SYSTEM VALUE
            SELECT {values} FROM {differences} WHERE d.place IS NULL;
            GET DIAGNOSTICS cutover_inserted = ROW_COUNT;
            IF EXISTS (SELECT FROM {differences}) THEN
                RAISE EXCEPTION USING ERRCODE = 'CU003', MESSAGE = format(
                    'org %s of %s still differs after its rows were rewritten', $1, {name}),
                    HINT = 'a trigger, default or generated column of the twin alters its rows';
            END IF;
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
    )
}

/// The compared columns that the twin does not compute, with the value that each has to have.
fn carried(plan: &PairPlan) -> impl Iterator<Item = (&ComparedColumn, String)> {
    let [legacy, twin] = Side::BOTH.map(|side| plan.table(side));
    plan.columns.iter().filter_map(|column| {
        let from = legacy.column(column.on(Side::Legacy))?;
        let to = twin.column(column.on(Side::Partitioned))?;
        let mut value = format!("(d.wanted).{}", quote_ident(&from.name));
        if from.type_oid != to.type_oid {
            value = format!("({value})::text::{}", to.type_name);
        }
        (!to.generated).then_some((column, value))
    })
}

/// Columns that are not compared and that the twin can neither leave empty nor fill itself.
fn required(plan: &PairPlan) -> impl Iterator<Item = (String, String)> {
    let legacy = plan.table(Side::Legacy);
    let compared =
        |column: &Column| plan.columns.iter().any(|c| c.on(Side::Partitioned) == column.name);
    let columns = plan.table(Side::Partitioned).columns.iter().filter(move |column| {
        let by_itself = column.generated || column.identity || column.default_value.is_some();
        column.not_null && !by_itself && !compared(column) && legacy.column(&column.name).is_some()
    });
    columns.map(|column| {
        let name = quote_ident(&column.name);
        (name.clone(), format!("(d.wanted).{name}"))
    })
}

/// Takes rows out of leaves whose bounds exclude them; they come back where they belong.
fn misplaced(plan: &PairPlan) -> String {
    let org = org_is(plan, Side::Partitioned);
    let leaves = plan.leaves(Side::Partitioned).iter();
    let deletes = leaves.filter_map(|leaf| {
        let (leaf, outside) = (leaf.qualified(), outside(leaf)?);
        Some(format!("\n                DELETE FROM ONLY {leaf} WHERE {org} AND {outside};"))
    });
    deletes.collect()
}
