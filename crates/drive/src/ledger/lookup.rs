//! Looks rows up on both sides of a table pair, many at a time.

use std::collections::BTreeMap;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::judge::Found;
use super::sql;
use cutover_error::{Error, Result};
use cutover_evidence::ledger::Columns;
use cutover_evidence::side::Side;
use cutover_ground::config::TablePair;
use cutover_ground::pg::{self, catalog::Table};

/// Both sides of a pair as the catalog has them.
pub(super) struct Pair {
    config: TablePair,
    legacy: Table,
    partitioned: Table,
}

/// A connection that looks rows up.
pub(super) struct Reader {
    connection: PgConnection,
    pairs: BTreeMap<String, Pair>,
}

impl Reader {
    /// Connects and finds the tables of the pairs; `settings` say what looking up may cost.
    pub(super) async fn open(
        database_url: &str,
        tables: &[TablePair],
        settings: &'static str,
    ) -> Result<Self> {
        let mut connection = pg::connect_reading(database_url).await?;
        run(&mut connection, settings).await?;
        let mut pairs = BTreeMap::new();
        for config in tables {
            let legacy = Table::find(&mut connection, &config.legacy_name()?, database_url).await?;
            let partitioned = config.partitioned_name()?;
            let partitioned = Table::find(&mut connection, &partitioned, database_url).await?;
            let pair = Pair { config: config.clone(), legacy, partitioned };
            pairs.insert(config.name.clone(), pair);
        }
        Ok(Self { connection, pairs })
    }

    /// From here on everything is seen on one state of the database.
    pub(super) async fn hold_still(&mut self) -> Result<()> {
        run(&mut self.connection, sql::BEGIN).await
    }

    pub(super) async fn close(mut self) {
        // Nothing was changed and all was read; how the goodbye fares changes nothing.
        let _ = run(&mut self.connection, sql::END).await;
        let _ = self.connection.close().await;
    }

    pub(super) fn pair(&self, name: &str) -> Result<&Pair> {
        self.pairs.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.pairs.keys().map(String::as_str).collect();
            let hint = format!("the pairs are {}", known.join(", "));
            Error::run(format!("the ledger names a table pair `{name}` that is not there"), hint)
        })
    }

    /// Values of legacy columns as the database prints them once they are stored: `100` in a column of
    /// two decimals as `100.00`.
    pub(super) async fn as_printed<'v>(
        &mut self,
        pair: &str,
        all: impl Iterator<Item = &'v mut Columns>,
    ) -> Result<()> {
        let mut all: Vec<&mut Columns> = all.collect();
        let names: std::collections::BTreeSet<String> =
            all.iter().flat_map(|columns| columns.keys().cloned()).collect();
        for name in names {
            let type_name = self.pair(pair)?.type_of(Side::Legacy, &name)?;
            let places = all.iter_mut().filter_map(|columns| columns.get_mut(&name));
            let places: Vec<&mut Option<String>> = places.collect();
            let texts: Vec<Option<String>> = places.iter().map(|place| (**place).clone()).collect();
            let statement = AssertSqlSafe(sql::as_printed(&type_name));
            let printed: Vec<Option<String>> = sqlx::query_scalar(statement)
                .bind(texts)
                .fetch_all(&mut self.connection)
                .await
                .map_err(|error| {
                    let what = format!("a written value of `{pair}`.`{name}` is none of its type");
                    pg::failure(what, &error)
                })?;
            places.into_iter().zip(printed).for_each(|(place, text)| *place = text);
        }
        Ok(())
    }

    /// The rows of a side that hold one of the lines of `wanted` in the columns `by`, with the line's
    /// place.
    pub(super) async fn rows(
        &mut self,
        (pair, of): (&str, Side),
        by: &[String],
        wanted: &[Vec<Option<String>>],
        values: &[String],
    ) -> Result<Vec<(usize, Found)>> {
        let known = self.pair(pair)?;
        let key = known.config.key.clone();
        let fetched: Vec<&str> =
            key.iter().chain(values).map(|name| known.name_on(of, name)).collect();
        let types = by.iter().map(|name| known.type_of(of, name)).collect::<Result<Vec<_>>>()?;
        let conditions: Vec<(&str, &str)> = by
            .iter()
            .zip(&types)
            .map(|(name, type_name)| (known.name_on(of, name), type_name.as_str()))
            .collect();
        let statement = sql::rows_where(&known.on(of).name, &conditions, &fetched);
        let mut query = sqlx::query_as::<_, (i64, Vec<Option<String>>)>(AssertSqlSafe(statement));
        for column in 0..by.len() {
            let list: Vec<Option<String>> =
                wanted.iter().map(|line| line[column].clone()).collect();
            query = query.bind(list);
        }
        let rows = query
            .fetch_all(&mut self.connection)
            .await
            .map_err(|error| pg::failure(format!("cannot look up rows of `{pair}`"), &error))?;
        let found = |(place, mut texts): (i64, Vec<Option<String>>)| {
            let rest = texts.split_off(key.len().min(texts.len()));
            let named = |names: &[String], texts: Vec<Option<String>>| -> Columns {
                names.iter().cloned().zip(texts).collect()
            };
            let found = Found { key: named(&key, texts), values: named(values, rest) };
            (usize::try_from(place - 1).unwrap_or(usize::MAX), found)
        };
        Ok(rows.into_iter().map(found).collect())
    }
}

impl Pair {
    fn on(&self, of: Side) -> &Table {
        match of {
            Side::Legacy => &self.legacy,
            Side::Partitioned => &self.partitioned,
        }
    }

    /// What a side calls a legacy column.
    fn name_on<'a>(&'a self, of: Side, column: &'a str) -> &'a str {
        match of {
            Side::Legacy => column,
            Side::Partitioned => self.config.partitioned_column(column),
        }
    }

    fn type_of(&self, of: Side, column: &str) -> Result<String> {
        let (table, name) = (self.on(of), self.name_on(of, column));
        let found = table.column(name).map(|column| column.type_name.clone());
        found.ok_or_else(|| {
            let what =
                format!("the ledger names a column `{name}` that {} does not have", table.name);
            Error::run(what, "correct `key`, `values` or `tag` of the scenario's `writes`")
        })
    }

    /// The key's columns, by their legacy names.
    pub(super) fn key(&self) -> &[String] {
        &self.config.key
    }

    /// The org's column, by its legacy name.
    ///
    /// # Errors
    /// A usage error if the pair has none.
    pub(super) fn org(&self) -> Result<&str> {
        self.config.needs_org("the ledger of writes that are known by a tag")
    }
}

async fn run(connection: &mut PgConnection, statements: &'static str) -> Result<()> {
    sqlx::raw_sql(statements)
        .execute(connection)
        .await
        .map(drop)
        .map_err(|error| pg::failure("cannot prepare to look up what was written", &error))
}
