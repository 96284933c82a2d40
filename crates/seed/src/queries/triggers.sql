-- Triggers of ours to silence: table, name, and the state to give back.
-- $1: our tables; `tree` holds them and all their partitions.
WITH RECURSIVE tree(rel) AS (
    SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.rel
)
SELECT format('%I.%I', n.nspname, c.relname), quote_ident(t.tgname), t.tgenabled::text
  FROM tree
  JOIN pg_trigger t ON t.tgrelid = tree.rel
  JOIN pg_class c ON c.oid = t.tgrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
 ORDER BY 1, 2
