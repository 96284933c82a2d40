-- Writes one row as it is, takes it away and puts it back, sees which tables that reached, and undoes it.
--
-- It cannot be committed: one statement, which always ends in an error. What it saw travels in that error's
-- DETAIL. `cutover.trial` holds the table and the columns that may be set.
DO $trial$
DECLARE
    plan   jsonb := current_setting('cutover.trial')::jsonb;
    target text := plan ->> 'table';
    names  text := plan ->> 'columns';
    leaf   oid;
    place  tid;
    image  text;
    what   text;
    seen   jsonb;
    wrote  jsonb := '[]';
BEGIN
    EXECUTE format('SELECT tableoid, ctid, r::text FROM %s AS r LIMIT 1 FOR UPDATE SKIP LOCKED', target)
       INTO leaf, place, image;
    IF place IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'CU001', MESSAGE = 'it holds no row that nobody holds';
    END IF;
    FOREACH what IN ARRAY ARRAY['UPDATE', 'DELETE', 'INSERT'] LOOP
        BEGIN
            IF what = 'UPDATE' THEN
                EXECUTE format('UPDATE %s AS r SET %s = r.%2$s WHERE r.tableoid = $1 AND r.ctid = $2',
                    target, plan ->> 'column') USING leaf, place;
            ELSE
                EXECUTE format('DELETE FROM %s AS r WHERE r.tableoid = $1 AND r.ctid = $2', target)
                  USING leaf, place;
            END IF;
            IF what = 'INSERT' THEN
                EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM
                    (SELECT ($1::%1$s).*) AS r', target, names) USING image;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CU002';
        EXCEPTION
            WHEN SQLSTATE 'CU002' THEN NULL;
            WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN RAISE;
            WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    -- What was undone is counted all the same.
    SELECT coalesce(jsonb_agg(DISTINCT coalesce(pg_partition_root(relid)::oid, relid)::bigint), '[]') INTO wrote
      FROM pg_stat_xact_all_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0;
    RAISE EXCEPTION USING ERRCODE = 'CU000', DETAIL = wrote::text,
        MESSAGE = 'cutover: the trial of the triggers is undone, as it always is';
END
$trial$
