-- What every case starts from: the reference schema, four orgs, and not one difference.
SELECT ensure_month_partitions((current_date - 120)::date, (current_date + 70)::date);

INSERT INTO revenue_transactions
    (id, org_id, property_id, date, amount, tax_rate, category, customer, description,
     created_at, updated_at)
SELECT i, (i - 1) / 5 + 1, 1, current_date - i, 100 + i, 0.18, 'room', 'guest ' || i,
       'night ' || i, timestamptz '2026-01-01 00:00:00.123456+00', timestamptz '2026-01-02 00:00+00'
  FROM generate_series(1, 20) AS i;
INSERT INTO expense_transactions (id, org_id, property_id, date, amount, vendor, updated_at)
SELECT i, (i - 1) / 5 + 1, 1, current_date - i, 50 + i, 'vendor ' || i, timestamptz '2026-01-02 00:00+00'
  FROM generate_series(1, 20) AS i;
INSERT INTO daily_cash_balances (org_id, property_id, balance_date, opening, closing)
SELECT org, 1, current_date - day, 10 * org, 10 * org + day
  FROM generate_series(1, 4) AS org, generate_series(1, 3) AS day;
SELECT setval('revenue_transactions_id_seq', 1000), setval('expense_transactions_id_seq', 1000);

-- A trigger that carries whole rows of any pair by dynamic SQL: TG_ARGV holds the twin, then the key.
CREATE FUNCTION carry_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE fields text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        EXECUTE format('DELETE FROM %I AS t WHERE to_jsonb(t) @> $1', TG_ARGV[0])
          USING (SELECT jsonb_object_agg(k, to_jsonb(OLD) -> k)
                   FROM unnest(TG_ARGV[1:]) AS k);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT string_agg(quote_ident(attname), ', ') INTO fields FROM pg_attribute
         WHERE attrelid = format('%I', TG_ARGV[0])::regclass AND attnum > 0 AND attgenerated = ''
           AND NOT attisdropped;
        EXECUTE format('INSERT INTO %I (%s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$I, $1)',
                       TG_ARGV[0], fields) USING to_jsonb(NEW);
    END IF;
    RETURN NULL;
END
$$;
