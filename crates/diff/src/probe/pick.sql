-- Looks for rows to try on: that nobody holds and that stand alone under their key on both sides; alike, if there
-- are such. A lock is let go of as soon as it was had.
DO $pick$
DECLARE
    plan   jsonb := current_setting('cutover.probe')::jsonb;
    began  timestamptz := clock_timestamp();
    found  jsonb := '[]';
    unlike jsonb := '[]';
    row_found jsonb;
    leaf   oid;
    place  tid;
    key    text[];
    image  text;
    alone  boolean;
    free   boolean;
    held   boolean := false;
    rows_differ boolean;
    differing text[];
BEGIN
    FOR leaf, place, key, image IN EXECUTE plan ->> 'candidates' LOOP
        EXIT WHEN jsonb_array_length(found || unlike) > 0 AND clock_timestamp() > began + interval '150 ms';
        EXECUTE plan ->> 'alone' INTO alone USING key;
        CONTINUE WHEN NOT alone;
        BEGIN
            EXECUTE plan ->> 'lock' INTO free USING leaf, place, image;
            RAISE EXCEPTION USING ERRCODE = 'CU002';
        EXCEPTION
            WHEN SQLSTATE 'CU002' THEN NULL;
        END;
        held := held OR free IS NOT TRUE;
        CONTINUE WHEN free IS NOT TRUE;
        -- Planned once for all partitions; the triggers' own statements are planned as ever.
        PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
        EXECUTE format('EXECUTE cutover_compare (%L, %L, %L, %L)', leaf, place, key, key)
           INTO rows_differ, differing;
        CONTINUE WHEN rows_differ;
        row_found := jsonb_build_object('leaf', leaf::text, 'place', place::text, 'key', key, 'image', image,
            'before', differing);
        IF differing = '{}' THEN
            found := found || row_found;
        ELSE
            unlike := unlike || row_found;
        END IF;
        EXIT WHEN jsonb_array_length(found) = 8;
    END LOOP;
    IF found = '[]' THEN
        -- Those that differ in the fewest columns.
        SELECT coalesce(jsonb_agg(r ORDER BY jsonb_array_length(r -> 'before')), '[]') INTO found
          FROM jsonb_array_elements(unlike) AS r;
    END IF;
    IF held AND found = '[]' THEN
        RAISE EXCEPTION USING ERRCODE = 'CU001', MESSAGE = 'others hold every row that was looked at';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'CU000', MESSAGE = 'cutover: rows to probe with', DETAIL = found::text;
END
$pick$
