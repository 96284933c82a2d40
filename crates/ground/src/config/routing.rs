//! How reads are sent to one side: by each request, or by a flag of the platform.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use cutover_error::{Error, Result};

/// How reads are sent to one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingConfig {
    /// The means.
    pub kind: RoutingKind,
    /// For `header`: the request header that carries `legacy` or `partitioned`.
    pub header: String,
    /// The answer's header that says which side served it; empty if the platform has none.
    pub served_by_header: String,
    /// What stands in that header for each side.
    #[serde(skip_serializing_if = "SideWords::are_usual")]
    pub served_by: SideWords,
    /// For `urls`: base URL that serves from legacy.
    pub legacy_url: Option<Url>,
    /// For `urls`: base URL that serves from the twin.
    pub partitioned_url: Option<Url>,
    /// For `http`: the request that sends reads to legacy.
    pub legacy: Option<FlagRequest>,
    /// For `http`: the request that sends reads to the twin.
    pub partitioned: Option<FlagRequest>,
    /// For `http`: the request that puts the flag back at the end; if absent, the one of the mode
    /// that was found at the start.
    pub restore: Option<FlagRequest>,
    /// For `command`: program and arguments that send reads to legacy; no shell is used.
    pub legacy_command: Vec<String>,
    /// For `command`: program and arguments that send reads to the twin.
    pub partitioned_command: Vec<String>,
    /// For `command`: what puts the flag back at the end; empty as with `restore`.
    pub restore_command: Vec<String>,
    /// For `rule_file`: the JSON file of rules that the platform reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_file: Option<PathBuf>,
    /// For `rule_file`: the JSON pointer to what decides, for example
    /// `/flags/use-partitioned-tables/fallthrough`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule_pointer: String,
    /// For `rule_file`: what stands there while reads go to legacy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy_rule: Option<serde_json::Value>,
    /// For `rule_file`: what stands there while reads go to the twin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitioned_rule: Option<serde_json::Value>,
    /// For a flag: how to see which side reads go to.
    pub probe: Option<Probe>,
    /// For a flag: how long after a switch nothing is measured, seconds; the
    /// handbook's ten minutes unless told otherwise.
    pub settle_s: f64,
}

/// What a platform calls each side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideWords {
    /// The legacy side.
    pub legacy: String,
    /// The partitioned side.
    pub partitioned: String,
}

impl Default for SideWords {
    fn default() -> Self {
        Self { legacy: "legacy".into(), partitioned: "partitioned".into() }
    }
}

impl SideWords {
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
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
    /// Headers that are secret, each with the environment variable that holds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_env: BTreeMap<String, String>,
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
    /// Headers that are secret, each with the environment variable that holds it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_env: BTreeMap<String, String>,
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
    /// A flag of the platform, switched in a file of rules at the start of a window.
    RuleFile,
    /// Reads cannot be routed; only one mode can be driven.
    None,
}

impl Default for RoutingConfig {
    fn default() -> Self {
        Self {
            kind: RoutingKind::Header,
            header: "X-Cutover-Mode".into(),
            served_by_header: "X-Routed-To".into(),
            served_by: SideWords::default(),
            legacy_url: None,
            partitioned_url: None,
            legacy: None,
            partitioned: None,
            restore: None,
            legacy_command: Vec::new(),
            partitioned_command: Vec::new(),
            restore_command: Vec::new(),
            rule_file: None,
            rule_pointer: String::new(),
            legacy_rule: None,
            partitioned_rule: None,
            probe: None,
            settle_s: 600.0,
        }
    }
}

impl RoutingConfig {
    /// Whether reads are switched for everybody at once, so that windows need time to settle.
    pub fn switches_a_flag(&self) -> bool {
        matches!(self.kind, RoutingKind::Http | RoutingKind::Command | RoutingKind::RuleFile)
    }

    /// How long after a switch nothing is measured.
    pub fn settle(&self) -> Duration {
        Duration::from_secs_f64(self.settle_s)
    }

    pub(super) fn check(&self, place: &str) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(Error::usage(format!("{place} {what}"), hint));
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
            RoutingKind::RuleFile => self.check_rules(place)?,
            _ => {}
        }
        let SideWords { legacy, partitioned } = &self.served_by;
        if legacy == partitioned || legacy.is_empty() || partitioned.is_empty() {
            return refuse("served_by: two unlike words are needed, one for each side", "");
        }
        let commands = [&self.legacy_command, &self.partitioned_command, &self.restore_command];
        let keys = ["legacy_command", "partitioned_command", "restore_command"];
        for (key, command) in keys.into_iter().zip(commands) {
            names_a_program(&format!("{place} {key}"), command)?;
        }
        if !(0.0..=86_400.0).contains(&self.settle_s) {
            return refuse("settle_s: goes from 0 to 86400 seconds", "");
        }
        if !self.switches_a_flag() {
            return Ok(());
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
            Some(probe) if probe.pointer.as_ref().is_some_and(|it| !it.starts_with('/')) => {
                refuse("probe: pointer is no JSON pointer", "it begins with /, as in /flags/on")
            }
            Some(_) => Ok(()),
        }
    }
}

impl RoutingConfig {
    fn check_rules(&self, place: &str) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(Error::usage(format!("{place} {what}"), hint));
        if self.rule_file.is_none() || self.legacy_rule.is_none() || self.partitioned_rule.is_none()
        {
            let what = "kind = \"rule_file\" needs rule_file, rule_pointer, legacy_rule and \
                        partitioned_rule";
            return refuse(what, RULE_HINT);
        }
        if !self.rule_pointer.starts_with('/') {
            let hint = "it begins with /, as in /flags/use-partitioned-tables/fallthrough";
            return refuse(
                &format!("rule_pointer: `{}` is no JSON pointer", self.rule_pointer),
                hint,
            );
        }
        if self.legacy_rule == self.partitioned_rule {
            return refuse("legacy_rule and partitioned_rule are the same", "nothing would switch");
        }
        Ok(())
    }
}

/// A command that is given has a program in front.
pub(super) fn names_a_program(place: &str, command: &[String]) -> Result<()> {
    if command.first().is_some_and(|program| program.trim().is_empty()) {
        let what = format!("{place} names no program");
        return Err(Error::usage(what, "give program and arguments as a list"));
    }
    Ok(())
}

const RULE_HINT: &str = "for example rule_pointer = \"/flags/use-partitioned-tables/fallthrough\", \
     legacy_rule = { variation = 0 }, partitioned_rule = { variation = 1 }";
const FLAG_HINT: &str = "for example legacy = { method = \"PUT\", url = \"…\", body = '{…}' }";
