//! Whether there is a partition for what will be written tomorrow: without one, the write fails in legacy too.
//!
//! The bounds may be about anything: a day, seconds, a text of a period, an expression, a part of a date. So no
//! bound is read. The values that the newest rows have where the bounds look are carried on to moments to come,
//! in their own form, and the server says which of these rows some partition takes.

mod ends;
mod form;
mod layout;
mod sql;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use self::form::Form;
use self::layout::{Layout, Row, Sample, samples};
use super::schema::{LEAVES_AT_ONCE, PairPlan, Side};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::Level;
use cutover_ground::pg::failure;

/// Days that are looked at, though a partition that is missing so late is no error yet.
const LOOKED_AT_DAYS: i64 = 35;
/// Kinds of rows that are carried on: for each value of what the bounds look at and that holds no time.
const KINDS: usize = 256;

/// Looks at a twin that is divided into partitions, or into tables that inherit from it.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn check(
    connection: &mut PgConnection,
    plan: &PairPlan,
    levels: &[Level],
) -> Result<Vec<Finding>> {
    let Some(layout) = Layout::read(connection, plan, levels).await? else { return Ok(Vec::new()) };
    let twin = plan.table(Side::Partitioned);
    let now = now(connection, plan).await?;
    let samples = samples(connection, plan, &layout).await?;
    let columns = layout.columns.iter().enumerate();
    let forms = columns.map(|(at, (name, type_name))| {
        let values: Vec<&str> =
            samples.iter().filter_map(|sample| sample.row[at].as_deref()).collect();
        let type_name = twin.column(name).map_or(&**type_name, |column| &*column.type_name);
        Form::of(name, type_name, &values, now)
    });
    let horizon = Horizon { plan, forms: forms.collect(), layout, now };
    let mut findings = Vec::from_iter(horizon.times(connection, &samples).await?);
    findings.extend(horizon.without_time(connection, levels, &samples).await?);
    findings.extend(horizon.catch_alls(connection, levels).await?);
    Ok(findings)
}

async fn now(connection: &mut PgConnection, plan: &PairPlan) -> Result<DateTime<Utc>> {
    let seconds: i64 = sqlx::query_scalar(sql::NOW)
        .fetch_one(connection)
        .await
        .map_err(|e| failure(format!("cannot look ahead for `{}`", plan.name), &e))?;
    Ok(DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}

struct Horizon<'p> {
    plan: &'p PairPlan,
    layout: Layout,
    /// How each column holds time, if it does.
    forms: Vec<Option<Form>>,
    now: DateTime<Utc>,
}

/// Days of a kind of row that no partition takes.
struct Missing {
    days: BTreeSet<i64>,
    kind: Row,
    /// Whether that is soon.
    soon: bool,
}

impl Horizon<'_> {
    /// Rows of coming days that no partition takes.
    async fn times(
        &self,
        connection: &mut PgConnection,
        samples: &[Sample],
    ) -> Result<Option<Finding>> {
        if !self.forms.iter().any(Option::is_some) {
            // Of partitions by something else, see `without_time`.
            let inherits = self.plan.table(Side::Partitioned).strategy.is_none();
            return Ok(inherits.then(|| self.unknown("no condition of its tables tells the time")));
        }
        let mut kinds = self.kinds(samples);
        if samples.is_empty() && self.forms.iter().all(Option::is_some) {
            kinds.push(vec![None; self.forms.len()]);
        }
        if kinds.is_empty() {
            return Ok(Some(self.unknown("there is no row to tell by")));
        }
        let mut found = Vec::new();
        for kind in kinds.iter().take(KINDS) {
            match self.missing(connection, kind).await? {
                Ok(missing) => found.extend(missing),
                Err(why) => return Ok(Some(self.unknown(&why))),
            }
        }
        if found.is_empty() && kinds.len() > KINDS {
            return Ok(Some(self.unknown("there are more kinds of rows than are looked at")));
        }
        let soon = found.iter().any(|missing| missing.soon);
        let worst =
            found.iter().min_by_key(|missing| (!missing.soon, missing.days.first().copied()));
        let Some(worst) = worst else { return Ok(None) };
        let (class, severity) = match (self.layout.grows, soon) {
            (true, _) => (CatalogClass::PartitionHorizonUnknown, Severity::Advice),
            (false, true) => (CatalogClass::PartitionMissing, Severity::Error),
            (false, false) => (CatalogClass::PartitionMissing, Severity::Advice),
        };
        Ok(Some(self.plan.finding(class, severity, self.tell(worst, kinds.len() > 1))))
    }

    fn unknown(&self, why: &str) -> Finding {
        let detail = format!(
            "it is not known for how long there are partitions of {} for what will be written: {why}",
            self.plan.table(Side::Partitioned).name
        );
        self.plan.finding(CatalogClass::PartitionHorizonUnknown, Severity::Advice, detail)
    }

    fn tell(&self, missing: &Missing, of_several: bool) -> String {
        let day = |days: Option<&i64>| {
            let at = self.now + TimeDelta::days(days.copied().unwrap_or_default());
            at.format("%Y-%m-%d").to_string()
        };
        let named = |(at, (name, _)): (usize, &(String, String))| {
            let value = missing.kind[at].as_ref().filter(|_| self.forms[at].is_none())?;
            let compared = self.plan.columns.iter().find(|c| c.on(Side::Partitioned) == name);
            let is_secret = compared.is_some_and(|column| self.plan.is_secret(column));
            Some(format!("`{name}` = {}", if is_secret { "***" } else { value }))
        };
        let of: Vec<String> = self.layout.columns.iter().enumerate().filter_map(named).collect();
        let of = match of_several && !of.is_empty() {
            true => format!(" of rows with {}", of.join(", ")),
            false => String::new(),
        };
        let forms = self.layout.columns.iter().zip(&self.forms).filter_map(|((name, _), form)| {
            let form = form.as_ref().filter(|form| **form != Form::Time)?;
            Some(format!("`{name}` holds {}", form.words()))
        });
        let forms: Vec<String> = forms.collect();
        let forms =
            if forms.is_empty() { String::new() } else { format!(" ({})", forms.join(", ")) };
        let end = if self.layout.grows {
            "a trigger makes tables there: whether it makes these in time is not known"
        } else {
            "such a write fails, in legacy too, or falls into DEFAULT; create the partitions"
        };
        format!(
            "{} has no partition for {} of the {} days from today on{of}, {} to {}{forms}: {end}",
            self.plan.table(Side::Partitioned).name,
            missing.days.len(),
            self.days() + 1,
            day(missing.days.first()),
            day(missing.days.last()),
        )
    }

    fn days(&self) -> i64 {
        LOOKED_AT_DAYS.max(i64::from(self.plan.days_ahead))
    }

    /// Rows that are unlike where no time is held and a range or a list looks; of each part of a hash, if these
    /// are below it.
    fn kinds(&self, samples: &[Sample]) -> Vec<Row> {
        let unlike = |row: &Row| -> Row {
            let fields = row.iter().zip(&self.forms);
            fields.map(|(value, form)| value.clone().filter(|_| form.is_none())).collect()
        };
        let mut kinds = BTreeMap::new();
        for Sample { parent, row } in samples {
            let part = self.layout.below_hash.then_some(*parent);
            kinds.entry((self.listed(&unlike(row)), part)).or_insert_with(|| unlike(row));
        }
        kinds.into_values().collect()
    }

    /// A row without what is only hashed: any value stands for all.
    fn listed(&self, row: &Row) -> Row {
        let names = self.layout.columns.iter().map(|(name, _)| name);
        let hashed = |name: &String| self.layout.hashed.contains(name);
        row.iter().zip(names).map(|(value, name)| value.clone().filter(|_| !hashed(name))).collect()
    }

    /// The row of a kind at a moment.
    fn at(&self, kind: &Row, days: i64) -> Row {
        let at = self.now + TimeDelta::days(days);
        let fields = kind.iter().zip(&self.forms);
        fields
            .map(|(value, form)| form.as_ref().map(|f| f.print(at)).or_else(|| value.clone()))
            .collect()
    }

    /// The days of a kind that no partition takes; or why a row of it cannot be made.
    async fn missing(
        &self,
        connection: &mut PgConnection,
        kind: &Row,
    ) -> Result<Made<Option<Missing>>> {
        let rows: Vec<(i64, Row)> =
            (0..=self.days()).map(|days| (days, self.at(kind, days))).collect();
        let (next, days) =
            match (self.next(connection, &rows).await?, self.not_taken(connection, &rows).await?) {
                (Ok(next), Ok(days)) => (next, days),
                (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
            };
        let soon =
            days.iter().any(|day| *day <= i64::from(self.plan.days_ahead) || Some(*day) == next);
        Ok(Ok((!days.is_empty()).then(|| Missing { days, kind: kind.clone(), soon })))
    }

    /// The first row that is not of this day or, if only these can be told apart, of this month: what follows has
    /// to be there, however long it lasts.
    async fn next(
        &self,
        connection: &mut PgConnection,
        rows: &[(i64, Row)],
    ) -> Result<Made<Option<i64>>> {
        let Some(expression) = &self.layout.expression else {
            let today = rows.first().map(|(_, row)| row);
            return Ok(Ok(rows.iter().find(|(_, row)| Some(row) != today).map(|(n, _)| *n)));
        };
        let query = sql::first_other(&self.layout.columns, rows, expression);
        let next = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await;
        self.made(next)
    }

    /// The numbers of rows that no leaf takes.
    async fn not_taken(
        &self,
        connection: &mut PgConnection,
        rows: &[(i64, Row)],
    ) -> Result<Made<BTreeSet<i64>>> {
        let mut open: BTreeSet<i64> = rows.iter().map(|(number, _)| *number).collect();
        for takes in self.layout.takes.chunks(LEAVES_AT_ONCE) {
            if open.is_empty() {
                break;
            }
            let takes: Vec<&str> = takes.iter().map(String::as_str).collect();
            let rows: Vec<(i64, Row)> =
                rows.iter().filter(|(number, _)| open.contains(number)).cloned().collect();
            let query = sql::not_taken(&self.layout.columns, &rows, &takes);
            let left = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *connection).await;
            match self.made(left)? {
                Ok(left) => open = left.into_iter().collect(),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(open))
    }

    /// An answer about rows that are made up: that a type or an expression refuses one ends no comparison.
    fn made<T>(&self, answer: sqlx::Result<T>) -> Result<Made<T>> {
        let error = match answer {
            Ok(answer) => return Ok(Ok(answer)),
            Err(error) => error,
        };
        let twin = &self.plan.table(Side::Partitioned).name;
        let code = error.as_database_error().and_then(|e| Some(e.code()?.into_owned()));
        match code.filter(|code| REFUSES.iter().any(|class| code.starts_with(class))) {
            Some(code) => Ok(Err(format!("a row to come is refused (SQLSTATE {code})"))),
            None => {
                Err(failure(format!("cannot tell which partition of {twin} takes a row"), &error))
            }
        }
    }
}

/// What was made of rows to come, or why there is none.
type Made<T> = std::result::Result<T, String>;

/// Classes of SQLSTATE by which a value is refused: of its data, by a condition, by a function.
const REFUSES: [&str; 4] = ["22", "23", "P0001", "42"];
