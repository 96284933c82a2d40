-- Tries one thing on one row that stands on both sides, sees what the other side does, and undoes it.
--
-- It cannot be committed: one statement, which always ends in an error. What it saw travels in that error's
-- DETAIL. The row is locked where nobody else holds it, and no longer than the statement may take; one that
-- has to wait for a lock ends the try, so that it is in nobody's way.
--
-- `cutover.probe` holds what to do, made by sql.rs: `rows` to choose from, and `attempts`, of which the first
-- counts that the table accepts. A statement that writes takes $1 the leaf and $2 the place of the row and $3
-- the row as it was and $4 its key, and returns leaf, place and key of the row that it wrote; a step `by_key`
-- takes the key alone, and returns nothing. Each works as `role`. `shields` are run first: a sequence that was
-- altered in this transaction gives its numbers back.
DO $probe$
DECLARE
    plan      jsonb := current_setting('cutover.probe')::jsonb;
    candidate jsonb;
    leaf      oid;
    place     tid;
    key       text[];
    image     text;
    -- Columns in which the sides differ already.
    before    jsonb := '[]';
    picked    boolean;
    -- The row that a try wrote, and how the other side looks then.
    now_leaf  oid;
    now_place tid;
    now_key   text[];
    rows_differ boolean;
    differing text[];
    tried     boolean := false;
    reason    text := plan ->> 'reason';
    code      text;
    context   text;
    attempt   jsonb;
    number    int := -1;
    step      jsonb;
    shield    text;
BEGIN
    FOR attempt IN SELECT * FROM jsonb_array_elements(plan -> 'attempts') LOOP
        number := number + 1;
        BEGIN
            FOR shield IN SELECT * FROM jsonb_array_elements_text(plan -> 'shields') LOOP
                EXECUTE shield;
            END LOOP;
            picked := false;
            FOR candidate IN SELECT * FROM jsonb_array_elements(plan -> 'rows') LOOP
                leaf := (candidate ->> 'leaf')::oid;
                place := (candidate ->> 'place')::tid;
                image := candidate ->> 'image';
                before := candidate -> 'before';
                key := ARRAY(SELECT * FROM jsonb_array_elements_text(candidate -> 'key'));
                EXECUTE plan ->> 'lock' INTO picked USING leaf, place, image;
                EXIT WHEN picked;
            END LOOP;
            IF picked IS NOT TRUE THEN
                RAISE EXCEPTION USING ERRCODE = 'CU001', MESSAGE = 'cutover: every row is held';
            END IF;
            now_leaf := leaf;
            now_place := place;
            FOR step IN SELECT * FROM jsonb_array_elements(attempt -> 'steps') LOOP
                PERFORM set_config('role', plan ->> 'role', true);
                IF step ->> 'by_key' = 'true' THEN
                    EXECUTE step ->> 'statement' USING key;
                ELSE
                    EXECUTE step ->> 'statement' INTO now_leaf, now_place, now_key
                      USING now_leaf, now_place, image, key;
                    EXIT WHEN now_place IS NULL;
                    -- Of a copy it is the copy's key that is given up.
                    IF attempt ->> 'of_copy' = 'true' THEN
                        attempt := attempt - 'of_copy';
                        key := now_key;
                    END IF;
                END IF;
            END LOOP;
            PERFORM set_config('role', 'none', true);
            IF now_place IS NOT NULL AND (attempt ->> 'new_key' = 'false' OR now_key <> key) THEN
                -- Planned once for all partitions; the triggers' own statements are planned as ever.
                PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
                EXECUTE format('EXECUTE cutover_compare (%L, %L, %L, %L)', now_leaf, now_place, now_key, key)
                   INTO rows_differ, differing;
                tried := true;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CU002';
        EXCEPTION
            WHEN SQLSTATE 'CU002' THEN NULL;
            -- What calls itself without end (54001) does so with every value, and the time is nearly over.
            WHEN SQLSTATE 'CU001' OR lock_not_available OR serialization_failure OR deadlock_detected
                OR statement_too_complex THEN
                RAISE;
            WHEN OTHERS THEN
                -- The first value is the likeliest; why the others are refused tells less.
                IF code IS NULL OR plan ->> 'last' = 'true' THEN
                    reason := SQLERRM; code := SQLSTATE;
                    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
                END IF;
        END;
        EXIT WHEN tried;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = 'CU000',
        MESSAGE = 'cutover: the probe of the triggers is undone, as it always is',
        DETAIL = jsonb_build_object('tried', tried, 'attempt', number, 'reason', reason, 'code', code, 'context', context,
            'rows_differ', tried AND rows_differ,
            'before', CASE WHEN attempt ->> 'new_row' = 'true' THEN '[]' ELSE before END,
            'differing', CASE WHEN tried THEN differing ELSE '{}' END)::text;
END
$probe$
