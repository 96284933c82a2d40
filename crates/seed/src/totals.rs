//! What was generated, added up so that parts give the whole: rows, exact sums, content digests.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::plan::Plan;
use cutover_evidence::manifest::TableManifest;

/// The digest's key; fixed, so that digests of different runs can be compared.
const DIGEST_KEY: u64 = 0x6375_746f_7665_7231;

/// One table's totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableTotals {
    /// Rows on each side.
    pub rows: u64,
    /// Sum of the amounts in units of the column's last digit.
    #[serde(with = "as_text")]
    pub amount: i128,
    /// Sum modulo 2¹²⁸ of each row's digest; addition keeps duplicates visible, XOR would not.
    #[serde(with = "as_text")]
    pub digest: u128,
}

impl TableTotals {
    /// Adds one row: its amount and its wire image.
    pub fn add_row(&mut self, amount: i64, image: &[u8]) {
        self.rows += 1;
        self.amount += i128::from(amount);
        self.digest = self.digest.wrapping_add(xxh3_128_with_seed(image, DIGEST_KEY));
    }

    /// Adds other totals.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.amount += other.amount;
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// The manifest's tables: one entry per pair.
pub fn manifest(plan: &Plan, totals: &[TableTotals]) -> Vec<TableManifest> {
    let pairs = plan.tables.iter().zip(totals).filter(|(table, _)| table.partitioned.is_some());
    pairs
        .map(|(table, totals)| {
            let scale = table.amount.and_then(|index| table.columns[index].amount_scale());
            TableManifest {
                name: table.name.clone(),
                rows: totals.rows,
                amount_sum: decimal_text(totals.amount, scale.unwrap_or(0)),
                digest: format!("{:032x}", totals.digest),
            }
        })
        .collect()
}

/// An unscaled number with its point put in.
pub fn decimal_text(unscaled: i128, scale: u32) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>1$}", unscaled.unsigned_abs(), scale as usize + 1);
    let (integer, fraction) = digits.split_at(digits.len() - scale as usize);
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{integer}{point}{fraction}")
}

/// 128-bit numbers as text: JSON's own numbers end at 53 bits in many readers.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
    where
        T::Err: Display,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_stands_where_the_scale_says() {
        assert_eq!(decimal_text(12345, 2), "123.45");
        assert_eq!(decimal_text(-5, 2), "-0.05");
        assert_eq!(decimal_text(0, 2), "0.00");
        assert_eq!(decimal_text(7, 0), "7");
    }

    #[test]
    fn order_does_not_matter_but_multiplicity_does() {
        let total = |rows: &[&[u8]]| {
            let mut totals = TableTotals::default();
            rows.iter().for_each(|row| totals.add_row(1, row));
            totals.digest
        };
        assert_eq!(total(&[b"a", b"b"]), total(&[b"b", b"a"]));
        assert_ne!(total(&[b"a", b"a"]), total(&[b"b", b"b"]));
        assert_ne!(total(&[b"a", b"a", b"b"]), total(&[b"b"]));
    }
}
