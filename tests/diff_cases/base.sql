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

-- The reference triggers leave TRUNCATE out, which is worth an advice; here it is carried.
CREATE FUNCTION carry_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- TRUNCATE revenue_transactions_partitioned, expense_transactions_partitioned,
    -- daily_cash_balances_partitioned
    EXECUTE format('TRUNCATE %I', TG_TABLE_NAME || '_partitioned');
    RETURN NULL;
END
$$;
CREATE TRIGGER carry_truncate AFTER TRUNCATE ON revenue_transactions
    EXECUTE FUNCTION carry_truncate();
CREATE TRIGGER carry_truncate AFTER TRUNCATE ON expense_transactions
    EXECUTE FUNCTION carry_truncate();
CREATE TRIGGER carry_truncate AFTER TRUNCATE ON daily_cash_balances
    EXECUTE FUNCTION carry_truncate();
ALTER TABLE revenue_transactions ENABLE ALWAYS TRIGGER carry_truncate;
ALTER TABLE expense_transactions ENABLE ALWAYS TRIGGER carry_truncate;
ALTER TABLE daily_cash_balances ENABLE ALWAYS TRIGGER carry_truncate;
