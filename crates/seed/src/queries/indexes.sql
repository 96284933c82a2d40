-- Indexes of our tables that may be dropped and built again: table, index, bare name, whether it is
-- partitioned, definition, constraint with definition and kind, parent index.
--
-- A tree of indexes (a partitioned one with its leaves) stays where any of them is what something
-- else leans on: a foreign key from outside, the replica identity, a clustering, an exclusion
-- constraint, a comment, a tablespace, or where it is not valid as it stands.
WITH RECURSIVE tree(rel) AS (
    SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.rel
),
facts AS (
    SELECT i.indexrelid, i.indrelid, COALESCE(pg_partition_root(i.indexrelid), i.indexrelid) AS root,
           k.oid AS constraint_oid, k.conname, k.contype,
           i.indisreplident OR i.indisclustered OR i.indisexclusion OR NOT i.indisvalid
           OR (SELECT reltablespace <> 0 FROM pg_class WHERE oid = i.indexrelid)
           OR obj_description(i.indexrelid, 'pg_class') IS NOT NULL
           OR COALESCE(k.contype NOT IN ('p', 'u'), false)
           OR EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f'
                         AND f.conindid = i.indexrelid
                         AND f.conrelid NOT IN (SELECT rel FROM tree)) AS stays
      FROM tree
      JOIN pg_index i ON i.indrelid = tree.rel
      LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
                               AND k.contype IN ('p', 'u', 'x')
)
SELECT format('%I.%I', n.nspname, c.relname), format('%I.%I', xn.nspname, x.relname),
       quote_ident(x.relname), x.relkind = 'I', pg_get_indexdef(f.indexrelid),
       quote_ident(f.conname), pg_get_constraintdef(f.constraint_oid), f.contype::text,
       (SELECT format('%I.%I', pn.nspname, p.relname)
          FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
          JOIN pg_namespace pn ON pn.oid = p.relnamespace
         WHERE h.inhrelid = f.indexrelid)
  FROM facts f
  JOIN pg_class c ON c.oid = f.indrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class x ON x.oid = f.indexrelid
  JOIN pg_namespace xn ON xn.oid = x.relnamespace
 WHERE f.root NOT IN (SELECT root FROM facts WHERE stays)
 ORDER BY (SELECT count(*) FROM pg_inherits h WHERE h.inhrelid = f.indexrelid), x.relname
