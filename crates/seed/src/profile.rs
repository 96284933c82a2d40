//! The seed profile: which tables there are, and how each column is filled.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::specs::{ColumnSpec, Generator};
use super::vocabulary;
use cutover_error::{Context, Error, Result, toml_message};
use cutover_ground::config::TablePair;
use cutover_ground::pg::QualifiedName;
use cutover_ground::run_folder::hex;

/// A description of the data as its owner writes it (TOML); see `fixtures/finance.seed.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What messages call it.
    pub name: String,
    /// How dates are spread.
    #[serde(default)]
    pub calendar: CalendarSpec,
    /// How large orgs are.
    #[serde(default)]
    pub orgs: OrgSpec,
    /// The tables. Those with a `share` hold transactions, the others one row per org.
    pub tables: Vec<TableSpec>,
    /// Where CSV files are looked for: the profile's own folder.
    #[serde(skip)]
    folder: PathBuf,
    /// SHA-256 of the profile's text.
    #[serde(skip)]
    text_sha256: String,
}

/// How dates are spread over the time before `as_of`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalendarSpec {
    /// Months of history that end on the day before `as_of`, 1 to 240.
    pub months: u32,
    /// Weight of each month, January first.
    pub seasons: [u32; 12],
    /// Weight of each day of the week, Monday first.
    pub weekdays: [u32; 7],
    /// How much likelier the first and last day of a month and the leap day are.
    pub edge_weight: u32,
}

/// How large orgs are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrgSpec {
    /// Points of the quantile function of sizes, `[share of orgs, size]`, both ascending; only the
    /// shape counts, the mean is scaled to the transactions per org that are asked for.
    pub size_quantiles: Vec<[f64; 2]>,
    /// Properties of an org with few transactions: 1 to this.
    pub properties: u32,
    /// One more property for so many transactions.
    pub transactions_per_property: u32,
}

/// One table, or one pair of tables.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    /// What reports call it; the name of the pair in `cutover.toml`.
    pub name: String,
    /// The table, `schema.table`.
    pub legacy: String,
    /// Its partitioned twin, `schema.table`.
    pub partitioned: Option<String>,
    /// Share of an org's transactions; without it the table holds one row per org.
    pub share: Option<f64>,
    /// The column whose sum the manifest states.
    pub amount: Option<String>,
    /// The columns; one may refer to those before it.
    pub columns: Vec<ColumnSpec>,
}

impl TableSpec {
    /// The table and its twin.
    ///
    /// # Errors
    /// A usage error if a name is none.
    pub(super) fn sides(&self) -> Result<(QualifiedName, Option<QualifiedName>)> {
        let twin = self.partitioned.as_deref().map(QualifiedName::parse).transpose()?;
        Ok((QualifiedName::parse(&self.legacy)?, twin))
    }
}

impl Default for CalendarSpec {
    fn default() -> Self {
        Self { months: 24, seasons: [1; 12], weekdays: [1; 7], edge_weight: 1 }
    }
}

impl Default for OrgSpec {
    fn default() -> Self {
        Self {
            size_quantiles: vec![[0.0, 0.0], [0.5, 0.15], [0.9, 2.0], [0.99, 15.0], [1.0, 100.0]],
            properties: 3,
            transactions_per_property: 1000,
        }
    }
}

impl Profile {
    /// The profile of the reference schema.
    pub fn reference() -> Self {
        let text = include_str!("../../../fixtures/finance.seed.toml");
        Self::parse(text, Path::new(".")).expect("a test holds that the fixture parses")
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// A usage error with file and line if it cannot be read, does not parse or has an unknown
    /// key.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("seed profile {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::parse_beside(&place, &text, folder)
    }

    /// Checks a profile's text; `place` names it in messages.
    ///
    /// # Errors
    /// As [`Profile::read`].
    pub fn parse_text(place: &str, text: &str) -> Result<Self> {
        Self::parse_beside(place, text, Path::new("."))
    }

    fn parse_beside(place: &str, text: &str, folder: &Path) -> Result<Self> {
        Self::parse(text, folder).map_err(|error| error.at(place))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut profile: Self =
            toml::from_str(text).map_err(|error| Error::usage(toml_message(&error, text), ""))?;
        profile.folder = folder.to_owned();
        profile.text_sha256 = format!("{:x?}", Sha256::digest(text.as_bytes()).to_vec());
        Ok(profile)
    }

    /// The same for these pairs alone, by the names they have there; tables that are no pair stay.
    ///
    /// # Errors
    /// A usage error that names a pair which this profile does not fill.
    pub fn only(mut self, pairs: &[TablePair]) -> Result<Self> {
        let sides: Vec<_> = self.tables.iter().map(TableSpec::sides).collect::<Result<_>>()?;
        let mut names: Vec<Option<&str>> = vec![None; sides.len()];
        for pair in pairs {
            let (legacy, twin) = (pair.legacy_name()?, pair.partitioned_name()?);
            let wanted = (legacy, Some(twin));
            let Some(index) = sides.iter().position(|sides| *sides == wanted) else {
                let what = format!(
                    "[[tables]] `{}`: the seed profile `{}` has no pair {} and {}",
                    pair.name, self.name, pair.legacy, pair.partitioned
                );
                let hint = "fill it with `cutover seed --profile-file`, rehearse with --skip-seed";
                return Err(Error::usage(what, hint));
            };
            names[index] = Some(&pair.name);
        }
        let mut names = names.into_iter();
        self.tables.retain_mut(|table| match names.next().flatten() {
            Some(name) => {
                name.clone_into(&mut table.name);
                true
            }
            None => table.partitioned.is_none(),
        });
        Ok(self)
    }

    /// Where CSV files are looked for.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What tells this profile, with its vocabularies, from every other: 16 hexadecimal digits.
    ///
    /// # Errors
    /// A usage error if a vocabulary cannot be read.
    pub(super) fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(&self.text_sha256);
        for table in &self.tables {
            hash.update(&table.name);
        }
        for column in self.tables.iter().flat_map(|table| &table.columns) {
            if let Generator::Choice(choice) = &column.generator {
                hash.update(vocabulary::text(&choice.from, &self.folder)?.as_bytes());
            }
        }
        Ok(hex(&hash.finalize()[..8]))
    }
}
