//! Lists of values to choose from: CSV files of ours or of the profile's owner, and names from the
//! `fake` crate.

use std::path::Path;

use chrono::NaiveDate;
use fake::Fake;
use fake::faker::{address, company, name};
use fake::locales::{DE_DE, EN, FR_FR, IT_IT, JA_JP, PT_BR};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::random::{self, Share, Stream, VOCABULARY_STREAMS, Weighted};
use super::specs::FakeKind;
use cutover_error::{Context, Error, Result};

/// The vocabularies that come with the program, by name.
const BUILT_IN: [(&str, &str); 10] = [
    ("balance_notes", include_str!("../../../fixtures/balance_notes.csv")),
    ("edge_texts", include_str!("../../../fixtures/edge_texts.csv")),
    ("expense_categories", include_str!("../../../fixtures/expense_categories.csv")),
    ("expense_descriptions", include_str!("../../../fixtures/expense_descriptions.csv")),
    ("expense_payment_modes", include_str!("../../../fixtures/expense_payment_modes.csv")),
    ("revenue_categories", include_str!("../../../fixtures/revenue_categories.csv")),
    ("revenue_descriptions", include_str!("../../../fixtures/revenue_descriptions.csv")),
    ("revenue_payment_modes", include_str!("../../../fixtures/revenue_payment_modes.csv")),
    ("statuses", include_str!("../../../fixtures/statuses.csv")),
    ("tax_rates", include_str!("../../../fixtures/tax_rates.csv")),
];

/// One line of a vocabulary's CSV file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    value: String,
    weight: u64,
    low: Option<String>,
    typical: Option<String>,
    high: Option<String>,
    top: Option<String>,
}

/// Shares of what is mixed in among the plain values.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mix {
    /// Share of NULLs.
    pub null: f64,
    /// Share of empty text.
    pub empty: f64,
    /// Share of texts that break naive tools.
    pub edge: f64,
}

/// Values and their weights.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    /// The values; `None` is NULL.
    pub values: Vec<Option<String>>,
    /// The 0th, 50th, 95th and 100th percentile of amounts by value; empty if the file has none.
    pub percentiles: Vec<[String; 4]>,
    weighted: Weighted,
}

impl Vocabulary {
    /// Reads a CSV file, ours by name or another by path.
    ///
    /// # Errors
    /// A usage error with file and line.
    pub fn from_csv(from: &str, folder: &Path, mix: Mix) -> Result<Self> {
        let lines = lines(from, folder)?;
        let percentiles = lines
            .iter()
            .filter_map(|line| {
                let line = line.clone();
                Some([line.low?, line.typical?, line.high?, line.top?])
            })
            .collect::<Vec<_>>();
        if !percentiles.is_empty() && percentiles.len() != lines.len() {
            let what =
                format!("vocabulary `{from}`: low, typical, high and top stand in some lines only");
            return Err(Error::usage(what, "give them in every line or in none"));
        }
        let (values, weights) = lines.into_iter().map(|line| (line.value, line.weight)).unzip();
        Self::mixed(values, weights, percentiles, mix)
    }

    /// Makes `entries` names, a function of `rng_seed` and the kind alone.
    ///
    /// # Errors
    /// A usage error if the shares in `mix` exceed 1.
    pub fn from_fake(kind: FakeKind, entries: u32, rng_seed: u64, mix: Mix) -> Result<Self> {
        let mut rng = random::key(rng_seed, None::<NaiveDate>);
        rng.set_stream(VOCABULARY_STREAMS + kind as u64);
        let values: Vec<String> =
            (0..entries).map(|index| fake_name(kind, index, &mut rng)).collect();
        let weights = vec![1; values.len()];
        Self::mixed(values, weights, Vec::new(), mix)
    }

    /// The one value, always.
    pub fn constant(value: String) -> Self {
        let weighted = Weighted::new(&[1]);
        Self { values: vec![Some(value)], percentiles: Vec::new(), weighted }
    }

    /// Index of a drawn value.
    pub fn draw(&self, stream: &mut Stream) -> u32 {
        self.weighted.draw(stream)
    }

    /// Puts NULL, empty text and edge texts behind the plain values, so that one draw decides.
    fn mixed(
        values: Vec<String>,
        weights: Vec<u64>,
        percentiles: Vec<[String; 4]>,
        mix: Mix,
    ) -> Result<Self> {
        let one = Share::new(1.0).units();
        let [null, empty, edge] = [mix.null, mix.empty, mix.edge].map(|s| Share::new(s).units());
        let Some(plain) = one.checked_sub(null + empty + edge) else {
            let what = "null_share, empty_share and edge_share together exceed 1";
            return Err(Error::usage(what, "allowed: shares from 0 to 1 whose sum is at most 1"));
        };
        // A common denominator keeps the mixture exact: plain weights times the plain share, each
        // special value's share times the sum of the plain weights.
        let sum: u64 = weights.iter().sum();
        let mut shares: Vec<u64> = weights.iter().map(|weight| weight * plain).collect();
        let mut values: Vec<Option<String>> = values.into_iter().map(Some).collect();
        if null > 0 {
            values.push(None);
            shares.push(null * sum);
        }
        if empty > 0 {
            values.push(Some(String::new()));
            shares.push(empty * sum);
        }
        if edge > 0 {
            let edges = lines("edge_texts", Path::new("."))?;
            let each = edge * sum / edges.len() as u64;
            shares.extend(std::iter::repeat_n(each, edges.len()));
            values.extend(edges.into_iter().map(|line| Some(line.value)));
        }
        Ok(Self { values, percentiles, weighted: Weighted::new(&shares) })
    }
}

/// The CSV text of a vocabulary.
///
/// # Errors
/// A usage error if it is neither ours nor a readable file.
pub fn text(from: &str, folder: &Path) -> Result<String> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == from) {
        return Ok((*text).to_owned());
    }
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    let hint = format!("give the path of a CSV file, or one of {}", names.join(", "));
    std::fs::read_to_string(folder.join(from)).or_usage(format!("vocabulary `{from}`"), hint)
}

fn lines(from: &str, folder: &Path) -> Result<Vec<Line>> {
    let place = format!("vocabulary `{from}`");
    let hint = "columns: value,weight and, for amounts, low,typical,high,top";
    let text = text(from, folder)?;
    let lines: Vec<Line> = csv::Reader::from_reader(text.as_bytes())
        .deserialize()
        .collect::<std::result::Result<_, _>>()
        .or_usage(&place, hint)?;
    let sum = lines.iter().try_fold(0u64, |sum, line| sum.checked_add(line.weight));
    match sum {
        // 2³⁰ leaves room for the shares' 2³² in 64 bits.
        Some(1..=0x4000_0000) => Ok(lines),
        _ => Err(Error::usage(
            format!("{place}: the weights add up to 0, or to more than 2^30"),
            "weights are whole numbers, and one at least is above 0",
        )),
    }
}

/// One name; people come in several scripts, most of them in the first.
fn fake_name(kind: FakeKind, index: u32, rng: &mut ChaCha8Rng) -> String {
    match (kind, index % 8) {
        (FakeKind::Person, 5) => name::raw::Name(FR_FR).fake_with_rng(rng),
        (FakeKind::Person, 6) => name::raw::Name(JA_JP).fake_with_rng(rng),
        (FakeKind::Person, 7) => name::raw::Name(PT_BR).fake_with_rng(rng),
        (FakeKind::Person, _) => name::raw::Name(EN).fake_with_rng(rng),
        (FakeKind::Company, 6) => company::raw::CompanyName(DE_DE).fake_with_rng(rng),
        (FakeKind::Company, 7) => company::raw::CompanyName(IT_IT).fake_with_rng(rng),
        (FakeKind::Company, _) => company::raw::CompanyName(EN).fake_with_rng(rng),
        (FakeKind::City, 7) => address::raw::CityName(FR_FR).fake_with_rng(rng),
        (FakeKind::City, _) => address::raw::CityName(EN).fake_with_rng(rng),
    }
}
