//! What comes in over HTTP, read into rows; everything wrong gets one sentence.

use axum::http::HeaderMap;
use chrono::{Datelike, Months, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde_json::Value;

use super::answer::Failure;
use super::rows::{Change, Kind, NewBalance, NewTransaction};

/// How many days a list reaches back if nobody says.
const DEFAULT_DAYS: u64 = 60;
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 500;
const MAX_TEXT_CHARS: usize = 10_000;
const MAX_KEY_CHARS: usize = 255;

/// A query string.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub fn read(query: Option<&str>) -> Self {
        let query = query.unwrap_or_default().as_bytes();
        Self(url::form_urlencoded::parse(query).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn org_id(&self) -> Result<i64, Failure> {
        self.get("orgId").and_then(|text| text.parse().ok()).filter(|id| *id >= 1).ok_or_else(org)
    }

    pub fn date(&self, name: &str) -> Result<Option<NaiveDate>, Failure> {
        self.get(name).map(|text| date(name, text)).transpose()
    }

    /// `from` and `to`, by default the last 60 days up to today.
    pub fn days(&self) -> Result<(NaiveDate, NaiveDate), Failure> {
        let to = self.date("to")?.unwrap_or_else(today);
        let back = chrono::Days::new(DEFAULT_DAYS);
        let from = match self.date("from")? {
            Some(from) => from,
            None => to.checked_sub_days(back).unwrap_or(NaiveDate::MIN),
        };
        if from > to {
            return Err(Failure::bad(format!("from ({from}) must not be after to ({to})")));
        }
        Ok((from, to))
    }

    pub fn limit(&self) -> Result<i64, Failure> {
        let Some(text) = self.get("limit") else { return Ok(DEFAULT_LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| Failure::bad(format!("limit must be from 1 to {MAX_LIMIT}")))
    }
}

/// A stretch of days, the second not included: `month=2026-06` or `year=2026`.
pub(super) enum Period {
    Month(NaiveDate, NaiveDate),
    Year(NaiveDate, NaiveDate),
}

impl Period {
    pub fn read(params: &Params) -> Result<Self, Failure> {
        let wanted = || Failure::bad("give either month as YYYY-MM or year as YYYY");
        let first_day = |text: String| {
            let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok()?;
            (1..=9999).contains(&day.year()).then_some(day)
        };
        let after = |first: NaiveDate, months| first.checked_add_months(Months::new(months));
        let period = match (params.get("month"), params.get("year")) {
            (Some(month), None) if month.len() == 7 => first_day(format!("{month}-01"))
                .and_then(|first| Some(Self::Month(first, after(first, 1)?))),
            (None, Some(year)) if year.len() == 4 => first_day(format!("{year}-01-01"))
                .and_then(|first| Some(Self::Year(first, after(first, 12)?))),
            _ => None,
        };
        period.ok_or_else(wanted)
    }
}

/// A JSON object.
pub(super) struct Body(serde_json::Map<String, Value>);

impl Body {
    pub fn read(bytes: &[u8]) -> Result<Self, Failure> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Failure::bad("the body must be a JSON object")),
            Err(error) => Err(Failure::bad(format!("the body is not JSON: {error}"))),
        }
    }

    pub fn org_id(&self) -> Result<i64, Failure> {
        self.0.get("orgId").and_then(Value::as_i64).filter(|id| *id >= 1).ok_or_else(org)
    }

    pub fn new_transaction(
        &self,
        kind: Kind,
        headers: &HeaderMap,
    ) -> Result<NewTransaction, Failure> {
        let party = match kind {
            Kind::Revenue => "customer",
            Kind::Expense => "vendor",
        };
        Ok(NewTransaction {
            org_id: self.org_id()?,
            property_id: self.property_id()?,
            date: self.date("date")?.unwrap_or_else(today),
            amount: self.money("amount")?.ok_or_else(|| missing("amount"))?,
            tax_rate: self.decimal("taxRate")?,
            category: self.text("category")?,
            payment_mode: self.text("paymentMode")?,
            party: self.text(party)?,
            description: self.text("description")?,
            idempotency_key: idempotency_key(headers)?,
        })
    }

    pub fn change(&self, id: i64) -> Result<Change, Failure> {
        Ok(Change {
            id,
            org_id: self.org_id()?,
            date: self.date("date")?,
            amount: self.money("amount")?,
            description: match self.0.contains_key("description") {
                true => Some(self.text("description")?),
                false => None,
            },
            category: self.text("category")?,
            payment_mode: self.text("paymentMode")?,
            approve: match self.present("approve") {
                None => None,
                Some(Value::Bool(approve)) => Some(*approve),
                Some(_) => return Err(Failure::bad("approve must be true or false")),
            },
        })
    }

    pub fn new_balance(&self) -> Result<NewBalance, Failure> {
        Ok(NewBalance {
            org_id: self.org_id()?,
            property_id: self.property_id()?.ok_or_else(|| missing("propertyId"))?,
            date: self.date("date")?.ok_or_else(|| missing("date"))?,
            opening: self.money("opening")?.ok_or_else(|| missing("opening"))?,
            closing: self.money("closing")?.ok_or_else(|| missing("closing"))?,
            note: self.text("note")?,
        })
    }

    /// A field that is there and not null.
    fn present(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn property_id(&self) -> Result<Option<i64>, Failure> {
        let Some(value) = self.present("propertyId") else { return Ok(None) };
        let id = value.as_i64().filter(|id| *id >= 1);
        id.map(Some).ok_or_else(|| Failure::bad("propertyId must be a whole number from 1"))
    }

    fn date(&self, name: &str) -> Result<Option<NaiveDate>, Failure> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::String(text)) => date(name, text).map(Some),
            Some(_) => Err(Failure::bad(format!("{name} must be a string such as 2026-06-30"))),
        }
    }

    fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.present(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Failure::bad(format!("{name} holds a NUL character")))
            }
            Some(Value::String(text)) if text.chars().count() > MAX_TEXT_CHARS => {
                Err(Failure::bad(format!("{name} is longer than {MAX_TEXT_CHARS} characters")))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Failure::bad(format!("{name} must be a string"))),
        }
    }

    /// A number or a string. A number passes through a double, whose shortest decimal form is the
    /// number that was written as long as it has at most 15 digits, which covers every amount.
    fn decimal(&self, name: &str) -> Result<Option<Decimal>, Failure> {
        let text = match self.present(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Failure::bad(format!("{name} must be a number or a string"))),
        };
        let exact = Decimal::from_str_exact(&text)
            .ok()
            .or_else(|| Decimal::from_scientific(&text).ok().filter(|_| text.contains(['e', 'E'])));
        exact
            .map(Some)
            .ok_or_else(|| Failure::bad(format!("{name} is not a decimal number of 28 digits")))
    }

    /// An amount that `numeric(14, 2)` holds without rounding.
    fn money(&self, name: &str) -> Result<Option<Decimal>, Failure> {
        let Some(amount) = self.decimal(name)? else { return Ok(None) };
        let amount = amount.normalize();
        if amount.scale() > 2 {
            return Err(Failure::bad(format!("{name} has more than two decimals")));
        }
        if amount.abs() >= Decimal::from(1_000_000_000_000_i64) {
            return Err(Failure::bad(format!(
                "{name} has more than twelve digits before the point"
            )));
        }
        Ok(Some(amount))
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAX_KEY_CHARS).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| {
        Failure::bad(format!("Idempotency-Key must be 1 to {MAX_KEY_CHARS} plain characters"))
    })
}

fn date(name: &str, text: &str) -> Result<NaiveDate, Failure> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| (1..=9999).contains(&day.year()))
        .ok_or_else(|| Failure::bad(format!("{name} must be a date such as 2026-06-30")))
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn org() -> Failure {
    Failure::bad("orgId must be given, as a whole number from 1")
}

fn missing(name: &str) -> Failure {
    Failure::bad(format!("{name} must be given"))
}
