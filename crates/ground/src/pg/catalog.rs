//! Tables as the catalogs describe them: columns, leaves, triggers, indexes.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

pub use super::trigger::Trigger;
use super::{Bound, QualifiedName, describe, failure, sql};
use cutover_error::{Context, Error, Result};

/// Leaves that one statement asks about, which holds a lock on each while it runs.
const LEAVES_AT_ONCE: usize = 256;

/// A table and its columns.
#[derive(Debug, Clone, Deserialize)]
pub struct Table {
    /// Schema and name.
    #[serde(skip, default = "QualifiedName::nowhere")]
    pub name: QualifiedName,
    /// Object identifier.
    pub oid: i64,
    /// `r` an ordinary table, `p` a partitioned one.
    pub kind: String,
    /// Whether row-level security is on.
    pub row_security: bool,
    /// Whether the current role may read it.
    pub readable: bool,
    /// Whether other tables inherit from it without being partitions.
    pub inherited: bool,
    /// `r` RANGE, `l` LIST, `h` HASH; `None` if it is not partitioned.
    pub strategy: Option<String>,
    /// The partition columns; expressions are not among them.
    pub partition_columns: Vec<String>,
    /// The live columns, by position.
    #[serde(skip)]
    pub columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type with its modifier, as PostgreSQL prints it.
    pub type_name: String,
    /// Object identifier of the type.
    pub type_oid: i64,
    /// The type with its schema and without its modifier, for casts that cut nothing off.
    pub bare_type: String,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Whether its value is computed from other columns.
    pub generated: bool,
    /// Whether it numbers rows itself.
    pub identity: bool,
    /// Whether COPY can send it in binary, with all that its type is made of.
    pub has_binary_form: bool,
    /// Whether values that print alike have the same bytes: arrays may have a bitmap of no NULLs, NaN has a sign.
    pub has_one_form: bool,
    /// Default expression.
    pub default_value: Option<String>,
    /// Collation, of types that have one.
    pub collation: Option<String>,
    /// The sequence it owns.
    pub sequence: Option<String>,
}

/// A relation that holds rows: a leaf of a partitioned table, or an ordinary table itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Leaf {
    /// Object identifier.
    pub oid: i64,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// What `tableoid::regclass` prints.
    pub display: String,
    /// `r` an ordinary table, `f` a foreign one.
    pub kind: String,
    /// Whether the current role may read it directly.
    pub readable: bool,
    /// Rows as the planner believes.
    pub rows_estimate: f64,
    /// The file that holds it; another one after a rewrite such as VACUUM FULL.
    pub file: i64,
    /// Its blocks, if it is stored in PostgreSQL's own row format.
    pub heap_blocks: Option<u64>,
    /// `FOR VALUES …` or `DEFAULT`; empty if it is not a partition.
    pub bound: String,
    /// What a row of it must fulfil, the bounds of its parents included.
    pub partition_constraint: Option<String>,
    /// The partitioned table that it is a partition of.
    pub parent: Option<i64>,
    /// How many partitioned tables it is below.
    #[serde(skip)]
    pub depth: u32,
}

/// A partitioned table: the root of a tree or one of its inner nodes.
#[derive(Debug, Clone, Deserialize)]
pub struct Level {
    /// Object identifier.
    pub oid: i64,
    /// What `oid::regclass` prints.
    pub name: String,
    /// The partitioned table it is a partition of; `None` for the root.
    pub parent: Option<i64>,
    /// `r` RANGE, `l` LIST, `h` HASH.
    pub strategy: String,
    /// The columns it is divided by, expressions left out.
    pub columns: Vec<String>,
    /// How many expressions it is divided by.
    pub expressions: i64,
    /// These, with commas between them.
    pub expression: Option<String>,
    /// Every column that it is divided by, those of expressions, too.
    pub looks_at: Vec<String>,
    bound: Option<String>,
    child_bounds: Vec<String>,
}

impl Level {
    /// The bounds of its direct partitions.
    pub fn bounds(&self) -> Vec<Bound> {
        self.child_bounds.iter().filter_map(|bound| Bound::parse(bound)).collect()
    }

    /// What its parent sends to it; `None` for the root.
    pub fn own_bound(&self) -> Option<Bound> {
        Bound::parse(self.bound.as_ref()?)
    }
}

/// An index of a table or of one of its partitions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Index {
    /// Name.
    pub name: String,
    /// The table it is on.
    pub on_table: String,
    /// Whether queries can use it.
    pub valid: bool,
    /// Whether it makes its columns unique over all rows.
    pub is_unique: bool,
    /// Whether it is on the table asked about rather than on a partition.
    pub direct: bool,
    /// Its key columns.
    pub columns: Vec<String>,
}

/// A table as a list of all tables shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Listed {
    /// Object identifier.
    pub oid: i64,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `r` an ordinary table, `p` a partitioned one.
    pub kind: String,
    /// Whether the current role may read it.
    pub readable: bool,
    /// Its columns, by position.
    pub columns: Vec<String>,
}

/// A foreign key of a table.
#[derive(Debug, Clone, Deserialize)]
pub struct ForeignKey {
    /// The columns that refer.
    pub columns: Vec<String>,
    /// Schema of the table that is referred to.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The columns that are referred to.
    pub referred: Vec<String>,
}

/// A column that takes one of a few texts: an enumeration, or a CHECK that lists them.
#[derive(Debug, Clone, Deserialize)]
pub struct Choices {
    /// The column.
    pub column: String,
    /// The texts of an enumeration.
    pub labels: Vec<String>,
    /// The CHECK, as PostgreSQL prints it.
    pub condition: Option<String>,
}

/// Every table outside the system's own schemas that is no partition.
///
/// # Errors
/// A run error if the server fails.
pub async fn all_tables(connection: &mut PgConnection) -> Result<Vec<Listed>> {
    list(connection, &QualifiedName::nowhere(), sql::ALL_TABLES, |query| query).await
}

impl Column {
    /// Whether it is one of the integer types.
    pub fn is_integer(&self) -> bool {
        ["smallint", "integer", "bigint"].contains(&self.type_name.as_str())
    }
}

impl Leaf {
    /// Schema and name.
    pub fn qualified(&self) -> QualifiedName {
        QualifiedName { schema: self.schema.clone(), name: self.name.clone() }
    }

    /// Whether it takes the rows that no other partition takes.
    pub fn is_default(&self) -> bool {
        self.bound == "DEFAULT"
    }
}

impl Table {
    /// Looks a table up.
    ///
    /// # Errors
    /// A usage error if it is not there (the message names the tables that are) or is something
    /// else, a run error if the role may not read it.
    pub async fn find(
        connection: &mut PgConnection,
        name: &QualifiedName,
        url: &str,
    ) -> Result<Self> {
        let found = list::<Self>(connection, name, sql::TABLE, |query| {
            query.bind(name.schema.clone()).bind(name.name.clone())
        });
        let Some(mut table) = found.await?.pop() else {
            return Err(not_there(connection, name, url).await);
        };
        table.name = name.clone();
        if !["r", "p"].contains(&table.kind.as_str()) {
            return Err(Error::usage(format!("{name} is not a table"), "views cannot be compared"));
        }
        if !table.readable {
            return Err(Error::run(
                format!("this role may not read {name} in {}", describe(url)),
                format!("GRANT SELECT ON {name} TO the role of the database URL"),
            ));
        }
        table.columns = list(connection, name, sql::COLUMNS, |query| {
            query.bind(table.oid).bind(name.to_string())
        })
        .await?;
        Ok(table)
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The relations that hold its rows.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn leaves(&self, connection: &mut PgConnection) -> Result<Vec<Leaf>> {
        let leaves = sqlx::query_as(AssertSqlSafe(sql::of_tree(sql::LEAVES)));
        let leaves = leaves.bind(self.oid).persistent(false);
        let found = leaves.fetch_all(&mut *connection).await;
        let what = |e| failure(format!("cannot read the catalog of {}", self.name), &e);
        let found: Vec<(i64, i32)> = found.map_err(what)?;
        let depths: HashMap<i64, i32> = found.iter().copied().collect();
        let mut leaves = Vec::with_capacity(found.len());
        for some in found.chunks(LEAVES_AT_ONCE) {
            let oids: Vec<i64> = some.iter().map(|(oid, _)| *oid).collect();
            let details = list::<Leaf>(connection, &self.name, sql::LEAF_DETAILS, |q| q.bind(oids));
            leaves.extend(details.await?);
        }
        leaves.iter_mut().for_each(|leaf| leaf.depth = depths[&leaf.oid].unsigned_abs());
        leaves.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(leaves)
    }

    /// The partitioned tables of its tree, itself included.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn levels(&self, connection: &mut PgConnection) -> Result<Vec<Level>> {
        self.below(connection, &sql::of_tree(sql::LEVELS)).await
    }

    /// Its triggers.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn triggers(&self, connection: &mut PgConnection) -> Result<Vec<Trigger>> {
        self.triggers_of(connection, self.oid).await
    }

    /// The triggers of one of the relations that hold its rows.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn triggers_of(
        &self,
        connection: &mut PgConnection,
        relation: i64,
    ) -> Result<Vec<Trigger>> {
        list(connection, &self.name, sql::TRIGGERS, |query| query.bind(relation)).await
    }

    /// Its indexes, and the invalid ones of its partitions.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn indexes(&self, connection: &mut PgConnection) -> Result<Vec<Index>> {
        self.below(connection, &sql::of_tree(sql::INDEXES)).await
    }

    /// Its foreign keys.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn foreign_keys(&self, connection: &mut PgConnection) -> Result<Vec<ForeignKey>> {
        self.below(connection, sql::FOREIGN_KEYS).await
    }

    /// Its columns that take one of a few texts.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub async fn choices(&self, connection: &mut PgConnection) -> Result<Vec<Choices>> {
        self.below(connection, sql::CHOICES).await
    }

    async fn below<T: DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        query: &str,
    ) -> Result<Vec<T>> {
        list(connection, &self.name, query, |query| query.bind(self.oid)).await
    }
}

/// A catalog query, for what it asks about to be bound.
pub type Query<'q> =
    sqlx::query::QueryScalar<'q, sqlx::Postgres, String, sqlx::postgres::PgArguments>;

/// Runs a catalog query; its rows come as JSON, so that a struct's fields name its columns. Without a
/// name: the session may be another's next.
async fn list<T: DeserializeOwned>(
    connection: &mut PgConnection,
    name: &QualifiedName,
    query: &str,
    bind: impl for<'q> FnOnce(Query<'q>) -> Query<'q>,
) -> Result<Vec<T>> {
    rows(connection, name, query, bind).await
}

/// The same about anything, `name`.
///
/// # Errors
/// A run error if the server fails.
pub async fn rows<T: DeserializeOwned>(
    connection: &mut PgConnection,
    name: impl std::fmt::Display,
    query: &str,
    bind: impl for<'q> FnOnce(Query<'q>) -> Query<'q>,
) -> Result<Vec<T>> {
    let what = || format!("cannot read the catalog of {name}");
    let query = sqlx::query_scalar(AssertSqlSafe(sql::as_json(query)));
    let rows: Vec<String> = bind(query)
        .persistent(false)
        .fetch_all(connection)
        .await
        .map_err(|e| failure(what(), &e))?;
    rows.iter().map(|row| serde_json::from_str(row).or_run(what(), "")).collect()
}

async fn not_there(connection: &mut PgConnection, name: &QualifiedName, url: &str) -> Error {
    let there: Vec<String> = sqlx::query_scalar(sql::TABLES_OF_SCHEMA)
        .persistent(false)
        .bind(&name.schema)
        .fetch_all(connection)
        .await
        .unwrap_or_default();
    let hint = if there.is_empty() {
        format!("the schema `{}` holds no tables", name.schema)
    } else {
        format!("tables of schema `{}`: {}", name.schema, there.join(", "))
    };
    Error::usage(format!("there is no table {name} in {}", describe(url)), hint)
}

#[cfg(test)]
mod tests {
    use super::Trigger;

    #[test]
    fn a_table_is_mentioned_only_as_a_word() {
        let mentions = |source: &str| {
            let trigger = Trigger {
                name: "t".into(),
                enabled: "O".into(),
                kind: 0,
                conditional: false,
                function: "f".into(),
                source: source.into(),
                columns: Vec::new(),
            };
            trigger.mentions("orders_twin")
        };
        assert!(mentions("INSERT INTO public.orders_twin (id)"));
        assert!(mentions("insert into \"orders_twin\""));
        assert!(!mentions("INSERT INTO orders_twin_old (id)"));
        assert!(!mentions("INSERT INTO my_orders_twin"));
    }
}
