-- Sequences that number columns of our tables: sequence, table, column.
WITH RECURSIVE tree(rel) AS (
    SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.rel
)
SELECT format('%I.%I', sn.nspname, s.relname), format('%I.%I', n.nspname, c.relname),
      quote_ident(a.attname)
  FROM tree
  JOIN pg_depend d ON d.refobjid = tree.rel AND d.refclassid = 'pg_class'::regclass
      AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_class c ON c.oid = tree.rel
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = tree.rel AND a.attnum = d.refobjsubid
 ORDER BY 1
