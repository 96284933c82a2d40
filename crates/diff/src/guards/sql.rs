//! What guards a table: constraints, unique indexes, types, rights, policies.

/// The CHECK, foreign key and exclusion constraints of a table, and those that a partition has for itself; over
/// `tree`, with the object identifier `$1`. One that is not valid yet refuses new rows all the same.
pub(super) const CONSTRAINTS: &str = "
SELECT c.conname::text AS name, c.contype::text AS kind, c.conrelid::regclass::text AS on_table,
       c.conrelid = $1::bigint::oid AS direct,
       regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', '') AS definition,
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.place)
                   FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
                   JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number), '{}')
         AS columns
  FROM pg_constraint AS c JOIN tree ON tree.relid = c.conrelid
 WHERE c.contype IN ('c', 'f', 'x') AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
   AND (c.conrelid = $1::bigint::oid OR c.coninhcount = 0 AND c.conparentid = 0)
 ORDER BY direct DESC, on_table, name";

/// The unique indexes of a table, and those that a partition has for itself.
pub(super) const UNIQUES: &str = "
SELECT i.indexrelid::regclass::text AS name, i.indrelid::regclass::text AS on_table,
       i.indrelid = $1::bigint::oid AS direct, i.indisvalid AS valid,
       i.indexprs IS NOT NULL AS computed,
       coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate,
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_equal,
       regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', '') AS definition,
       ARRAY(SELECT a.attname::text
               FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (number, place)
               JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
              WHERE k.place <= i.indnkeyatts ORDER BY k.place) AS columns
  FROM pg_index AS i JOIN tree ON tree.relid = i.indrelid
 WHERE i.indisunique
   AND (i.indrelid = $1::bigint::oid
        OR NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid))
 ORDER BY direct DESC, on_table, name";

/// Columns that a partition alone keeps from being NULL.
pub(super) const NOT_NULL_BELOW: &str = "
SELECT a.attname::text AS column, min(a.attrelid::regclass::text) AS on_table
  FROM tree
  JOIN pg_attribute AS a ON a.attrelid = tree.relid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_attribute AS r ON r.attrelid = $1::bigint::oid AND r.attname = a.attname
 WHERE a.attnotnull AND NOT r.attnotnull
 GROUP BY 1 ORDER BY 1";

/// What a column's type allows: its base and limits, the constraints of a domain, the labels of an enumeration.
pub(super) const TYPES: &str = "
SELECT a.attname::text AS column, t.typname::text AS type_name, t.typtype::text AS kind,
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier,
       CASE WHEN t.typtype = 'd' THEN b.typname ELSE t.typname END::text AS base,
       coalesce((SELECT string_agg(pg_get_constraintdef(c.oid), ' ' ORDER BY c.conname)
                   FROM pg_constraint AS c WHERE c.contypid = t.oid), '')
         || CASE WHEN t.typtype = 'd' AND t.typnotnull THEN ' NOT NULL' ELSE '' END AS domain,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
         AS labels
  FROM pg_attribute AS a
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_type AS b ON b.oid = t.typbasetype
 WHERE a.attrelid = $1::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum";

/// Rights on the table `$1`, of the whole or of a column, that their holders have not on the table `$2`;
/// `$3` are columns of the first, `$4` the same columns as the second calls them.
pub(super) const RIGHTS: &str = "
WITH granted AS (
    SELECT acl.grantee, acl.privilege_type AS privilege, NULL::text AS twin
      FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS acl
     WHERE c.oid = $1::bigint::oid
     UNION
    SELECT acl.grantee, acl.privilege_type, named.twin
      FROM pg_attribute AS a
      JOIN unnest($3::text[], $4::text[]) AS named (legacy, twin) ON named.legacy = a.attname
      CROSS JOIN aclexplode(a.attacl) AS acl
     WHERE a.attrelid = $1::bigint::oid AND NOT a.attisdropped),
holders AS (
    SELECT CASE grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(grantee) END::text AS holder,
           privilege, twin
      FROM granted
     WHERE privilege IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE'))
SELECT holder, privilege, coalesce(twin, '') AS column
  FROM holders
 WHERE NOT CASE WHEN twin IS NULL THEN has_table_privilege(holder, $2::bigint::oid, privilege)
                ELSE has_column_privilege(holder, $2::bigint::oid, twin, privilege) END
 UNION ALL
SELECT DISTINCT holder, 'USAGE ON SCHEMA ' || quote_ident(n.nspname), ''
  FROM holders JOIN pg_class AS c ON c.oid = $2::bigint::oid JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE NOT has_schema_privilege(holder, n.oid, 'USAGE')
   AND has_schema_privilege(holder, (SELECT relnamespace FROM pg_class WHERE oid = $1::bigint::oid), 'USAGE')
 ORDER BY 1, 2, 3";

/// Whether the functions of all triggers of the table `$1` that have these names, `$2`, work with their owner's
/// rights.
pub(super) const DEFINERS: &str = "
SELECT coalesce(bool_and(p.prosecdef), false)
  FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1::bigint::oid AND t.tgname = ANY ($2::text[]) AND NOT t.tgisinternal";

/// Row security of a table: whether it is on, whether it holds for the owner, too, and each policy.
pub(super) const POLICIES: &str = "
SELECT c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
       ARRAY(SELECT concat_ws(' ', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                              'FOR ' || CASE p.polcmd WHEN '*' THEN 'ALL' WHEN 'r' THEN 'SELECT'
                                             WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END,
                              'TO ' || (SELECT string_agg(name, ', ' ORDER BY name)
                                          FROM (SELECT CASE r WHEN 0 THEN 'PUBLIC'
                                                              ELSE pg_get_userbyid(r) END::text AS name
                                                  FROM unnest(p.polroles) AS r) AS roles),
                              'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
                              'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
               FROM pg_policy AS p WHERE p.polrelid = c.oid) AS policies
  FROM pg_class AS c WHERE c.oid = $1::bigint::oid";
