//! Ranges that hold no time, and a last one without an end.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::form::Form;
use super::layout::Sample;
use super::{Horizon, sql};
use crate::schema::{LEAVES_AT_ONCE, Side};
use cutover_error::Result;
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::pg::catalog::{self, Level};
use cutover_ground::pg::{Bound, Edge, failure};

/// Partitions with two ends that make a last one without an end a catch-all.
const SERIES: usize = 2;

impl Horizon<'_> {
    fn form(&self, name: &str) -> Option<&Form> {
        let at = self.layout.columns.iter().position(|(column, _)| column == name)?;
        self.forms[at].as_ref()
    }

    /// Ranges of what holds no time, and have an end: of a number the next one can be asked for.
    pub(super) async fn without_time(
        &self,
        connection: &mut PgConnection,
        levels: &[Level],
        samples: &[Sample],
    ) -> Result<Option<Finding>> {
        let timeless = |level: &&Level| {
            level.strategy == "r" && !level.looks_at.iter().any(|name| self.form(name).is_some())
        };
        let has_end = |level: &&Level| !level.bounds().iter().any(is_open);
        let Some(level) = levels.iter().filter(timeless).find(has_end) else { return Ok(None) };
        let columns = level.looks_at.join("`, `");
        if let [name] = self.layout.names().as_slice()
            && let Some(next) = self.next_number(connection, name, samples).await?
        {
            let row = (0, vec![Some(next.clone())]);
            if self.not_taken(connection, &[row]).await?.is_ok_and(|open| !open.is_empty()) {
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
        Ok(Some(self.unknown(&format!("{} has ranges of `{columns}`, and {why}", level.name))))
    }

    /// What follows the largest number, if an index tells it.
    async fn next_number(
        &self,
        connection: &mut PgConnection,
        name: &str,
        samples: &[Sample],
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
    pub(super) async fn catch_alls(
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
