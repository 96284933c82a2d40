//! What a rollout, its checklist and its drills need to know of the target.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::FlagRequest;
use super::database::postgres_url;
use super::routing::names_a_program;
use cutover_error::{Error, Result};

/// A year: nobody goes on from an older backup.
const OLDEST_BACKUP_H: f64 = 8760.0;

/// Where the pre-rollout checklist looks, and what it may touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreflightConfig {
    /// The org that a row is written to and removed from.
    pub test_org: i64,
    /// A backup, or the folder of them; the newest file counts.
    pub backup_file: Option<PathBuf>,
    /// Program and arguments that print when the last one was taken, RFC 3339 or seconds since 1970.
    pub backup_command: Vec<String>,
    /// Whether the server's own archiver says when it was.
    pub backup_archiver: bool,
    /// How old it may be, hours.
    pub backup_max_age_h: f64,
    /// PgBouncer, if it is used: a URL without a password; `[database]` says how to log in.
    pub pgbouncer_url: Option<String>,
    /// The server's log, where it can be read from here.
    pub log_file: Option<PathBuf>,
    /// The role that the application has, as which the triggers are tried.
    pub application_role: Option<String>,
}

impl Default for PreflightConfig {
    fn default() -> Self {
        Self {
            test_org: 1,
            backup_file: None,
            backup_command: Vec::new(),
            backup_archiver: false,
            backup_max_age_h: 24.0,
            pgbouncer_url: None,
            log_file: None,
            application_role: None,
        }
    }
}

impl PreflightConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(0.0..=OLDEST_BACKUP_H).contains(&self.backup_max_age_h) {
            let what =
                format!("[preflight] backup_max_age_h = {} is out of range", self.backup_max_age_h);
            return Err(Error::usage(what, format!("allowed: 0 to {OLDEST_BACKUP_H}, hours")));
        }
        names_a_program("[preflight] backup_command", &self.backup_command)?;
        let place = "[preflight] pgbouncer_url";
        let Some(url) = &self.pgbouncer_url else { return Ok(()) };
        if postgres_url(place, url)?.password().is_some() {
            let what = format!("{place}: a password stands in it");
            return Err(Error::usage(what, "leave it out: that of [database] is taken"));
        }
        Ok(())
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

impl RolloutConfig {
    pub(super) fn check(&self) -> Result<()> {
        let place = "[rollout] percentage_command";
        names_a_program(place, &self.percentage_command)?;
        if self.percentage.is_some() && !self.percentage_command.is_empty() {
            let what = format!("{place}: percentage is given, too");
            return Err(Error::usage(what, "the share is set in one way: leave one of them out"));
        }
        let command = self.percentage_command.join(" ");
        let body = |request: &Option<FlagRequest>| request.as_ref().map(|it| it.body.clone());
        let blanks = [
            (place, "{{percent}}", (!command.is_empty()).then_some(command)),
            ("[rollout] percentage: body", "{{percent}}", body(&self.percentage)),
            ("[rollout] disable: body", "{{orgs}}", body(&self.disable)),
        ];
        for (place, blank, text) in blanks {
            if text.is_some_and(|text| !text.contains(blank)) {
                let what = format!("{place}: does not hold {blank}");
                return Err(Error::usage(what, "it would say the same at every step"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// What would go wrong in the middle of a rollout is refused before it begins.
    #[test]
    fn what_cannot_work_is_refused_with_its_place() {
        let cases = [
            ("[rollout]\npercentage_command = [\" \", \"{{percent}}\"]", "names no program"),
            (
                "[rollout]\npercentage_command = [\"set-flag\"]",
                "percentage_command: does not hold {{percent}}",
            ),
            (
                "[rollout]\npercentage = { url = \"http://a/b\", body = '{}' }",
                "percentage: body: does not hold {{percent}}",
            ),
            (
                "[rollout]\ndisable = { url = \"http://a/b\", body = '{}' }",
                "disable: body: does not hold {{orgs}}",
            ),
            (
                "[rollout]\npercentage_command = [\"a\", \"{{percent}}\"]\n\
                 percentage = { url = \"http://a/b\", body = '{{percent}}' }",
                "percentage is given, too",
            ),
            ("[preflight]\nbackup_command = [\"\"]", "[preflight] backup_command names no program"),
            ("[preflight]\npgbouncer_url = \"postgres://a:b@c/d\"", "a password stands in it"),
            ("[preflight]\npgbouncer_url = \"http://c/d\"", "does not begin with postgres://"),
            ("[routing]\nsettle_s = -1.0", "[routing] settle_s: goes from 0"),
            ("[routing]\nsettle_s = inf", "[routing] settle_s: goes from 0"),
            ("[routing]\nlegacy_command = [\"\"]", "[routing] legacy_command names no program"),
            (
                "[routing]\nkind = \"http\"\nlegacy = { url = \"http://a/b\" }\n\
                 partitioned = { url = \"http://a/c\" }\n\
                 probe = { url = \"http://a/d\", pointer = \"on\" }",
                "pointer is no JSON pointer",
            ),
            (
                "[[limits]]\ncriterion = \"error_rate\"\nlimit = 0.002\nreason = \"a\"\n\
                 [[limits]]\ncriterion = \"error_rate\"\nlimit = 0.001\nreason = \"b\"",
                "[[limits]]: `error_rate` stands twice",
            ),
            (
                "[[limits]]\ncriterion = \"error_rte\"\nlimit = 0.002\nreason = \"a\"",
                "unknown variant `error_rte`, expected one of `p95_overall`",
            ),
        ];
        for (text, words) in cases {
            let error = Config::parse("config x", text).expect_err(text).to_string();
            assert!(error.starts_with("config x: ") && error.contains(words), "{error}");
        }
    }
}
