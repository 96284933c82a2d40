//! Reads of the platform, as SQL: what their plans touch on the partitioned side.

use serde::{Deserialize, Serialize};

use super::sql;
use cutover_error::{Error, Result};

/// A read of a table pair whose plan is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRead {
    /// What reports call it.
    pub name: String,
    /// The statement, with `{{table}}` for the table of either side and `{{column}}` for the value
    /// that this column of the twin has in one of its rows.
    pub sql: String,
    /// It asks for so many days in a row, and should touch no more partitions than they lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// It should touch no more partitions than so many. A read with neither is shown with its cost on
    /// both sides and not judged: it may not be able to prune.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<u64>,
}

/// The blank for the table's name.
const TABLE: &str = "table";

impl TableRead {
    /// The reads of revenue and expense transactions in the reference platform.
    pub(super) fn of_transactions() -> Vec<Self> {
        vec![
            Self::new("list a month", sql::LIST_TRANSACTIONS, Some(31)),
            Self::new("a row by id and date", sql::TRANSACTION_OF_DAY, Some(1)),
            Self::new("a year by category", sql::YEAR_BY_CATEGORY, Some(365)),
            Self::new("a row by id", sql::TRANSACTION, None),
        ]
    }

    /// The read of cash balances in the reference platform.
    pub(super) fn of_balances() -> Vec<Self> {
        vec![Self::new("list a month", sql::LIST_BALANCES, Some(31))]
    }

    fn new(name: &str, sql: &str, days: Option<u32>) -> Self {
        Self { name: name.into(), sql: sql.into(), days, partitions: None }
    }

    /// The columns whose values it asks for.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let blanks = self.sql.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
        blanks.map(|(name, _)| name.trim()).filter(|name| *name != TABLE)
    }

    /// The statement on a table, with the values that columns have.
    ///
    /// # Errors
    /// The name of a column that has none.
    pub fn filled(
        &self,
        table: &str,
        value: impl Fn(&str) -> Option<String>,
    ) -> std::result::Result<String, String> {
        let mut parts = self.sql.split("{{");
        let mut statement = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
            match name.trim() {
                TABLE => statement.push_str(table),
                name => statement.push_str(&value(name).ok_or_else(|| name.to_owned())?),
            }
            statement.push_str(rest);
        }
        Ok(statement)
    }

    pub(super) fn check(&self, pair: &str) -> Result<()> {
        let place = format!("[[tables]] `{pair}`: reads: `{}`", self.name);
        let tables = self.sql.matches("{{table}}").count();
        let open = self.sql.matches("{{").count();
        if self.name.trim().is_empty() {
            let what = format!("[[tables]] `{pair}`: reads: name must not be empty");
            return Err(Error::usage(what, "names tell reads apart in reports"));
        }
        if tables == 0 || open != self.sql.matches("}}").count() {
            let hint = "write FROM {{table}}, and {{column}} where a row's value goes";
            let what = match tables {
                0 => format!("{place}: sql names no {{{{table}}}}"),
                _ => format!("{place}: sql opens and closes blanks unevenly"),
            };
            return Err(Error::usage(what, hint));
        }
        let zero = [("days", self.days == Some(0)), ("partitions", self.partitions == Some(0))];
        if let Some((key, _)) = zero.iter().find(|(_, is_zero)| *is_zero) {
            let what = format!("{place}: {key} = 0 is out of range");
            return Err(Error::usage(what, "allowed: 1 and more, or none where it cannot prune"));
        }
        if self.days.is_some() && self.partitions.is_some() {
            let what = format!("{place}: days and partitions cannot both be given");
            return Err(Error::usage(what, "days says how many partitions those are"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled_and_a_missing_column_is_named() {
        let read = TableRead::new("one", "ASK {{table}} IF id = {{ id }} AND {{date}} < 9", None);
        assert_eq!(read.columns().collect::<Vec<_>>(), ["id", "date"]);
        let filled = read.filled("t", |name| Some(format!("<{name}>")));
        assert_eq!(filled.as_deref(), Ok("ASK t IF id = <id> AND <date> < 9"));
        let missing = read.filled("t", |name| (name == "id").then(String::new));
        assert_eq!(missing, Err("date".to_owned()));
    }

    #[test]
    fn a_read_that_cannot_be_asked_is_refused() {
        let refused = |name: &str, sql: &str, days| {
            let read = TableRead::new(name, sql, days);
            read.check("revenue").map_err(|error| error.to_string())
        };
        assert!(refused("a", "FROM {{table}}", Some(1)).is_ok());
        assert!(refused("", "FROM {{table}}", None).unwrap_err().contains("name"));
        assert!(refused("a", "FROM revenue", None).unwrap_err().contains("{{table}}"));
        assert!(refused("a", "{{table}} {{id", None).unwrap_err().contains("unevenly"));
        assert!(refused("a", "{{table}}", Some(0)).unwrap_err().contains("days = 0"));
        let both = TableRead { partitions: Some(2), ..TableRead::new("a", "{{table}}", Some(1)) };
        assert!(both.check("revenue").unwrap_err().to_string().contains("both"));
        let ours = [TableRead::of_transactions(), TableRead::of_balances()].concat();
        assert!(ours.iter().all(|read| read.check("ours").is_ok()), "{ours:?}");
    }
}
