-- Each write to legacy is carried to the twin in the same transaction, or neither happens.
-- Columns are named one by one: a column added later must be added here too, and the diff's catalog
-- check says so when it was forgotten.

CREATE FUNCTION revenue_transactions_dual_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM revenue_transactions_partitioned WHERE id = OLD.id AND date = OLD.date;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        -- Found by the OLD date: with a changed date the row moves to its new partition.
        UPDATE revenue_transactions_partitioned
           SET id = NEW.id, org_id = NEW.org_id, property_id = NEW.property_id, date = NEW.date,
               amount = NEW.amount, tax_rate = NEW.tax_rate, category = NEW.category,
               payment_mode = NEW.payment_mode, customer = NEW.customer,
               description = NEW.description, status = NEW.status,
               approved_at = NEW.approved_at, created_at = NEW.created_at,
               updated_at = NEW.updated_at
         WHERE id = OLD.id AND date = OLD.date;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        -- The twin never had this row: carry it over whole.
    END IF;
    INSERT INTO revenue_transactions_partitioned
        (id, org_id, property_id, date, amount, tax_rate, category, payment_mode, customer,
         description, status, approved_at, created_at, updated_at)
    VALUES
        (NEW.id, NEW.org_id, NEW.property_id, NEW.date, NEW.amount, NEW.tax_rate, NEW.category,
         NEW.payment_mode, NEW.customer, NEW.description, NEW.status, NEW.approved_at,
         NEW.created_at, NEW.updated_at);
    RETURN NULL;
END
$$;

CREATE FUNCTION expense_transactions_dual_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM expense_transactions_partitioned WHERE id = OLD.id AND date = OLD.date;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE expense_transactions_partitioned
           SET id = NEW.id, org_id = NEW.org_id, property_id = NEW.property_id, date = NEW.date,
               amount = NEW.amount, tax_rate = NEW.tax_rate, category = NEW.category,
               payment_mode = NEW.payment_mode, vendor = NEW.vendor,
               description = NEW.description, status = NEW.status,
               approved_at = NEW.approved_at, created_at = NEW.created_at,
               updated_at = NEW.updated_at
         WHERE id = OLD.id AND date = OLD.date;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO expense_transactions_partitioned
        (id, org_id, property_id, date, amount, tax_rate, category, payment_mode, vendor,
         description, status, approved_at, created_at, updated_at)
    VALUES
        (NEW.id, NEW.org_id, NEW.property_id, NEW.date, NEW.amount, NEW.tax_rate, NEW.category,
         NEW.payment_mode, NEW.vendor, NEW.description, NEW.status, NEW.approved_at,
         NEW.created_at, NEW.updated_at);
    RETURN NULL;
END
$$;

CREATE FUNCTION daily_cash_balances_dual_write() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM daily_cash_balances_partitioned
         WHERE org_id = OLD.org_id AND property_id = OLD.property_id
           AND balance_date = OLD.balance_date;
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE daily_cash_balances_partitioned
           SET org_id = NEW.org_id, property_id = NEW.property_id,
               balance_date = NEW.balance_date, opening = NEW.opening, closing = NEW.closing,
               note = NEW.note, updated_at = NEW.updated_at
         WHERE org_id = OLD.org_id AND property_id = OLD.property_id
           AND balance_date = OLD.balance_date;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO daily_cash_balances_partitioned
        (org_id, property_id, balance_date, opening, closing, note, updated_at)
    VALUES
        (NEW.org_id, NEW.property_id, NEW.balance_date, NEW.opening, NEW.closing, NEW.note,
         NEW.updated_at);
    RETURN NULL;
END
$$;

CREATE TRIGGER revenue_transactions_dual_write_trigger
    AFTER INSERT OR UPDATE OR DELETE ON revenue_transactions
    FOR EACH ROW EXECUTE FUNCTION revenue_transactions_dual_write();
CREATE TRIGGER expense_transactions_dual_write_trigger
    AFTER INSERT OR UPDATE OR DELETE ON expense_transactions
    FOR EACH ROW EXECUTE FUNCTION expense_transactions_dual_write();
CREATE TRIGGER daily_cash_balances_dual_write_trigger
    AFTER INSERT OR UPDATE OR DELETE ON daily_cash_balances
    FOR EACH ROW EXECUTE FUNCTION daily_cash_balances_dual_write();

-- A session that replays changes as a replica must keep the twins in step too.
ALTER TABLE revenue_transactions ENABLE ALWAYS TRIGGER revenue_transactions_dual_write_trigger;
ALTER TABLE expense_transactions ENABLE ALWAYS TRIGGER expense_transactions_dual_write_trigger;
ALTER TABLE daily_cash_balances ENABLE ALWAYS TRIGGER daily_cash_balances_dual_write_trigger;
