//! Every statement of the platform.
//!
//! Reads exist once per kind and side, as constants, so that each is prepared once per connection
//! and the routing decision is a choice between two of them. Each read of a twin names `date` in a
//! way the planner can prune by; [`Reads::by_id`] is the exception, and what it costs is the
//! handbook's warning.

use super::rows::Kind;
use super::side::Side;

/// The reads of one kind from one side.
#[derive(Debug)]
pub(super) struct Reads {
    /// `$1` org, `$2` first day, `$3` last day, `$4` limit.
    pub list: &'static str,
    /// `$1` id, `$2` org: probes every partition.
    pub by_id: &'static str,
    /// `$1` id, `$2` org, `$3` date: one partition.
    pub by_id_and_date: &'static str,
    /// `$1` org, `$2` first day, `$3` first day after: count and total by category, the whole last.
    pub by_category: &'static str,
    /// As `by_category`, by month of the year.
    pub by_month: &'static str,
}

/// The writes of one kind; always to legacy.
#[derive(Debug)]
pub(super) struct Writes {
    /// `$1` org, `$2` property, `$3` date, `$4` amount, `$5` tax rate, `$6` category, `$7` payment
    /// mode, `$8` customer or vendor, `$9` description.
    pub insert: &'static str,
    /// As `insert`, and `$10` the idempotency key; no row if the key is known.
    pub insert_once: &'static str,
    /// `$1` org, `$2` key: the row that the key wrote.
    pub by_key: &'static str,
    /// `$1` id, `$2` org, then each new value, null to keep; `$5` says whether `$6`, the
    /// description, is to be set; `$9` approve.
    pub update: &'static str,
    /// `$1` id, `$2` org.
    pub delete: &'static str,
    /// `$1` id, `$2` org: the row, locked until the transaction ends.
    pub lock: &'static str,
    /// `$1` id: the twin's row alone.
    pub forget_twin: &'static str,
    /// `$1` id, `$2` org, `$3` date, `$4` amount, `$5` category, `$6` description, `$7` status: as
    /// they were.
    pub restore: &'static str,
}

macro_rules! columns {
    ($party:literal) => {
        concat!(
            "id, org_id, property_id, date, amount::text, tax_rate::text, category, payment_mode, ",
            $party,
            ", description, status, approved_at, created_at, updated_at"
        )
    };
}

macro_rules! reads {
    ($table:literal, $party:literal) => {
        Reads {
            list: concat!(
                "SELECT ",
                columns!($party),
                " FROM ",
                $table,
                " WHERE org_id = $1 AND date >= $2 AND date <= $3",
                " ORDER BY date DESC, id DESC LIMIT $4"
            ),
            by_id: concat!(
                "SELECT ",
                columns!($party),
                " FROM ",
                $table,
                " WHERE id = $1 AND org_id = $2"
            ),
            by_id_and_date: concat!(
                "SELECT ",
                columns!($party),
                " FROM ",
                $table,
                " WHERE id = $1 AND org_id = $2 AND date = $3"
            ),
            by_category: concat!(
                "SELECT category, count(*), coalesce(sum(amount), 0.00)::text FROM ",
                $table,
                " WHERE org_id = $1 AND date >= $2 AND date < $3",
                " GROUP BY ROLLUP (category) ORDER BY grouping(category), category"
            ),
            by_month: concat!(
                "SELECT extract(month FROM date)::int, count(*), coalesce(sum(amount), 0.00)::text",
                " FROM ",
                $table,
                " WHERE org_id = $1 AND date >= $2 AND date < $3 GROUP BY 1"
            ),
        }
    };
}

macro_rules! writes {
    ($kind:literal, $table:literal, $party:literal, $payment_mode:literal) => {
        Writes {
            insert: concat!(
                "INSERT INTO ", $table, " (org_id, property_id, date, amount, tax_rate, category,",
                " payment_mode, ", $party, ", description) VALUES ($1, coalesce($2, 1), $3, $4, $5,",
                " coalesce($6, 'other'), coalesce($7, '", $payment_mode, "'), $8, $9) RETURNING ",
                columns!($party)
            ),
            insert_once: concat!(
                "WITH claim AS (INSERT INTO idempotency_keys (org_id, kind, key, transaction_id)",
                " VALUES ($1, '", $kind, "', $10, nextval('", $table, "_id_seq'))",
                " ON CONFLICT DO NOTHING RETURNING transaction_id)",
                " INSERT INTO ", $table, " (id, org_id, property_id, date, amount, tax_rate,",
                " category, payment_mode, ", $party, ", description)",
                " SELECT transaction_id, $1, coalesce($2::bigint, 1), $3::date, $4::numeric,",
                " $5::numeric, coalesce($6::text, 'other'),",
                " coalesce($7::text, '", $payment_mode, "'), $8::text, $9::text",
                " FROM claim RETURNING ", columns!($party)
            ),
            by_key: concat!(
                "SELECT ", columns!($party), " FROM ", $table, " WHERE org_id = $1 AND id =",
                " (SELECT transaction_id FROM idempotency_keys",
                " WHERE org_id = $1 AND kind = '", $kind, "' AND key = $2)"
            ),
            update: concat!(
                "UPDATE ", $table, " SET date = coalesce($3, date), amount = coalesce($4, amount),",
                " description = CASE WHEN $5 THEN $6 ELSE description END,",
                " category = coalesce($7, category), payment_mode = coalesce($8, payment_mode),",
                " status = CASE $9 WHEN true THEN 'approved' WHEN false THEN 'recorded'",
                " ELSE status END, approved_at = CASE $9 WHEN true THEN now() WHEN false THEN NULL",
                " ELSE approved_at END, updated_at = now() WHERE id = $1 AND org_id = $2 RETURNING ",
                columns!($party)
            ),
            delete: concat!("DELETE FROM ", $table, " WHERE id = $1 AND org_id = $2"),
            lock: concat!(
                "SELECT ", columns!($party), " FROM ", $table,
                " WHERE id = $1 AND org_id = $2 FOR UPDATE"
            ),
            forget_twin: concat!("DELETE FROM ", $table, "_partitioned WHERE id = $1"),
            restore: concat!(
                "UPDATE ", $table, " SET date = $3, amount = $4::text::numeric, category = $5,",
                " description = $6, status = $7 WHERE id = $1 AND org_id = $2"
            ),
        }
    };
}

static REVENUE: Reads = reads!("revenue_transactions", "customer");
static REVENUE_TWIN: Reads = reads!("revenue_transactions_partitioned", "customer");
static REVENUE_WRITES: Writes = writes!("revenue", "revenue_transactions", "customer", "card");
static EXPENSE: Reads = reads!("expense_transactions", "vendor");
static EXPENSE_TWIN: Reads = reads!("expense_transactions_partitioned", "vendor");
static EXPENSE_WRITES: Writes = writes!("expense", "expense_transactions", "vendor", "transfer");

/// The reads of a kind from a side.
pub(super) fn reads(kind: Kind, side: Side) -> &'static Reads {
    match (kind, side) {
        (Kind::Revenue, Side::Legacy) => &REVENUE,
        (Kind::Revenue, Side::Partitioned) => &REVENUE_TWIN,
        (Kind::Expense, Side::Legacy) => &EXPENSE,
        (Kind::Expense, Side::Partitioned) => &EXPENSE_TWIN,
    }
}

/// The writes of a kind.
pub(super) fn writes(kind: Kind) -> &'static Writes {
    match kind {
        Kind::Revenue => &REVENUE_WRITES,
        Kind::Expense => &EXPENSE_WRITES,
    }
}

/// The cash balances of an org from a side: `$1` org, `$2` first day, `$3` last day, `$4` limit.
pub(super) fn balances(side: Side) -> &'static str {
    match side {
        Side::Legacy => {
            "SELECT org_id, property_id, balance_date, opening::text, closing::text, note, updated_at
               FROM daily_cash_balances
              WHERE org_id = $1 AND balance_date >= $2 AND balance_date <= $3
              ORDER BY balance_date DESC, property_id LIMIT $4"
        }
        Side::Partitioned => {
            "SELECT org_id, property_id, balance_date, opening::text, closing::text, note, updated_at
               FROM daily_cash_balances_partitioned
              WHERE org_id = $1 AND balance_date >= $2 AND balance_date <= $3
              ORDER BY balance_date DESC, property_id LIMIT $4"
        }
    }
}

/// `$1` org, `$2` property, `$3` day, `$4` opening, `$5` closing, `$6` note.
pub(super) const UPSERT_BALANCE: &str = "
    INSERT INTO daily_cash_balances (org_id, property_id, balance_date, opening, closing, note)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (org_id, property_id, balance_date) DO UPDATE
       SET opening = EXCLUDED.opening, closing = EXCLUDED.closing, note = EXCLUDED.note,
           updated_at = now()
    RETURNING org_id, property_id, balance_date, opening::text, closing::text, note, updated_at";

/// Whether the database answers.
pub(super) const PING: &str = "SELECT 1";

/// Every figure of the partition metrics in one statement, hence on one snapshot: a legacy write
/// and its twin's commit together, so a healthy pair always counts equal.
pub(super) const COUNTS: &str = "
    SELECT pair.name, pair.legacy_rows, pair.twin_rows,
           (SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(pair.twin)),
           (SELECT tgenabled::text FROM pg_trigger
             WHERE tgrelid = to_regclass(pair.name) AND tgname = pair.name || '_dual_write_trigger')
      FROM (VALUES
        ('revenue_transactions', 'revenue_transactions_partitioned',
         (SELECT count(*) FROM revenue_transactions),
         (SELECT count(*) FROM revenue_transactions_partitioned)),
        ('expense_transactions', 'expense_transactions_partitioned',
         (SELECT count(*) FROM expense_transactions),
         (SELECT count(*) FROM expense_transactions_partitioned)),
        ('daily_cash_balances', 'daily_cash_balances_partitioned',
         (SELECT count(*) FROM daily_cash_balances),
         (SELECT count(*) FROM daily_cash_balances_partitioned))
      ) AS pair (name, twin, legacy_rows, twin_rows)";

/// Counting takes longer than any request may.
pub(super) const COUNT_TIMEOUT: &str = "SET LOCAL statement_timeout = '120s'";

/// The primary's position in its log, in bytes.
pub(super) const PRIMARY_POSITION: &str = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";

/// How far a replica has replayed that log; what it has *received* says nothing of reads.
pub(super) const REPLICA_POSITION: &str = "
    SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                 ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint";

/// Held while migrating; the number is ours and means nothing else.
pub(super) const MIGRATION_LOCK: &str = "SELECT pg_advisory_lock(7241983650)";

/// What has been applied.
pub(super) const MIGRATION_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text        PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT now()
    )";

/// Whether the reference schema was begun here: our table of migrations is there, with our names or
/// none yet, and nobody else's.
pub(super) const IS_BEGUN: &str = "
    SELECT EXISTS (SELECT FROM pg_attribute
                    WHERE attrelid = to_regclass('schema_migrations') AND attname = 'applied_at')
       AND NOT EXISTS (SELECT FROM pg_class
                        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
                          AND to_regclass('revenue_transactions_partitioned') IS NULL
                          AND relname NOT IN ('schema_migrations', 'organizations',
                              'revenue_transactions', 'expense_transactions', 'daily_cash_balances'))";

/// Claims migration `$1`; no row if it has been applied.
pub(super) const MIGRATION_RECORD: &str =
    "INSERT INTO schema_migrations (name) VALUES ($1) ON CONFLICT DO NOTHING";

/// Makes the monthly partitions from the month of `$1` to that of `$2`.
pub(super) const ENSURE_PARTITIONS: &str = "SELECT ensure_month_partitions($1, $2)";
