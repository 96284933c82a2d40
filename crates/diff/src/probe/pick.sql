-- Looks for rows to try on: that stand alone under their key, and alike on both sides. It locks none.
DO $pick$
DECLARE
    plan   jsonb := current_setting('cutover.probe')::jsonb;
    began  timestamptz := clock_timestamp();
    found  jsonb := '[]';
    leaf   oid;
    place  tid;
    key    text[];
    image  text;
    alone  boolean;
    rows_differ boolean;
    differing text[];
BEGIN
    FOR leaf, place, key, image IN EXECUTE plan ->> 'candidates' LOOP
        EXIT WHEN jsonb_array_length(found) > 0 AND clock_timestamp() > began + interval '150 ms';
        EXECUTE plan ->> 'alone' INTO alone USING key;
        CONTINUE WHEN NOT alone;
        -- Planned once for all partitions; the triggers' own statements are planned as ever.
        PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
        EXECUTE format('EXECUTE cutover_compare (%L, %L, %L, %L)', leaf, place, key, key)
           INTO rows_differ, differing;
        CONTINUE WHEN rows_differ OR differing <> '{}';
        found := found || jsonb_build_object('leaf', leaf::text, 'place', place::text, 'key', key, 'image', image);
        EXIT WHEN jsonb_array_length(found) = 8;
    END LOOP;
    RAISE EXCEPTION USING ERRCODE = 'CU000', MESSAGE = 'cutover: rows to probe with', DETAIL = found::text;
END
$pick$
