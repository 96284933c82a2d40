-- TRUNCATE fires no row trigger: without these a table emptied in legacy would live on in its twin.

CREATE FUNCTION carry_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('TRUNCATE %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME || '_partitioned');
    RETURN NULL;
END
$$;

CREATE TRIGGER carry_truncate AFTER TRUNCATE ON revenue_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION carry_truncate();
CREATE TRIGGER carry_truncate AFTER TRUNCATE ON expense_transactions
    FOR EACH STATEMENT EXECUTE FUNCTION carry_truncate();
CREATE TRIGGER carry_truncate AFTER TRUNCATE ON daily_cash_balances
    FOR EACH STATEMENT EXECUTE FUNCTION carry_truncate();

ALTER TABLE revenue_transactions ENABLE ALWAYS TRIGGER carry_truncate;
ALTER TABLE expense_transactions ENABLE ALWAYS TRIGGER carry_truncate;
ALTER TABLE daily_cash_balances ENABLE ALWAYS TRIGGER carry_truncate;
