//! A profile made ready: everything checked that can be checked without a database, every lookup
//! done that need not be done per row.

use rand_chacha::ChaCha8Rng;

use super::calendar::Calendar;
use super::columns::{self, Column, Surroundings};
use super::profile::{Profile, TableSpec};
use super::random::{self, Weighted};
use super::sizes::Sizes;
use super::sources::Source;
use super::{Options, Replicate};
use cutover_error::{Error, Result};
use cutover_ground::pg::QualifiedName;

/// What a run generates; a pure function of profile, `rng_seed`, `as_of` and mean size.
pub struct Plan {
    /// The tables in the profile's order.
    pub tables: Vec<Table>,
    /// How large each org is.
    pub sizes: Sizes,
    /// Which days there are.
    pub calendar: Calendar,
    /// Key of every org's stream.
    pub key: ChaCha8Rng,
    /// Draws the table of one transaction: an index into `shared`.
    pub split: Weighted,
    /// The tables that hold transactions.
    pub shared: Vec<usize>,
    /// Properties of a small org: 1 to this.
    pub properties: u32,
    /// One more property for so many transactions.
    pub transactions_per_property: u32,
}

/// One table, or one pair.
pub struct Table {
    /// Name in reports.
    pub name: String,
    /// The legacy table.
    pub legacy: QualifiedName,
    /// Its twin.
    pub partitioned: Option<QualifiedName>,
    /// Holds transactions; otherwise one row per org.
    pub transactions: bool,
    /// The columns in the order in which they are filled and sent.
    pub columns: Vec<Column>,
    /// The column whose sum the manifest states.
    pub amount: Option<usize>,
    /// The column whose dates are drawn by season, sorted within an org.
    pub date: Option<usize>,
    /// Each row of a property has a date of its own.
    pub daily: bool,
}

impl Table {
    /// The table's sides: the legacy table and, for a pair, its twin.
    pub fn sides(&self) -> impl Iterator<Item = &QualifiedName> {
        std::iter::once(&self.legacy).chain(&self.partitioned)
    }

    /// What a side calls a column.
    pub fn name_on<'a>(&self, side: &QualifiedName, column: &'a Column) -> &'a str {
        let twin = self.partitioned.as_ref() == Some(side);
        if twin { &column.partitioned } else { &column.name }
    }

    /// The column that holds the org, if there is one.
    pub fn org_column(&self, side: &QualifiedName) -> Option<&str> {
        let column = self.columns.iter().find(|column| matches!(column.source, Source::Org));
        column.map(|column| self.name_on(side, column))
    }
}

impl Plan {
    /// Checks a profile and makes it ready.
    ///
    /// # Errors
    /// A usage error that names table, column and key.
    pub fn new(profile: &Profile, options: &Options) -> Result<Self> {
        let key = random::key(options.rng_seed, Some(options.as_of));
        let sizes = Sizes::new(
            &profile.orgs.size_quantiles,
            options.transactions_per_org,
            &random::key(options.rng_seed, None),
        )?;
        let calendar = Calendar::new(&profile.calendar, options.as_of)?;
        let mut tables: Vec<Table> = Vec::with_capacity(profile.tables.len());
        for spec in &profile.tables {
            let around =
                Surroundings { profile, options, sizes: &sizes, tables: &tables, earlier: &[] };
            tables.push(build_table(spec, &around)?);
        }
        check_names(&tables)?;
        let shared: Vec<usize> = (0..tables.len()).filter(|&i| tables[i].transactions).collect();
        let shares = shared.iter().map(|&i| profile.tables[i].share.unwrap_or(0.0));
        let weights: Vec<u64> = shares.map(|share| (share * 1e6) as u64).collect();
        if weights.iter().sum::<u64>() == 0 {
            return Err(Error::usage(
                "seed profile: no table has a share above 0",
                "give the tables that hold transactions a share, for example share = 0.5",
            ));
        }
        let (properties, per) = (profile.orgs.properties, profile.orgs.transactions_per_property);
        if !(1..=10_000).contains(&properties) || per == 0 {
            return Err(Error::usage(
                "[orgs]: properties or transactions_per_property out of range",
                "allowed: properties 1 to 10000, transactions_per_property from 1",
            ));
        }
        Ok(Self {
            tables,
            sizes,
            calendar,
            key,
            split: Weighted::new(&weights),
            shared,
            properties,
            transactions_per_property: per,
        })
    }

    /// Rows that are sent for a range of orgs.
    pub fn expected_rows(&self, orgs: std::ops::Range<u64>, replicate: Replicate) -> u64 {
        let single = self.tables.len() - self.shared.len();
        let sides = if replicate == Replicate::Copy { 2 } else { 1 };
        (orgs.end - orgs.start) * single as u64 + sides * self.sizes.total(orgs)
    }
}

fn build_table(spec: &TableSpec, around: &Surroundings<'_>) -> Result<Table> {
    let refuse = |what: String| Err(Error::usage(format!("table `{}`: {what}", spec.name), ""));
    if spec.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return refuse("share is out of range, allowed: 0 to 1".into());
    }
    if spec.share.is_some() != spec.partitioned.is_some() {
        return refuse("share and partitioned belong together: a pair holds transactions".into());
    }
    let mut columns: Vec<Column> = Vec::with_capacity(spec.columns.len());
    for column in &spec.columns {
        if columns.iter().any(|earlier| earlier.name == column.name) {
            return refuse(format!("the column `{}` stands twice", column.name));
        }
        let built = columns::build(column, &Surroundings { earlier: &columns, ..*around });
        let place = format_args!("column `{}.{}`", spec.name, column.name);
        columns.push(built.map_err(|error| error.at(place))?);
    }
    let amount = match &spec.amount {
        None => None,
        Some(name) => match columns.iter().position(|column| column.name == *name) {
            Some(index) if columns[index].amount_scale().is_some() => Some(index),
            Some(_) => return refuse(format!("amount = \"{name}\" is not a number")),
            None => return refuse(format!("amount = \"{name}\" is not one of its columns")),
        },
    };
    let dates: Vec<usize> = (0..columns.len()).filter(|&i| columns[i].is_date()).collect();
    let daily = columns.iter().any(Column::is_daily);
    if daily && dates.len() > 1 {
        return refuse("daily_date does not go with another date column".into());
    }
    let (legacy, partitioned) = spec.sides()?;
    Ok(Table {
        name: spec.name.clone(),
        legacy,
        partitioned,
        transactions: spec.share.is_some(),
        columns,
        amount,
        date: dates.first().copied(),
        daily,
    })
}

fn check_names(tables: &[Table]) -> Result<()> {
    let mut names: Vec<&QualifiedName> = tables.iter().flat_map(Table::sides).collect();
    names.sort_by_key(|name| (&name.schema, &name.name));
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::usage(format!("seed profile: {} stands twice", pair[0]), "")),
        None => Ok(()),
    }
}
