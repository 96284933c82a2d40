//! What is asked of the catalogs about triggers, functions and what they touch.

/// The triggers of tables and of all below them, `$1` the tables' oids; of every table if that is NULL.
/// `root` is the table that a partition or child belongs to.
pub(super) const FIRINGS: &str = "
WITH RECURSIVE below AS (
        SELECT c.oid AS root, c.oid AS relation
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
           AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
           AND CASE WHEN $1::bigint[] IS NULL
                    THEN NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)
                    ELSE c.oid::bigint = ANY ($1) END
        UNION
        SELECT b.root, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.relation)
SELECT b.root::bigint AS root, b.relation::bigint AS relation, t.tgname::text AS name,
       t.tgenabled::text AS enabled, t.tgtype::int AS kind, t.tgqual IS NOT NULL AS conditional,
       t.tgfoid::bigint AS function_oid, p.oid::regproc::text AS function, p.prosrc AS source,
       ARRAY(SELECT a.attname::text FROM unnest(t.tgattr::int2[]) AS k (attnum)
               JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = k.attnum
              ORDER BY a.attnum) AS columns,
       string_to_array(trim(TRAILING E'\\\\000' FROM encode(t.tgargs, 'escape')), E'\\\\000') AS arguments
  FROM below b
  JOIN pg_trigger t ON t.tgrelid = b.relation
  JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE NOT t.tgisinternal AND t.tgparentid = 0
 ORDER BY 1, 3, 2";

/// Functions by oid (`$1`) and, outside the system's own, by name (`$2`).
pub(super) const FUNCTIONS: &str = "
SELECT p.oid::bigint AS oid, p.oid::regproc::text AS display, n.nspname::text AS schema,
       p.proname::text AS name, coalesce(p.prosrc, '') AS source,
       coalesce(pg_get_function_sqlbody(p.oid), '') AS parsed,
       l.lanname::text AS language, l.lanpltrusted AS trusted,
       pg_function_is_visible(p.oid) AS visible,
       (SELECT e.extname::text
          FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
         WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
           AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' LIMIT 1) AS extension,
       (SELECT substr(s, 13) FROM unnest(p.proconfig) AS s WHERE s LIKE 'search_path=%') AS search_path
  FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang
 WHERE p.oid::bigint = ANY ($1)
    OR p.proname::text = ANY ($2) AND p.prokind IN ('f', 'p')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// Relations by name, with the table that each belongs to; of a view, the tables that it shows.
pub(super) const RELATIONS: &str = "
WITH RECURSIVE named AS (
        SELECT c.oid, c.relname::text AS name, n.nspname::text AS schema, c.relkind
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname::text = ANY ($1) AND c.relkind IN ('r', 'p', 'f', 'v')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')),
     shown AS (
        SELECT oid AS start, oid AS relation FROM named
        UNION
        SELECT s.start, d.refobjid
          FROM shown s
          JOIN pg_rewrite r ON r.ev_class = s.relation
          JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
           AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> s.relation
          JOIN pg_class v ON v.oid = s.relation AND v.relkind = 'v'),
     above AS (
        SELECT start, relation AS root, relation FROM shown
        UNION
        SELECT a.start, i.inhparent, a.relation
          FROM above a JOIN pg_inherits i ON i.inhrelid = a.root)
SELECT n.name, n.schema, pg_table_is_visible(n.oid) AS visible, a.root::bigint AS root
  FROM above a
  JOIN named n ON n.oid = a.start
  JOIN pg_class c ON c.oid = a.root
 WHERE c.relkind IN ('r', 'p', 'f')
   AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = a.root)
 ORDER BY 1, 2, 4";

/// What a write of the tables `$1` touches beside their own rows.
pub(super) const TABLES: &str = "
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name, n.nspname::text AS schema,
       c.relname::text AS plain_name, c.relkind = 'p' AS divided,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1') AS rules,
       (SELECT t.relid::regclass::text
          FROM (SELECT relid FROM pg_partition_tree(c.oid) UNION SELECT c.oid) AS t
          JOIN pg_class f ON f.oid = t.relid AND f.relkind = 'f' LIMIT 1) AS foreign_part,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attname,
               (SELECT format('%I.%I', sn.nspname, q.relname)
                  FROM pg_depend x
                  JOIN pg_class q ON q.relkind = 'S'
                   AND q.oid = CASE WHEN a.attidentity <> '' THEN x.objid ELSE x.refobjid END
                  JOIN pg_namespace sn ON sn.oid = q.relnamespace
                 WHERE CASE WHEN a.attidentity <> ''
                            THEN x.classid = 'pg_class'::regclass AND x.refclassid = 'pg_class'::regclass
                             AND x.refobjid = a.attrelid AND x.refobjsubid = a.attnum AND x.deptype = 'i'
                            ELSE x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid
                             AND x.refclassid = 'pg_class'::regclass END
                 LIMIT 1))), '[]')
          FROM pg_attribute a
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           AND (a.attidentity <> ''
                OR a.attgenerated = '' AND pg_get_expr(d.adbin, d.adrelid) ~* '(nextval|setval)'))
         AS numbered,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attname, f.refobjid::bigint)), '[]')
          FROM pg_attrdef d
          JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
          JOIN pg_depend f ON f.classid = 'pg_attrdef'::regclass AND f.objid = d.oid
           AND f.refclassid = 'pg_proc'::regclass
         WHERE d.adrelid = c.oid AND a.attgenerated = '') AS computed,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(k.conrelid::bigint, k.confdeltype, k.confupdtype)), '[]')
          FROM pg_constraint k
         WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid
           AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))) AS cascades
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid::bigint = ANY ($1)";

/// Sequences by name.
pub(super) const SEQUENCES: &str = "
SELECT c.relname::text AS name, n.nspname::text AS schema, pg_table_is_visible(c.oid) AS visible,
       format('%I.%I', n.nspname, c.relname) AS quoted
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relname::text = ANY ($1)
 ORDER BY 1, 2";

/// The whole trial, in one message to the server; `plan` is what `trial.sql` takes.
pub(super) fn trial(plan: &str) -> String {
    format!(
        "BEGIN;
         SET LOCAL lock_timeout = '100ms';
         SET LOCAL statement_timeout = '180ms';
         SET CONSTRAINTS ALL IMMEDIATE;
         SELECT set_config('cutover.trial', E'{}', true);
         {}",
        plan.replace('\\', "\\\\").replace('\'', "''"),
        include_str!("trial.sql")
    )
}
