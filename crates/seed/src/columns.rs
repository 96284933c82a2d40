//! One column made ready: its generator resolved, its fixed values already in wire format.

use super::Options;
use super::encode;
use super::plan::Table;
use super::profile::Profile;
use super::random::Share;
use super::sizes::Sizes;
use super::sources::{self, Source};
use super::specs::{ColumnSpec, ColumnType};
use cutover_error::{Error, Result};

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
            Source::Money(sources::Money { scale, .. }) | Source::Decimal { scale, .. } => {
                Some(if whole { 0 } else { *scale })
            }
            Source::Int { .. } => Some(0),
            _ => None,
        }
    }

    /// The smallest and largest whole number it sends; `None` if it sends none.
    fn range(&self, options: &Options, sizes: &Sizes) -> Option<(i64, i64)> {
        let last_org = i64::try_from(options.last_org()).unwrap_or(i64::MAX);
        let span = |min: i64, span: u64| (min, min.saturating_add_unsigned(span));
        match &self.source {
            Source::Org => Some((1, last_org)),
            Source::Sequence { stride } | Source::ForeignKey { stride, .. } => {
                Some((0, (last_org + 1).saturating_mul(*stride)))
            }
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

/// What a column may refer to while it is made ready.
pub struct Surroundings<'a> {
    /// The profile it stands in.
    pub profile: &'a Profile,
    /// The run's options.
    pub options: &'a Options,
    /// How large orgs are.
    pub sizes: &'a Sizes,
    /// The tables before its own.
    pub tables: &'a [Table],
    /// The columns before it.
    pub earlier: &'a [Column],
}

/// Makes a column ready.
///
/// # Errors
/// A usage error that says what is wrong; the caller adds table and column.
pub fn build(spec: &ColumnSpec, around: &Surroundings<'_>) -> Result<Column> {
    let Surroundings { options, sizes, earlier, .. } = *around;
    let mut mixes_null = false;
    let source = sources::build(spec, around, &mut mixes_null)?;
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
        let (index, vocabulary) = sources::choice_column(earlier, &condition.column)?;
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
    let orphan =
        matches!(&source, Source::ForeignKey { table, .. } if around.tables[*table].transactions);
    let nullable = spec.null_share > 0.0 || spec.only_if.is_some() || orphan;
    let column = Column {
        name: spec.name.clone(),
        partitioned: spec.partitioned.clone().unwrap_or_else(|| spec.name.clone()),
        kind,
        source,
        null_share: Share::new(if mixes_null { 0.0 } else { spec.null_share }),
        only_if: only_if.transpose()?,
        nullable,
        images,
    };
    encode::check(&column.source, kind, column.range(options, sizes))?;
    Ok(column)
}

/// The type a generator's values have by themselves.
fn own_type(source: &Source) -> ColumnType {
    match source {
        Source::Org | Source::OrgSize | Source::Property => ColumnType::Bigint,
        Source::Sequence { .. } | Source::ForeignKey { .. } | Source::Int { .. } => {
            ColumnType::Bigint
        }
        Source::Decimal { .. } | Source::Money(_) => ColumnType::Numeric,
        Source::Date | Source::DailyDate => ColumnType::Date,
        Source::Moment { .. } | Source::Later { .. } => ColumnType::Timestamptz,
        Source::Label { .. } | Source::Pick(_) => ColumnType::Text,
    }
}
