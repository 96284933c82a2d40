//! What the catalogs tell and is meant to be so.

use serde::{Deserialize, Serialize};

use super::TablePair;
use cutover_error::{Error, Result};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::Finding;

/// A catalog finding that is meant to be so, and why. It is shown, and decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// The finding's class.
    pub class: CatalogClass,
    /// The pair it is about; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The column it is about; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Why.
    pub reason: String,
}

impl Accept {
    pub(super) fn check(&self, pairs: &[TablePair]) -> Result<()> {
        let place = format!("[[accept]] class = \"{}\"", self.class);
        if self.reason.trim().is_empty() {
            let hint = "say why it is meant to be so";
            return Err(Error::usage(format!("{place}: reason is empty"), hint));
        }
        let unknown = self.table.as_ref().filter(|name| !pairs.iter().any(|p| p.name == **name));
        match unknown {
            None => Ok(()),
            Some(name) => {
                let there: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
                let what = format!("{place}: table: there is no pair `{name}`");
                Err(Error::usage(what, format!("the pairs: {}", there.join(", "))))
            }
        }
    }

    /// The same of one pair, if it is about that.
    pub(super) fn of_pair(&self, name: &str) -> Option<Self> {
        let is_it = self.table.as_ref().is_none_or(|table| table == name);
        is_it.then(|| Self { table: Some(name.to_owned()), ..self.clone() })
    }

    fn is_about(&self, finding: &Finding, column: Option<&String>) -> bool {
        let of_table = self.table.as_ref().is_none_or(|table| *table == finding.table);
        let of_column = self.column.as_ref().is_none_or(|name| Some(name) == column);
        finding.class == self.class.into() && of_table && of_column
    }

    /// A finding as it counts: accepted, or not, or if only some of its columns are, both.
    pub fn sort(accepted: &[Self], finding: Finding) -> Vec<Finding> {
        let reason = |column: Option<&String>| {
            let accept = accepted.iter().find(|accept| accept.is_about(&finding, column));
            accept.map(|accept| accept.reason.clone())
        };
        if finding.columns.is_empty() {
            return vec![Finding { accepted: reason(None), ..finding }];
        }
        let (meant, other): (Vec<String>, Vec<String>) =
            finding.columns.iter().cloned().partition(|column| reason(Some(column)).is_some());
        let mut reasons: Vec<String> = meant.iter().filter_map(|c| reason(Some(c))).collect();
        reasons.dedup();
        let reasons = Some(reasons.join("; ")).filter(|reasons| !reasons.is_empty());
        let parts = [(other, None), (meant, reasons)];
        let parts = parts.into_iter().filter(|(columns, _)| !columns.is_empty());
        parts.map(|(columns, accepted)| Finding { columns, accepted, ..finding.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_of_a_finding_is_told_apart_from_the_rest() {
        let accept = |table: Option<&str>, column: Option<&str>| Accept {
            class: CatalogClass::TriggerColumnMissing,
            table: table.map(str::to_owned),
            column: column.map(str::to_owned),
            reason: "a key".into(),
        };
        let mut finding = Finding::new("bills", CatalogClass::TriggerColumnMissing);
        finding.columns = vec!["id".into(), "amount".into()];
        let sorted = |accepted: &[Accept]| -> Vec<(String, bool)> {
            let sorted = Accept::sort(accepted, finding.clone()).into_iter();
            sorted.map(|f| (f.columns.join(" "), f.accepted.is_some())).collect()
        };
        let both = vec![("amount".to_owned(), false), ("id".to_owned(), true)];
        assert_eq!(sorted(&[accept(None, Some("id"))]), both);
        assert_eq!(sorted(&[accept(Some("bills"), None)]), [("id amount".to_owned(), true)]);
        assert_eq!(sorted(&[accept(Some("others"), None)]), [("id amount".to_owned(), false)]);
        let other = Accept { class: CatalogClass::ColumnType, ..accept(None, None) };
        assert_eq!(sorted(&[other]), [("id amount".to_owned(), false)]);
    }
}
