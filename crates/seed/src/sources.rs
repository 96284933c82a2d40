//! A column's generator with everything looked up: vocabularies read, decimals parsed, the columns
//! it refers to found.

use super::columns::{Column, Surroundings};
use super::encode;
use super::plan::Table;
use super::random::Share;
use super::specs::{ColumnSpec, Generator, MoneySpec};
use super::vocabulary::{Mix, Vocabulary};
use cutover_error::{Error, Result};

/// A generator with everything looked up.
pub enum Source {
    Org,
    OrgSize,
    Property,
    Sequence { stride: i64 },
    ForeignKey { table: usize, stride: i64 },
    Label { prefix: String },
    Int { min: i64, span: u64 },
    Decimal { min: i64, span: u64, scale: u32 },
    Money(Money),
    Date,
    DailyDate,
    Moment { on: Option<usize>, years: u32, edge: Share },
    Later { than: usize, share: Share, days: u32, edge: Share },
    Pick(Vocabulary),
}

/// Amounts in minor units.
pub struct Money {
    /// The column that decides which curve holds; without it the first one does.
    pub by: Option<usize>,
    /// 0th, 50th, 95th and 100th percentile.
    pub curves: Vec<[i64; 4]>,
    /// Digits behind the point.
    pub scale: u32,
    /// Share of negative amounts.
    pub negative: Share,
    /// The largest amount and its share.
    pub largest: (i64, Share),
}

/// Resolves a column's generator; sets `mixes_null` if NULLs are among its values already.
///
/// # Errors
/// A usage error that says what is wrong with it.
pub fn build(
    spec: &ColumnSpec,
    around: &Surroundings<'_>,
    mixes_null: &mut bool,
) -> Result<Source> {
    let Surroundings { profile, options, sizes, earlier, .. } = *around;
    let mix = |empty: f64, edge: f64| Mix { null: spec.null_share, empty, edge };
    Ok(match &spec.generator {
        Generator::Org => Source::Org,
        Generator::OrgSize => Source::OrgSize,
        Generator::Property => Source::Property,
        Generator::Sequence { stride } => {
            if u64::from(*stride) < sizes.bound() {
                let what = format!(
                    "sequence stride = {stride}: the largest org may have {} rows",
                    sizes.bound()
                );
                return Err(Error::usage(what, "raise the stride or lower --transactions-per-org"));
            }
            Source::Sequence { stride: i64::from(*stride) }
        }
        Generator::ForeignKey { table } => foreign_key(table, around.tables)?,
        Generator::Label { prefix } => Source::Label { prefix: prefix.clone() },
        Generator::Int { min, max } => Source::Int { min: *min, span: span(*min, *max)? },
        Generator::Decimal { min, max } => {
            let ((min, scale), (max, scale_max)) = (encode::decimal(min)?, encode::decimal(max)?);
            if scale != scale_max {
                return Err(Error::usage("decimal: min and max have different scales", ""));
            }
            Source::Decimal { min, span: span(min, max)?, scale }
        }
        Generator::Money(money) => Source::Money(build_money(money, earlier)?),
        Generator::Date => Source::Date,
        Generator::DailyDate => Source::DailyDate,
        Generator::Moment { on, years, edge_share } => {
            if !(1..=100).contains(years) {
                return Err(Error::usage("moment: years is out of range", "allowed: 1 to 100"));
            }
            let on =
                on.as_deref().map(|name| column(earlier, name, Column::is_date, "a date column"));
            Source::Moment { on: on.transpose()?, years: *years, edge: Share::new(*edge_share) }
        }
        Generator::Later { than, share, days, edge_share } => {
            let moment =
                |c: &Column| matches!(c.source, Source::Moment { .. } | Source::Later { .. });
            let than = column(earlier, than, moment, "a moment that is never NULL")?;
            if earlier[than].nullable {
                return Err(Error::usage("later: the other column may be NULL", ""));
            }
            let edge = Share::new(*edge_share);
            Source::Later { than, share: Share::new(*share), days: (*days).clamp(1, 36_500), edge }
        }
        Generator::Choice(choice) => {
            *mixes_null = true;
            let mix = mix(choice.empty_share, choice.edge_share);
            Source::Pick(Vocabulary::from_csv(&choice.from, profile.folder(), mix)?)
        }
        Generator::Fake { kind, entries, empty_share, edge_share } => {
            if !(1..=65_536).contains(entries) {
                return Err(Error::usage("fake: entries is out of range", "allowed: 1 to 65536"));
            }
            *mixes_null = true;
            let mix = mix(*empty_share, *edge_share);
            Source::Pick(Vocabulary::from_fake(*kind, *entries, options.rng_seed, mix)?)
        }
        Generator::Constant(value) => Source::Pick(Vocabulary::constant(value.clone())),
    })
}

/// The parent's rows are numbered by its sequence, so any of them can be named without asking.
fn foreign_key(name: &str, tables: &[Table]) -> Result<Source> {
    let refuse = |what: String| {
        Error::usage(format!("foreign_key: {what}"), "name a table before, with a sequence column")
    };
    let table = tables.iter().position(|table| table.name == name);
    let table = table.ok_or_else(|| refuse(format!("no table `{name}` stands before")))?;
    let stride = tables[table].columns.iter().find_map(|column| match column.source {
        Source::Sequence { stride } => Some(stride),
        // One row per org, and its key is the org.
        Source::Org if !tables[table].transactions => Some(1),
        _ => None,
    });
    let stride = stride.ok_or_else(|| refuse(format!("`{name}` has no sequence column")))?;
    Ok(Source::ForeignKey { table, stride })
}

fn build_money(spec: &MoneySpec, earlier: &[Column]) -> Result<Money> {
    let (by, percentiles) = match (&spec.by, &spec.percentiles) {
        (Some(name), None) => {
            let (index, vocabulary) = choice_column(earlier, name)?;
            if vocabulary.percentiles.len() != vocabulary.values.len() {
                let what = format!("money: not every value of `{name}` has amounts");
                return Err(Error::usage(
                    what,
                    "its CSV file needs low,typical,high,top; its column no other values",
                ));
            }
            (Some(index), vocabulary.percentiles.clone())
        }
        (None, Some(percentiles)) => (None, vec![percentiles.clone()]),
        _ => return Err(Error::usage("money: give either by or percentiles", "")),
    };
    let minor = |text: &String| encode::rescaled(text, spec.scale);
    let mut curves = Vec::with_capacity(percentiles.len());
    for texts in &percentiles {
        let [low, typical, high, top] = texts;
        let curve = [minor(low)?, minor(typical)?, minor(high)?, minor(top)?];
        if curve[0] < 0 || curve.windows(2).any(|w| w[0] > w[1]) {
            let what = format!("money: the percentiles {texts:?} do not ascend from 0 or above");
            return Err(Error::usage(what, ""));
        }
        curves.push(curve);
    }
    let largest = spec.largest.as_ref().map(minor).transpose()?.unwrap_or(0);
    let share = if spec.largest.is_some() { spec.largest_share } else { 0.0 };
    let negative = Share::new(spec.negative_share);
    Ok(Money { by, curves, scale: spec.scale, negative, largest: (largest, Share::new(share)) })
}

fn span(min: i64, max: i64) -> Result<u64> {
    match max.checked_sub(min) {
        Some(width) if width >= 0 => Ok(width as u64),
        _ => Err(Error::usage(format!("min {min} and max {max} are no range"), "")),
    }
}

fn column(
    earlier: &[Column],
    name: &str,
    fits: impl Fn(&Column) -> bool,
    wanted: &str,
) -> Result<usize> {
    let found = earlier.iter().position(|column| column.name == name && fits(column));
    found.ok_or_else(|| {
        Error::usage(format!("`{name}` is not {wanted} that stands before"), "order the columns so")
    })
}

/// A choice column before this one, and its vocabulary.
///
/// # Errors
/// A usage error if there is none of that name.
pub fn choice_column<'a>(earlier: &'a [Column], name: &str) -> Result<(usize, &'a Vocabulary)> {
    let pick = |column: &Column| matches!(column.source, Source::Pick(_));
    let index = column(earlier, name, pick, "a choice column")?;
    match &earlier[index].source {
        Source::Pick(vocabulary) => Ok((index, vocabulary)),
        _ => unreachable!("found by being one"),
    }
}
