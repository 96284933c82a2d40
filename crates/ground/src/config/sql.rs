//! The reads of the reference platform, as far as their plans go.

pub(super) const LIST_TRANSACTIONS: &str = "
    SELECT * FROM {{table}}
     WHERE org_id = {{org_id}} AND date > {{date}} - 31 AND date <= {{date}}
     ORDER BY date DESC, id DESC LIMIT 50";

pub(super) const TRANSACTION_OF_DAY: &str =
    "SELECT * FROM {{table}} WHERE id = {{id}} AND org_id = {{org_id}} AND date = {{date}}";

pub(super) const YEAR_BY_CATEGORY: &str = "
    SELECT category, count(*), sum(amount) FROM {{table}}
     WHERE org_id = {{org_id}} AND date > {{date}} - 365 AND date <= {{date}}
     GROUP BY ROLLUP (category)";

/// Says nothing of the day, and so asks every partition.
pub(super) const TRANSACTION: &str =
    "SELECT * FROM {{table}} WHERE id = {{id}} AND org_id = {{org_id}}";

pub(super) const LIST_BALANCES: &str = "
    SELECT * FROM {{table}}
     WHERE org_id = {{org_id}}
       AND balance_date > {{balance_date}} - 31 AND balance_date <= {{balance_date}}
     ORDER BY balance_date DESC, property_id LIMIT 50";
