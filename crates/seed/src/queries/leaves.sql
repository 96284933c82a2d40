-- Leaves and plain tables, largest first.
WITH RECURSIVE tree(rel) AS (
    SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.rel
)
SELECT format('%I.%I', n.nspname, c.relname)
  FROM tree
  JOIN pg_class c ON c.oid = tree.rel AND c.relkind = 'r'
  JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY pg_relation_size(c.oid) DESC
