//! Whether there is a partition for what will be written tomorrow: without one, the write fails in legacy too.
//!
//! The bounds may be about anything: a day, seconds, a text of a period, an expression, a part of a date. So no
//! bound is read. The values that the newest rows have where the bounds look are carried on to moments to come,
//! in their own form, and the server says which of these rows some partition takes.

mod form;
mod sql;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use self::form::Form;
use super::schema::{LEAVES_AT_ONCE, PairPlan, Side};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::{self, Leaf, Level};
use cutover_ground::pg::{Bound, Edge, failure};

/// Days that are looked at, though a partition that is missing so late is no error yet.
const LOOKED_AT_DAYS: i64 = 35;
/// Kinds of rows that are carried on: for each value of what the bounds look at and that holds no time.
const KINDS: usize = 64;
/// Leaves in which rows are looked for, where the newest hold none.
const SAMPLED_LEAVES: usize = 40 * LEAVES_AT_ONCE;
/// Partitions with two ends that make a last one without an end a catch-all.
const SERIES: usize = 2;

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
        let values: Vec<&str> = samples.iter().filter_map(|row| row[at].as_deref()).collect();
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

/// What takes rows, and what it looks at.
struct Layout {
    /// Columns that conditions look at, with the types to cast texts to.
    columns: Vec<(String, String)>,
    /// What each leaf takes, those made last first; DEFAULT and what is below it left out.
    takes: Vec<String>,
    /// Where rows are, those made last first; empty if they are read through the table itself.
    leaves: Vec<Leaf>,
    /// Whether tables are made as rows come.
    grows: bool,
    /// Columns that only a hash looks at.
    hashed: BTreeSet<String>,
    /// What the table is divided by, if that is expressions alone.
    expression: Option<String>,
}

/// A table that inherits.
#[derive(Deserialize)]
struct Child {
    takes: String,
    columns: Vec<String>,
}

impl Layout {
    /// `None` if no condition looks at anything but a hash.
    async fn read(
        connection: &mut PgConnection,
        plan: &PairPlan,
        levels: &[Level],
    ) -> Result<Option<Self>> {
        let twin = plan.table(Side::Partitioned);
        let mut leaves = plan.leaves(Side::Partitioned).to_vec();
        leaves.sort_by_key(|leaf| std::cmp::Reverse(leaf.oid));
        let (takes, names, grows): (Vec<String>, BTreeSet<String>, bool) = if levels.is_empty() {
            let children = catalog::rows::<Child>(connection, &twin.name, sql::INHERITED, |q| {
                q.bind(twin.oid)
            });
            let children = children.await?;
            let names = children.iter().flat_map(|child| child.columns.clone()).collect();
            let grows = sqlx::query_scalar(sql::MAKES_TABLES).bind(twin.oid).fetch_one(connection);
            let grows =
                grows.await.map_err(|e| failure(format!("cannot look at {}", twin.name), &e))?;
            leaves.clear();
            (children.into_iter().map(|child| child.takes).collect(), names, grows)
        } else if levels.iter().all(|level| level.strategy == "h") {
            return Ok(None);
        } else {
            let defaults = below_defaults(levels);
            let taken = leaves.iter().filter(|leaf| {
                !leaf.is_default() && !leaf.parent.is_some_and(|parent| defaults.contains(&parent))
            });
            let takes = taken.filter_map(|leaf| leaf.partition_constraint.clone()).collect();
            (takes, levels.iter().flat_map(|level| level.looks_at.clone()).collect(), false)
        };
        let typed = |name: String| {
            let type_name = twin.column(&name)?.bare_type.clone();
            Some((name, type_name))
        };
        let columns: Vec<_> = names.into_iter().filter_map(typed).collect();
        let readable = plan.is_read_by_leaf(Side::Partitioned);
        let leaves = if readable { leaves } else { Vec::new() };
        let looked_at = |hash: bool| {
            let levels = levels.iter().filter(move |level| (level.strategy == "h") == hash);
            levels.flat_map(|level| level.looks_at.clone()).collect::<BTreeSet<_>>()
        };
        let hashed = looked_at(true).difference(&looked_at(false)).cloned().collect();
        let root = levels.iter().find(|level| level.parent.is_none() && level.columns.is_empty());
        let expression = root.and_then(|level| level.expression.clone());
        Ok((!columns.is_empty()).then_some(Self {
            columns,
            takes,
            leaves,
            grows,
            hashed,
            expression,
        }))
    }

    fn names(&self) -> Vec<String> {
        self.columns.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// Partitioned tables that take what no other partition takes, and all below them.
fn below_defaults(levels: &[Level]) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    // Those above come first.
    for level in levels {
        let is_below = level.parent.is_some_and(|parent| found.contains(&parent));
        if is_below || level.own_bound() == Some(Bound::Default) {
            found.insert(level.oid);
        }
    }
    found
}

/// A row where conditions look at it: for each column a text, or NULL.
type Row = Vec<Option<String>>;

/// Some rows of each partitioned table of the tree, the newest leaves' first; of legacy if the twin has none.
async fn samples(
    connection: &mut PgConnection,
    plan: &PairPlan,
    layout: &Layout,
) -> Result<Vec<Row>> {
    let what = || format!("cannot read rows of {}", plan.table(Side::Partitioned).name);
    let names = layout.names();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let parents: BTreeSet<Option<i64>> = layout.leaves.iter().map(|leaf| leaf.parent).collect();
    for leaves in layout.leaves.chunks(LEAVES_AT_ONCE).take(SAMPLED_LEAVES / LEAVES_AT_ONCE) {
        let unseen: Vec<&Leaf> =
            leaves.iter().filter(|leaf| !seen.contains(&leaf.parent.unwrap_or_default())).collect();
        if unseen.is_empty() {
            continue;
        }
        let query = sql::samples(&unseen, &names);
        let rows = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await;
        let rows: Vec<(i64, Row)> = rows.map_err(|e| failure(what(), &e))?;
        seen.extend(rows.iter().map(|(parent, _)| *parent));
        found.extend(rows.into_iter().map(|(_, row)| row));
        if seen.len() >= parents.len() {
            break;
        }
    }
    let on_legacy: Option<Vec<String>> = names
        .iter()
        .map(|name| {
            let column = plan.columns.iter().find(|c| c.on(Side::Partitioned) == name)?;
            Some(column.on(Side::Legacy).to_owned())
        })
        .collect();
    let wholes = [(Side::Partitioned, Some(names)), (Side::Legacy, on_legacy)];
    for (side, names) in wholes {
        let Some(names) = names.filter(|_| found.is_empty()) else { continue };
        let query = sql::sample(0, &plan.table(side).name.to_string(), &names, 100);
        let rows = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await;
        let rows: Vec<(i64, Row)> = rows.map_err(|e| failure(what(), &e))?;
        found = rows.into_iter().map(|(_, row)| row).collect();
    }
    Ok(found)
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
        samples: &[Row],
    ) -> Result<Option<Finding>> {
        let has_time = self.forms.iter().any(Option::is_some);
        let only_time = self.forms.iter().all(Option::is_some);
        if !has_time || self.layout.takes.is_empty() && self.layout.grows {
            return Ok(None);
        }
        let nothing = vec![None; self.forms.len()];
        let kinds = self.kinds(if samples.is_empty() && only_time {
            std::slice::from_ref(&nothing)
        } else {
            samples
        });
        let mut found = Vec::new();
        for kind in &kinds {
            found.extend(self.missing(connection, kind).await?);
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
        Ok(Some(self.plan.finding(class, severity, self.tell(worst, found.len(), kinds.len()))))
    }

    fn tell(&self, missing: &Missing, lacking: usize, kinds: usize) -> String {
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
        let of = match lacking < kinds || kinds > 1 {
            true if !of.is_empty() => format!(" of rows with {}", of.join(", ")),
            _ => String::new(),
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

    /// Rows that are unlike where no time is held and a range or a list looks.
    fn kinds(&self, samples: &[Row]) -> Vec<Row> {
        let unlike = |row: &Row| -> Row {
            let fields = row.iter().zip(&self.forms);
            fields.map(|(value, form)| value.clone().filter(|_| form.is_none())).collect()
        };
        let mut kinds = BTreeMap::new();
        for row in samples {
            kinds.entry(self.listed(&unlike(row))).or_insert_with(|| unlike(row));
        }
        kinds.into_values().take(KINDS).collect()
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

    async fn missing(&self, connection: &mut PgConnection, kind: &Row) -> Result<Option<Missing>> {
        let rows: Vec<(i64, Row)> =
            (0..=self.days()).map(|days| (days, self.at(kind, days))).collect();
        let next = self.next(connection, &rows).await?;
        let days = self.not_taken(connection, &rows).await?;
        let soon =
            days.iter().any(|day| *day <= i64::from(self.plan.days_ahead) || Some(*day) == next);
        Ok((!days.is_empty()).then(|| Missing { days, kind: kind.clone(), soon }))
    }

    /// The first row that is not of this day or, if only these can be told apart, of this month: what follows has
    /// to be there, however long it lasts.
    async fn next(
        &self,
        connection: &mut PgConnection,
        rows: &[(i64, Row)],
    ) -> Result<Option<i64>> {
        let Some(expression) = &self.layout.expression else {
            let today = rows.first().map(|(_, row)| row);
            return Ok(rows.iter().find(|(_, row)| Some(row) != today).map(|(number, _)| *number));
        };
        let query = sql::first_other(&self.layout.columns, rows, expression);
        let next = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await;
        let what = || {
            format!("cannot tell what {} is divided by", self.plan.table(Side::Partitioned).name)
        };
        next.map_err(|e| failure(what(), &e))
    }

    /// The numbers of rows that no leaf takes.
    async fn not_taken(
        &self,
        connection: &mut PgConnection,
        rows: &[(i64, Row)],
    ) -> Result<BTreeSet<i64>> {
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
            let what = || {
                format!(
                    "cannot tell which partition of {} takes a row",
                    self.plan.table(Side::Partitioned).name
                )
            };
            open = left.map_err(|e| failure(what(), &e))?.into_iter().collect();
        }
        Ok(open)
    }

    fn form(&self, name: &str) -> Option<&Form> {
        let at = self.layout.columns.iter().position(|(column, _)| column == name)?;
        self.forms[at].as_ref()
    }

    /// Ranges of what holds no time, and have an end: of a number the next one can be asked for.
    async fn without_time(
        &self,
        connection: &mut PgConnection,
        levels: &[Level],
        samples: &[Row],
    ) -> Result<Option<Finding>> {
        let timeless = |level: &&Level| {
            level.strategy == "r" && !level.looks_at.iter().any(|name| self.form(name).is_some())
        };
        let has_end = |level: &&Level| !level.bounds().iter().any(|bound| is_open(bound));
        let Some(level) = levels.iter().filter(timeless).find(has_end) else { return Ok(None) };
        let columns = level.looks_at.join("`, `");
        if let [name] = self.layout.names().as_slice()
            && let Some(next) = self.next_number(connection, name, samples).await?
        {
            let row = (0, vec![Some(next.clone())]);
            if !self.not_taken(connection, &[row]).await?.is_empty() {
                let detail = format!(
                    "{} has no partition for {next}, the next number of `{columns}`: the next write fails, in \
                     legacy too, or falls into DEFAULT; create the partition",
                    level.name
                );
                return Ok(Some(self.plan.finding(
                    CatalogClass::PartitionMissing,
                    Severity::Error,
                    detail,
                )));
            }
        }
        let why = if samples.is_empty() {
            "there is no row to tell by"
        } else {
            "it holds no time that is known"
        };
        let detail = format!(
            "it is not known for how long there are partitions of {} for what will be written: they are ranges of \
             `{columns}`, and {why}",
            level.name
        );
        Ok(Some(self.plan.finding(CatalogClass::PartitionHorizonUnknown, Severity::Advice, detail)))
    }

    /// What follows the largest number, if an index tells it.
    async fn next_number(
        &self,
        connection: &mut PgConnection,
        name: &str,
        samples: &[Row],
    ) -> Result<Option<String>> {
        let twin = self.plan.table(Side::Partitioned);
        let leads =
            self.plan.indexes(Side::Partitioned).iter().any(|index| {
                index.direct && index.columns.first().is_some_and(|first| first == name)
            });
        let is_integer = twin.column(name).is_some_and(catalog::Column::is_integer);
        let few = self.plan.leaves(Side::Partitioned).len() <= LEAVES_AT_ONCE;
        if samples.is_empty() || !(leads && is_integer && few) {
            return Ok(None);
        }
        let query = sql::next_number(&twin.name.to_string(), name);
        let next = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await;
        next.map_err(|e| failure(format!("cannot read the largest {name} of {}", twin.name), &e))
    }

    /// A last partition without an end, after others that have one: it takes all that comes, and none can be
    /// made beside it.
    async fn catch_alls(
        &self,
        connection: &mut PgConnection,
        levels: &[Level],
    ) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for level in levels.iter().filter(|level| level.strategy == "r") {
            let bounds = level.bounds();
            let has_ends = |bound: &&Bound| matches!(bound, Bound::Range(from, to) if [from, to].iter().all(|e| e.first() != Some(&Edge::Open)));
            let by_time = level.looks_at.iter().any(|name| self.form(name).is_some());
            if !by_time || bounds.iter().filter(has_ends).count() < SERIES {
                continue;
            }
            let Some(name) = self.open_child(level, levels) else { continue };
            let row = sqlx::query_scalar(AssertSqlSafe(sql::any_row(&name)));
            let row: Option<i32> = row
                .fetch_optional(&mut *connection)
                .await
                .map_err(|e| failure(format!("cannot read {name}"), &e))?;
            let (severity, holds) = match row {
                Some(_) => (
                    Severity::Error,
                    "holds rows, which no partition for their time can take any more",
                ),
                None => (Severity::Advice, "holds no row yet"),
            };
            let detail = format!(
                "{name} takes all that is later than the other partitions of {}, up to MAXVALUE, and {holds}: \
                 each partition that is made later is refused, since it would overlap; detach it, create the \
                 partitions, and move its rows",
                level.name
            );
            let mut finding = self.plan.finding(CatalogClass::CatchAllPartition, severity, detail);
            finding.partition = Some(name);
            findings.push(finding);
        }
        Ok(findings)
    }

    /// The direct partition that has no upper end.
    fn open_child(&self, level: &Level, levels: &[Level]) -> Option<String> {
        let leaves = self
            .plan
            .leaves(Side::Partitioned)
            .iter()
            .map(|leaf| (leaf.parent, Bound::parse(&leaf.bound), leaf.display.clone()));
        let tables =
            levels.iter().map(|below| (below.parent, below.own_bound(), below.name.clone()));
        let is_it = |(parent, bound, _): &(Option<i64>, Option<Bound>, String)| {
            *parent == Some(level.oid) && bound.as_ref().is_some_and(is_open)
        };
        leaves.chain(tables).find(is_it).map(|(_, _, name)| name)
    }
}

/// Whether a range goes up without an end.
fn is_open(bound: &Bound) -> bool {
    matches!(bound, Bound::Range(_, to) if to.first() == Some(&Edge::Open))
}
