-- Foreign keys that start at our tables: table, name, definition.
WITH RECURSIVE tree(rel) AS (
    SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.rel
)
SELECT format('%I.%I', n.nspname, c.relname), quote_ident(k.conname),
      pg_get_constraintdef(k.oid)
  FROM tree
  JOIN pg_constraint k ON k.conrelid = tree.rel AND k.contype = 'f' AND k.conparentid = 0
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY 1, 2
