-- Tries what the triggers carry, on one row that both sides agree on, and undoes it.
--
-- It cannot be committed: one statement, which always ends in an error. What it saw travels in
-- that error's DETAIL. Every try is a subtransaction of its own that is undone at once; one that
-- has to wait for a lock ends the probe, so that it is in nobody's way.
--
-- `cutover.probe` holds the statements, made by sql.rs. Those that write take $1 the leaf and $2 the
-- place of the row they work on and $3 the row as it was, and return leaf, place and key of the row
-- they wrote; `compare` takes $1 leaf, $2 place, $3 key now, $4 key before.
DO $probe$
DECLARE
    plan      jsonb := current_setting('cutover.probe')::jsonb;
    seen      jsonb := '[]';
    accepted  jsonb := '{}';
    -- The row that the probe works on.
    leaf      oid;
    place     tid;
    key       text[];
    image     text;
    picked    boolean;
    -- The row that a try wrote, and how the twin looks then.
    now_leaf  oid;
    now_place tid;
    now_key   text[];
    rows_differ boolean;
    differing text[];
    tried     boolean;
    reason    text;
    code      text;
    step      jsonb;
    attempt   jsonb;
    mode      text;
    fields    text;
    copying   text;
BEGIN
    FOR leaf, place, key, image IN EXECUTE plan ->> 'candidates' LOOP
        EXECUTE plan ->> 'lock' INTO picked USING leaf, place;
        CONTINUE WHEN picked IS NULL;
        EXECUTE plan ->> 'alone' INTO picked USING key;
        CONTINUE WHEN NOT picked;
        EXECUTE plan ->> 'compare' INTO rows_differ, differing USING leaf, place, key, key;
        picked := NOT rows_differ AND differing = '{}';
        EXIT WHEN picked;
    END LOOP;
    IF picked IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'CU001', MESSAGE = 'cutover: no row to probe with';
    END IF;

    -- UPDATE, column by column, with the first value that the table accepts.
    FOR step IN SELECT * FROM jsonb_array_elements(plan -> 'updates') LOOP
        tried := false;
        code := NULL;
        reason := 'the table accepts no other value that was tried';
        FOR attempt IN SELECT * FROM jsonb_array_elements(step -> 'attempts') LOOP
            BEGIN
                EXECUTE attempt ->> 'statement' INTO now_leaf, now_place, now_key
                  USING leaf, place, image;
                IF now_place IS NOT NULL THEN
                    EXECUTE plan ->> 'compare' INTO rows_differ, differing
                      USING now_leaf, now_place, now_key, key;
                    tried := true;
                END IF;
                RAISE EXCEPTION USING ERRCODE = 'CU002';
            EXCEPTION
                WHEN SQLSTATE 'CU002' THEN NULL;
                WHEN lock_not_available THEN RAISE;
                WHEN OTHERS THEN
                    -- The first value is the likeliest; why the others are refused tells less.
                    IF code IS NULL THEN
                        reason := SQLERRM; code := SQLSTATE;
                    END IF;
            END;
            IF tried AND step ->> 'kind' = 'value' THEN
                accepted := accepted
                    || jsonb_build_object(step ->> 'column', attempt -> 'expression');
            END IF;
            EXIT WHEN tried;
        END LOOP;
        -- A key that others refer to cannot be changed, a copy of the row may still have another.
        IF NOT tried AND step ->> 'kind' = 'value' AND step ->> 'key' = 'true' THEN
            accepted := accepted
                || jsonb_build_object(step ->> 'column', step #> '{attempts,0,expression}');
        END IF;
        seen := seen || jsonb_build_object('event', 'UPDATE', 'kind', step -> 'kind',
            'column', step -> 'column', 'tried', tried, 'reason', reason, 'code', code,
            'rows_differ', tried AND rows_differ,
            'differing', CASE WHEN tried THEN differing ELSE '{}' END);
    END LOOP;

    -- INSERT: the row again with every value changed, or its key alone, or gone and back again.
    tried := false;
    code := NULL;
    reason := 'no key is free for a copy of a row';
    FOREACH mode IN ARRAY ARRAY['changed', 'key', 'same'] LOOP
        SELECT string_agg(CASE WHEN mode = 'changed' OR mode = 'key' AND c ->> 'key' = 'true'
                               THEN coalesce(accepted ->> (c ->> 'name'), c ->> 'own')
                               ELSE c ->> 'own' END, ', ')
          INTO fields FROM jsonb_array_elements(plan -> 'columns') AS c;
        copying := format('%s%s%s', plan ->> 'insert', fields, plan ->> 'from');
        BEGIN
            IF mode = 'same' THEN
                EXECUTE plan ->> 'delete' INTO now_leaf, now_place, now_key USING leaf, place, image;
                EXECUTE plan ->> 'clear' USING key;
            END IF;
            EXECUTE copying INTO now_leaf, now_place, now_key USING leaf, place, image;
            IF now_place IS NOT NULL AND (mode = 'same' OR now_key <> key) THEN
                EXECUTE plan ->> 'compare' INTO rows_differ, differing
                  USING now_leaf, now_place, now_key, key;
                tried := true;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CU002';
        EXCEPTION
            WHEN SQLSTATE 'CU002' THEN NULL;
            WHEN lock_not_available THEN RAISE;
            WHEN OTHERS THEN reason := SQLERRM; code := SQLSTATE;
        END;
        EXIT WHEN tried;
    END LOOP;
    seen := seen || jsonb_build_object('event', 'INSERT', 'kind', 'row', 'tried', tried,
        'reason', reason, 'code', code, 'rows_differ', tried AND rows_differ,
        'differing', CASE WHEN tried THEN differing ELSE '{}' END);
    IF NOT tried OR mode = 'same' THEN
        copying := NULL;
    END IF;

    -- DELETE: the row itself or, where others refer to it, a copy.
    tried := false;
    FOREACH mode IN ARRAY ARRAY['row', 'copy'] LOOP
        CONTINUE WHEN mode = 'copy' AND copying IS NULL;
        BEGIN
            now_leaf := leaf;
            now_place := place;
            IF mode = 'copy' THEN
                EXECUTE copying INTO now_leaf, now_place, now_key USING leaf, place, image;
            END IF;
            EXECUTE plan ->> 'delete' INTO now_leaf, now_place, now_key
              USING now_leaf, now_place, image;
            IF now_place IS NOT NULL THEN
                EXECUTE plan ->> 'compare' INTO rows_differ, differing
                  USING now_leaf, now_place, now_key, key;
                tried := true;
            ELSE
                reason := 'a trigger of the table refuses it';
                code := NULL;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CU002';
        EXCEPTION
            WHEN SQLSTATE 'CU002' THEN NULL;
            WHEN lock_not_available THEN RAISE;
            WHEN OTHERS THEN reason := SQLERRM; code := SQLSTATE;
        END;
        EXIT WHEN tried;
    END LOOP;
    seen := seen || jsonb_build_object('event', 'DELETE', 'kind', 'row', 'tried', tried,
        'reason', reason, 'code', code, 'rows_differ', tried AND rows_differ, 'differing', '[]'::jsonb);

    RAISE EXCEPTION USING ERRCODE = 'CU000', DETAIL = seen::text,
        MESSAGE = 'cutover: the probe of the triggers is undone, as it always is';
END
$probe$
