//! The configuration file; every key is optional, an unknown key is an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::TablePair;
use crate::error::{Context, Error, Result};
use crate::evidence::limits::{LIMITS, OtherLimit};

/// The target and how its reads are routed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Base URL of the platform.
    pub base_url: Option<Url>,
    /// The table pairs.
    pub tables: Vec<TablePair>,
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
}

/// Where the pre-rollout checklist looks, and what it may touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreflightConfig {
    /// The org that a row is written to and removed from.
    pub test_org: i64,
    /// A backup, or the folder of them; the newest file counts.
    pub backup_file: Option<PathBuf>,
    /// Whether the server's own archiver says when it was.
    pub backup_archiver: bool,
    /// How old it may be, hours.
    pub backup_max_age_h: f64,
    /// PgBouncer, where it is used.
    pub pgbouncer_url: Option<String>,
    /// The server's log, where it can be read from here.
    pub log_file: Option<PathBuf>,
}

impl Default for PreflightConfig {
    fn default() -> Self {
        Self {
            test_org: 1,
            backup_file: None,
            backup_archiver: false,
            backup_max_age_h: 24.0,
            pgbouncer_url: None,
            log_file: None,
        }
    }
}

/// How the share of orgs on the partitioned side is set, and what may be rehearsed here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutConfig {
    /// What this platform is called; a drill says where it was rehearsed.
    pub environment: String,
    /// Drills that may be rehearsed here although it is no rig, by name.
    pub drills: Vec<String>,
    /// The request that sets the percentage; `{{percent}}` stands for it in the body. By default
    /// `PUT /admin/flags` of the reference platform.
    pub percentage: Option<FlagRequest>,
    /// Program and arguments that set it instead; `{{percent}}` stands for it.
    pub percentage_command: Vec<String>,
    /// The request that takes orgs off the partitioned side; `{{orgs}}` stands for the list in the
    /// body, empty to let them back.
    pub disable: Option<FlagRequest>,
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

/// How reads are sent to one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// The means.
    pub kind: RoutingKind,
    /// For `header`: the request header that carries `legacy` or `partitioned`.
    pub header: String,
    /// The answer's header that says which side served it; empty where the platform has none.
    pub served_by_header: String,
    /// For `urls`: base URL that serves from legacy.
    pub legacy_url: Option<Url>,
    /// For `urls`: base URL that serves from the twin.
    pub partitioned_url: Option<Url>,
    /// For `http`: the request that sends reads to legacy.
    pub legacy: Option<FlagRequest>,
    /// For `http`: the request that sends reads to the twin.
    pub partitioned: Option<FlagRequest>,
    /// For `http`: the request that puts the flag back at the end; where absent, the one of the mode
    /// that was found at the start.
    pub restore: Option<FlagRequest>,
    /// For `command`: program and arguments that send reads to legacy; no shell is used.
    pub legacy_command: Vec<String>,
    /// For `command`: program and arguments that send reads to the twin.
    pub partitioned_command: Vec<String>,
    /// For `command`: what puts the flag back at the end; empty as with `restore`.
    pub restore_command: Vec<String>,
    /// For `http` and `command`: how to see which side reads go to.
    pub probe: Option<Probe>,
    /// For `http` and `command`: how long after a switch nothing is measured, seconds; the
    /// handbook's ten minutes unless told otherwise.
    pub settle_s: f64,
}

/// A request that changes a flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagRequest {
    /// HTTP method.
    #[serde(default = "put")]
    pub method: String,
    /// Where to.
    pub url: Url,
    /// What is sent, as JSON.
    #[serde(default)]
    pub body: String,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

fn put() -> String {
    "PUT".into()
}

/// How to see which side reads go to: a header or a field of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// What to ask, with GET.
    pub url: Url,
    /// The answer's header that tells.
    #[serde(default)]
    pub header: Option<String>,
    /// The JSON pointer into the answer that tells.
    #[serde(default)]
    pub pointer: Option<String>,
    /// What stands there while reads go to legacy.
    #[serde(default = "legacy")]
    pub legacy: String,
    /// What stands there while reads go to the twin.
    #[serde(default = "partitioned")]
    pub partitioned: String,
    /// Further headers of the question.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

fn legacy() -> String {
    "legacy".into()
}

fn partitioned() -> String {
    "partitioned".into()
}

/// The means by which reads are sent to one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoutingKind {
    /// A header on every request.
    Header,
    /// One base URL per side.
    Urls,
    /// A flag of the platform, switched by an HTTP request at the start of a window.
    Http,
    /// A flag of the platform, switched by a command at the start of a window.
    Command,
    /// Reads cannot be routed; only one mode can be driven.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: None,
            tables: TablePair::reference(),
            routing: RoutingConfig::default(),
            tls: TlsConfig::default(),
            limits: Vec::new(),
            parity: ParityConfig::default(),
            rollout: RolloutConfig::default(),
            preflight: PreflightConfig::default(),
        }
    }
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            kind: RoutingKind::Header,
            header: "X-Cutover-Mode".into(),
            served_by_header: "X-Routed-To".into(),
            legacy_url: None,
            partitioned_url: None,
            legacy: None,
            partitioned: None,
            restore: None,
            legacy_command: Vec::new(),
            partitioned_command: Vec::new(),
            restore_command: Vec::new(),
            probe: None,
            settle_s: 600.0,
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// A usage error with the line where the file cannot be read, does not parse, has an unknown
    /// key or a value outside its range.
    pub fn read(path: &Path) -> Result<Self> {
        let place = format!("config {}", path.display());
        let text = std::fs::read_to_string(path)
            .or_usage(&place, "give the path of a readable TOML file")?;
        let config: Self = toml::from_str(&text).or_usage(&place, "")?;
        config.check().map_err(|error| match error {
            Error::Usage { what, hint } => Error::usage(format!("{place}: {what}"), hint),
            other => other,
        })?;
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
        self.limits.iter().try_for_each(check_limit)?;
        if !(0.0..=1.0).contains(&self.parity.share) {
            let what = format!("[parity] share = {} is out of range", self.parity.share);
            return Err(Error::usage(what, "allowed: 0 to 1, a share of the reads"));
        }
        if let Some(mask) = self.parity.mask.iter().find(|mask| !mask.starts_with('/')) {
            let what = format!("[parity] mask: `{mask}` is no JSON pointer");
            return Err(Error::usage(what, "it begins with /, as in /items/*/updatedAt"));
        }
        self.routing.check()
    }
}

fn check_limit(other: &OtherLimit) -> Result<()> {
    let place = format!("[[limits]] criterion = \"{}\"", other.criterion);
    let Some(limit) = LIMITS.iter().find(|limit| limit.name == other.criterion) else {
        let names = LIMITS.map(|limit| limit.name).join(", ");
        return Err(Error::usage(
            format!("{place}: there is no such limit to change"),
            format!("limits that can be changed: {names}"),
        ));
    };
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

impl RoutingConfig {
    /// Whether reads are switched for everybody at once, so that windows need time to settle.
    pub fn switches_a_flag(&self) -> bool {
        matches!(self.kind, RoutingKind::Http | RoutingKind::Command)
    }

    /// How long after a switch nothing is measured.
    pub fn settle(&self) -> Duration {
        Duration::from_secs_f64(self.settle_s)
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(Error::usage(format!("[routing] {what}"), hint));
        match self.kind {
            RoutingKind::Header if self.header.is_empty() => {
                return refuse("header: must not be empty", "");
            }
            RoutingKind::Urls if self.legacy_url.is_none() || self.partitioned_url.is_none() => {
                return refuse("kind = \"urls\" needs legacy_url and partitioned_url", "");
            }
            RoutingKind::Urls if self.legacy_url == self.partitioned_url => {
                let hint = "one side would be compared with itself";
                return refuse("legacy_url and partitioned_url are the same", hint);
            }
            RoutingKind::Http if self.legacy.is_none() || self.partitioned.is_none() => {
                return refuse("kind = \"http\" needs legacy and partitioned", FLAG_HINT);
            }
            RoutingKind::Command
                if self.legacy_command.is_empty() || self.partitioned_command.is_empty() =>
            {
                let what = "kind = \"command\" needs legacy_command and partitioned_command";
                return refuse(what, "each a list: [\"program\", \"argument\"]");
            }
            _ => {}
        }
        if !self.switches_a_flag() {
            return Ok(());
        }
        if !(0.0..=86_400.0).contains(&self.settle_s) {
            return refuse("settle_s: goes from 0 to 86400 seconds", "");
        }
        let hint = "a switch that nobody has seen proves nothing";
        match &self.probe {
            None => refuse("a switched flag needs a probe = { url, header or pointer }", hint),
            Some(probe) if probe.header.is_some() == probe.pointer.is_some() => {
                refuse("probe: give header or pointer, one of them", "")
            }
            Some(probe) if probe.legacy == probe.partitioned => {
                refuse("probe: legacy and partitioned are the same", hint)
            }
            Some(_) => Ok(()),
        }
    }
}

const FLAG_HINT: &str = "for example legacy = { method = \"PUT\", url = \"…\", body = '{…}' }";
