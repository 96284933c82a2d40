//! One column made ready: its generator resolved, its fixed values already in wire format.

use super::Options;
use super::encode;
use super::profile::{ColumnSpec, ColumnType, Generator, MoneySpec, Profile};
use super::random::Share;
use super::sizes::Sizes;
use super::vocabulary::{Mix, Vocabulary};
use crate::error::{Error, Result};

/// One column.
pub struct Column {
    /// Name in the legacy table.
    pub name: String,
    /// Name in the twin.
    pub partitioned: String,
    /// Type in the database.
    pub kind: ColumnType,
    /// What makes its values.
    pub source: Source,
    /// Share of NULLs of sources that do not mix them in themselves.
    pub null_share: Share,
    /// NULL unless that column drew one of the marked values.
    pub only_if: Option<(usize, Vec<bool>)>,
    /// Whether NULL may come up at all.
    pub nullable: bool,
    /// Wire images of the vocabulary's values, in its order.
    pub images: Vec<Box<[u8]>>,
}

/// A generator with everything looked up.
pub enum Source {
    Org,
    OrgSize,
    Property,
    Sequence { stride: i64 },
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

impl Column {
    /// Whether its dates are drawn by season.
    pub fn is_date(&self) -> bool {
        matches!(self.source, Source::Date | Source::DailyDate)
    }

    /// Whether each row of a property has a date of its own.
    pub fn is_daily(&self) -> bool {
        matches!(self.source, Source::DailyDate)
    }

    /// Digits behind the point of its values as the database holds them; `None` for no number.
    pub fn amount_scale(&self) -> Option<u32> {
        let whole =
            matches!(self.kind, ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint);
        match &self.source {
            _ if !whole && self.kind != ColumnType::Numeric => None,
            Source::Money(Money { scale, .. }) | Source::Decimal { scale, .. } => {
                Some(if whole { 0 } else { *scale })
            }
            Source::Int { .. } => Some(0),
            _ => None,
        }
    }

    /// The smallest and largest whole number it sends; `None` where it sends none.
    fn range(&self, options: &Options, sizes: &Sizes) -> Option<(i64, i64)> {
        let last_org = i64::try_from(options.last_org()).unwrap_or(i64::MAX);
        let span = |min: i64, span: u64| (min, min.saturating_add_unsigned(span));
        match &self.source {
            Source::Org => Some((1, last_org)),
            Source::Sequence { stride } => Some((0, (last_org + 1).saturating_mul(*stride))),
            Source::OrgSize | Source::Property => Some((1, sizes.bound() as i64)),
            Source::Int { min, span: width } | Source::Decimal { min, span: width, .. } => {
                Some(span(*min, *width))
            }
            Source::Money(money) => {
                let tops = money.curves.iter().map(|curve| curve[3]);
                let top = tops.chain([money.largest.0]).max().unwrap_or(0);
                Some((-top, top))
            }
            _ => None,
        }
    }
}

/// Makes a column ready; `earlier` are those before it.
///
/// # Errors
/// A usage error that says what is wrong; the caller adds table and column.
pub fn build(
    profile: &Profile,
    spec: &ColumnSpec,
    earlier: &[Column],
    options: &Options,
    sizes: &Sizes,
) -> Result<Column> {
    let mut mixes_null = false;
    let source = source(profile, spec, earlier, options, sizes, &mut mixes_null)?;
    let kind = spec.kind.unwrap_or(own_type(&source));
    let images = match &source {
        Source::Pick(vocabulary) => vocabulary
            .values
            .iter()
            .map(|value| encode::image(value.as_deref(), kind))
            .collect::<Result<_>>()?,
        _ => Vec::new(),
    };
    let only_if = spec.only_if.as_ref().map(|condition| {
        let (index, vocabulary) = choice_column(earlier, &condition.column)?;
        let allowed =
            |value: &Option<String>| value.as_ref().is_some_and(|v| condition.is.contains(v));
        let marks: Vec<bool> = vocabulary.values.iter().map(allowed).collect();
        if marks.contains(&true) {
            Ok((index, marks))
        } else {
            let what = format!("only_if: `{}` never holds {:?}", condition.column, condition.is);
            Err(Error::usage(what, ""))
        }
    });
    if !(0.0..=1.0).contains(&spec.null_share) {
        return Err(Error::usage("null_share is out of range", "allowed: 0 to 1"));
    }
    let column = Column {
        name: spec.name.clone(),
        partitioned: spec.partitioned.clone().unwrap_or_else(|| spec.name.clone()),
        kind,
        source,
        null_share: Share::new(if mixes_null { 0.0 } else { spec.null_share }),
        only_if: only_if.transpose()?,
        nullable: spec.null_share > 0.0 || spec.only_if.is_some(),
        images,
    };
    encode::check(&column.source, kind, column.range(options, sizes))?;
    Ok(column)
}

fn source(
    profile: &Profile,
    spec: &ColumnSpec,
    earlier: &[Column],
    options: &Options,
    sizes: &Sizes,
    mixes_null: &mut bool,
) -> Result<Source> {
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

/// The type a generator's values have by themselves.
fn own_type(source: &Source) -> ColumnType {
    match source {
        Source::Org | Source::OrgSize | Source::Property | Source::Sequence { .. } => {
            ColumnType::Bigint
        }
        Source::Int { .. } => ColumnType::Bigint,
        Source::Decimal { .. } | Source::Money(_) => ColumnType::Numeric,
        Source::Date | Source::DailyDate => ColumnType::Date,
        Source::Moment { .. } | Source::Later { .. } => ColumnType::Timestamptz,
        Source::Label { .. } | Source::Pick(_) => ColumnType::Text,
    }
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

fn choice_column<'a>(earlier: &'a [Column], name: &str) -> Result<(usize, &'a Vocabulary)> {
    let pick = |column: &Column| matches!(column.source, Source::Pick(_));
    let index = column(earlier, name, pick, "a choice column")?;
    match &earlier[index].source {
        Source::Pick(vocabulary) => Ok((index, vocabulary)),
        _ => unreachable!("found by being one"),
    }
}
