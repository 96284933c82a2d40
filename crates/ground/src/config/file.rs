//! The configuration file; every key is optional, an unknown key is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    Accept, DatabaseConfig, Environment, EnvironmentConfig, PreflightConfig, RolloutConfig,
    RoutingConfig, TablePair,
};
use cutover_error::{Context, Error, Result, toml_message};
use cutover_evidence::limits::OtherLimit;

/// The target and how its reads are routed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Base URL of the platform.
    pub base_url: Option<Url>,
    /// The target's database, if no option names it.
    #[serde(skip_serializing_if = "DatabaseConfig::is_empty")]
    pub database: DatabaseConfig,
    /// The table pairs.
    pub tables: Vec<TablePair>,
    /// What the catalogs tell and is meant to be so.
    #[serde(rename = "accept", skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Accept>,
    /// How reads are sent to one side.
    pub routing: RoutingConfig,
    /// Whom to trust behind https.
    pub tls: TlsConfig,
    /// Limits that are not the handbook's, each with its reason.
    pub limits: Vec<OtherLimit>,
    /// Which reads are asked of both sides after the load.
    pub parity: ParityConfig,
    /// How the share of orgs on the partitioned side is set, and what may be rehearsed here.
    pub rollout: RolloutConfig,
    /// Where the pre-rollout checklist looks.
    pub preflight: PreflightConfig,
    /// Where else the same tables are, and what may be changed there.
    #[serde(rename = "env", skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, EnvironmentConfig>,
    /// The environment that was chosen.
    #[serde(skip)]
    pub environment: Environment,
}

/// Which reads are asked of both sides after the load, to see whether they answer alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParityConfig {
    /// Their share of the reads of the load, 0 to 1; at least 200 and at most 5000 are asked.
    pub share: f64,
    /// JSON pointers to fields of answers that may differ; `*` is each element.
    pub mask: Vec<String>,
}

impl Default for ParityConfig {
    fn default() -> Self {
        Self { share: 0.01, mask: Vec::new() }
    }
}

/// Whom to trust behind https.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// A PEM file with certificates of authorities to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: None,
            database: DatabaseConfig::default(),
            tables: TablePair::reference(),
            routing: RoutingConfig::default(),
            tls: TlsConfig::default(),
            limits: Vec::new(),
            accepted: Vec::new(),
            parity: ParityConfig::default(),
            rollout: RolloutConfig::default(),
            preflight: PreflightConfig::default(),
            environments: BTreeMap::new(),
            environment: Environment::default(),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A usage error with the line if the file cannot be read, does not parse, has an unknown
    /// key or a value outside its range.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("config {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        Self::parse(&place, &text)
    }

    /// Checks a configuration's text; `place` names it in messages.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(place: &str, text: &str) -> Result<Self> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| toml_message(&error, text)).or_usage(place, "")?;
        config.check().map_err(|error| error.at(place))?;
        for pair in &mut config.tables {
            pair.accepted =
                config.accepted.iter().filter_map(|accept| accept.of_pair(&pair.name)).collect();
        }
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        if self.tables.is_empty() {
            return Err(Error::usage("[[tables]]: needs at least one table pair", ""));
        }
        for (index, pair) in self.tables.iter().enumerate() {
            pair.check()?;
            if self.tables[..index].iter().any(|earlier| earlier.name == pair.name) {
                let what = format!("[[tables]]: the name `{}` stands twice", pair.name);
                return Err(Error::usage(what, "names tell pairs apart in reports"));
            }
        }
        self.accepted.iter().try_for_each(|accept| accept.check(&self.tables))?;
        for (index, limit) in self.limits.iter().enumerate() {
            check_limit(limit)?;
            if self.limits[..index].iter().any(|earlier| earlier.criterion == limit.criterion) {
                let what = format!("[[limits]]: `{}` stands twice", limit.criterion);
                return Err(Error::usage(what, "which of them is meant? leave out the other"));
            }
        }
        if !(0.0..=1.0).contains(&self.parity.share) {
            let what = format!("[parity] share = {} is out of range", self.parity.share);
            return Err(Error::usage(what, "allowed: 0 to 1, a share of the reads"));
        }
        if let Some(mask) = self.parity.mask.iter().find(|mask| !mask.starts_with('/')) {
            let what = format!("[parity] mask: `{mask}` is no JSON pointer");
            return Err(Error::usage(what, "it begins with /, as in /items/*/updatedAt"));
        }
        self.preflight.check()?;
        self.rollout.check()?;
        self.check_environments()?;
        self.routing.check("[routing]")
    }
}

fn check_limit(other: &OtherLimit) -> Result<()> {
    let place = format!("[[limits]] criterion = \"{}\"", other.criterion);
    let limit = other.criterion.limit();
    let (least, most) = limit.range;
    if !(least..=most).contains(&other.limit) {
        let what = format!("{place}: limit = {} is out of range", other.limit);
        return Err(Error::usage(what, format!("allowed: {least} to {most}, {}", limit.unit)));
    }
    if other.reason.trim().is_empty() {
        let what = format!("{place}: reason is empty");
        return Err(Error::usage(what, "say why the handbook's limit does not hold here"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cutover_error::toml_message;

    #[test]
    fn a_parser_s_message_is_told_in_words_and_without_values() {
        let refusal = |text: &str| {
            let error = toml::from_str::<super::Config>(text).expect_err("it is wrong");
            toml_message(&error, text)
        };
        let cases = [
            ("[parity]\nshare = \"hunter2\"", "line 2, column 9", "expected a number"),
            ("[parity]\nmask = 3", "line 2, column 8", "expected a list"),
            ("[preflight]\ntest_org = true", "line 2, column 12", "expected a whole number"),
            ("[preflight]\nbackup_archiver = 1", "line 2, column 19", "expected true or false"),
            ("[rollout]\nenvironment = 7", "line 2, column 15", "expected text in quotes"),
            ("routing = 4", "line 1, column 11", "expected a table"),
        ];
        for (text, place, words) in cases {
            let refusal = refusal(text);
            assert!(refusal.contains(place) && refusal.contains(words), "{refusal}");
            assert!(!refusal.contains("hunter2") && !refusal.contains("struct"), "{refusal}");
        }
    }

    #[test]
    fn groups_stand_in_place_of_an_org() {
        let pair = "[[tables]]\nname = \"logs\"\nlegacy = \"a\"\npartitioned = \"b\"\n";
        let parse = |more: &str| super::Config::parse("cutover.toml", &format!("{pair}{more}"));
        let tables = parse("groups = 64\nignore = [\"org_id\"]").expect("it is right").tables;
        assert_eq!((tables[0].groups, tables[0].org_column()), (Some(64), None));
        assert!(tables[0].needs_org("the drill").is_err());
        for (more, words) in [
            ("groups = 0", "groups: 0 is not between 1 and"),
            ("groups = 1000001", "not between"),
            ("groups = -1", "groups"),
            ("groups = 8\norg = \"tenant\"", "in place of org"),
            ("groups = 8\nignore = [\"id\"]", "part of the key"),
        ] {
            let error = parse(more).expect_err("it is wrong").to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_is_accepted_names_a_class_a_pair_and_a_reason() {
        let pair = "[[tables]]\nname = \"bills\"\nlegacy = \"a\"\npartitioned = \"b\"\n";
        let parse = |accept: &str| super::Config::parse("cutover.toml", &format!("{pair}{accept}"));
        let good = "[[accept]]\nclass = \"column_type\"\ncolumn = \"id\"\nreason = \"wider\"";
        let config = parse(good).expect("it is right");
        assert_eq!(config.tables[0].accepted[0].table.as_deref(), Some("bills"));
        assert_eq!(config.accepted.len(), 1);
        for (accept, words) in [
            ("[[accept]]\nclass = \"column_typ\"\nreason = \"r\"", "column_type"),
            ("[[accept]]\nclass = \"column_type\"\nreason = \" \"", "reason is empty"),
            ("[[accept]]\nclass = \"column_type\"", "reason"),
            ("[[accept]]\nclass = \"column_type\"\ntable = \"x\"\nreason = \"r\"", "no pair `x`"),
            ("[[accept]]\nclass = \"missing\"\nreason = \"r\"", "missing"),
        ] {
            let error = parse(accept).expect_err("it is wrong").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
