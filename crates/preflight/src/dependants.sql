-- What would break, or go with it, if the table $1 were dropped, its own triggers and indexes aside; and
-- what only might, because a text names it.
WITH legacy AS (SELECT oid, relname FROM pg_catalog.pg_class WHERE oid = to_regclass($1))
SELECT 'foreign key ' || quote_ident(c.conname) || ' of ' || c.conrelid::regclass AS dependant, true AS certain
  FROM legacy JOIN pg_catalog.pg_constraint c ON c.confrelid = legacy.oid
 WHERE c.contype = 'f' AND c.conrelid <> legacy.oid AND c.conparentid = 0
UNION
SELECT 'view ' || r.ev_class::regclass, true
  FROM legacy
  JOIN pg_catalog.pg_depend d
    ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = legacy.oid
   AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
 WHERE r.ev_class <> legacy.oid
UNION
-- A sequence that a column of legacy owns goes with it, whoever else draws numbers from it.
SELECT 'default of ' || a.adrelid::regclass || ', which draws from ' || owned.objid::regclass, true
  FROM legacy
  JOIN pg_catalog.pg_depend owned
    ON owned.refclassid = 'pg_catalog.pg_class'::regclass AND owned.refobjid = legacy.oid
   AND owned.classid = 'pg_catalog.pg_class'::regclass AND owned.deptype IN ('a', 'i')
  JOIN pg_catalog.pg_class s ON s.oid = owned.objid AND s.relkind = 'S'
  JOIN pg_catalog.pg_depend used
    ON used.refclassid = 'pg_catalog.pg_class'::regclass AND used.refobjid = s.oid
   AND used.classid = 'pg_catalog.pg_attrdef'::regclass
  JOIN pg_catalog.pg_attrdef a ON a.oid = used.objid
  JOIN pg_catalog.pg_class t ON t.oid = a.adrelid
 WHERE a.adrelid <> legacy.oid AND NOT t.relispartition
UNION
SELECT 'publication ' || quote_ident(p.pubname), true
  FROM legacy
  JOIN pg_catalog.pg_publication_rel r ON r.prrelid = legacy.oid
  JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
UNION
-- The server does not know what a function's text is about: by the table's name, as a whole word.
SELECT 'function ' || f.oid::regprocedure, false
  FROM legacy
  JOIN pg_catalog.pg_proc f
    ON f.prosrc ~ ('\y' || regexp_replace(legacy.relname, '([^[:alnum:]_])', '\\\1', 'g') || '\y')
  JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
 ORDER BY dependant
