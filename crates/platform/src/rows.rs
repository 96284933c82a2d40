//! What the tables hold, as it travels in JSON.
//!
//! Amounts travel as strings (`"100.00"`), exactly as PostgreSQL writes them: a JSON number would
//! pass through a binary fraction in most readers.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{Column, FromRow, Row};

/// Revenue or expense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Revenue,
    Expense,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Revenue, Self::Expense];

    /// As it stands in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Revenue => "revenue",
            Self::Expense => "expense",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// One revenue or expense.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    pub id: i64,
    pub org_id: i64,
    pub property_id: i64,
    pub date: NaiveDate,
    pub amount: String,
    pub tax_rate: Option<String>,
    pub category: String,
    pub payment_mode: String,
    /// Who pays or is paid: the customer of a revenue, the vendor of an expense.
    #[serde(flatten)]
    pub party: Party,
    pub description: Option<String>,
    pub status: String,
    pub approved_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The other side of a transaction, under the name its kind gives it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Party {
    Customer(Option<String>),
    Vendor(Option<String>),
}

impl FromRow<'_, PgRow> for Transaction {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let party = if row.columns()[8].name() == "vendor" {
            Party::Vendor(row.try_get(8)?)
        } else {
            Party::Customer(row.try_get(8)?)
        };
        Ok(Self {
            id: row.try_get(0)?,
            org_id: row.try_get(1)?,
            property_id: row.try_get(2)?,
            date: row.try_get(3)?,
            amount: row.try_get(4)?,
            tax_rate: row.try_get(5)?,
            category: row.try_get(6)?,
            payment_mode: row.try_get(7)?,
            party,
            description: row.try_get(9)?,
            status: row.try_get(10)?,
            approved_at: row.try_get(11)?,
            created_at: row.try_get(12)?,
            updated_at: row.try_get(13)?,
        })
    }
}

/// One property's cash at one day's end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CashBalance {
    pub org_id: i64,
    pub property_id: i64,
    pub date: NaiveDate,
    pub opening: String,
    pub closing: String,
    pub note: Option<String>,
    pub updated_at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for CashBalance {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            org_id: row.try_get(0)?,
            property_id: row.try_get(1)?,
            date: row.try_get(2)?,
            opening: row.try_get(3)?,
            closing: row.try_get(4)?,
            note: row.try_get(5)?,
            updated_at: row.try_get(6)?,
        })
    }
}

/// A transaction to be written.
#[derive(Debug, Clone)]
pub(super) struct NewTransaction {
    pub org_id: i64,
    pub property_id: Option<i64>,
    pub date: NaiveDate,
    pub amount: Decimal,
    pub tax_rate: Option<Decimal>,
    pub category: Option<String>,
    pub payment_mode: Option<String>,
    pub party: Option<String>,
    pub description: Option<String>,
    pub idempotency_key: Option<String>,
}

/// What is to change in a transaction; `None` stays as it is.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub id: i64,
    pub org_id: i64,
    pub date: Option<NaiveDate>,
    pub amount: Option<Decimal>,
    /// `Some(None)` clears it.
    pub description: Option<Option<String>>,
    pub category: Option<String>,
    pub payment_mode: Option<String>,
    pub approve: Option<bool>,
}

/// A cash balance to be written.
#[derive(Debug, Clone)]
pub(super) struct NewBalance {
    pub org_id: i64,
    pub property_id: i64,
    pub date: NaiveDate,
    pub opening: Decimal,
    pub closing: Decimal,
    pub note: Option<String>,
}
