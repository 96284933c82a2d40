//! The platform's own flag: which share of the orgs reads from the partitioned side, and which orgs
//! never do.

use serde::{Deserialize, Serialize};
use url::Url;

use super::claim::Claim;
use super::flag::Question;
use super::program::run_program;
use crate::config::{Config, FlagRequest, TlsConfig};
use crate::http::TrustedRoots;
use cutover_error::{Context, Result};

/// Sets the share, and takes orgs off the partitioned side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Percentage {
    share: FlagRequest,
    command: Vec<String>,
    disable: FlagRequest,
    tls: TlsConfig,
}

impl Percentage {
    /// By the configuration, else by `PUT /admin/flags` of a reference platform.
    ///
    /// # Errors
    /// A usage error if a URL or certificate cannot be used.
    pub fn new(config: &Config, base_url: &Url) -> Result<Self> {
        let flags = format!("{}/admin/flags", base_url.as_str().trim_end_matches('/'));
        let flags = Url::parse(&flags).or_usage("base URL", "write http://host:port")?;
        let usual = |body: &str| FlagRequest {
            method: "PUT".into(),
            url: flags.clone(),
            body: body.into(),
            headers: Default::default(),
            headers_env: Default::default(),
        };
        let rollout = &config.rollout;
        let share = usual(r#"{"USE_PARTITIONED_TABLES_PERCENTAGE": {{percent}}}"#);
        let disable = usual(r#"{"disabledOrgs": [{{orgs}}]}"#);
        // Told now, not at the first request.
        TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
        Ok(Self {
            share: rollout.percentage.clone().unwrap_or(share),
            command: rollout.percentage_command.clone(),
            disable: rollout.disable.clone().unwrap_or(disable),
            tls: config.tls.clone(),
        })
    }

    /// Takes hold of the share; waits a little if another run has just let go of it.
    ///
    /// # Errors
    /// Where another run moves it.
    pub async fn claim(&self) -> Result<Claim> {
        Claim::take(&format!("share {:?} {}", self.command, self.share.url)).await
    }

    /// Lets this share of the orgs read from the partitioned side; 0 is off.
    ///
    /// # Errors
    /// Where the request or command fails; whether reads moved is for a survey to say.
    pub async fn set(&self, percent: f64) -> Result<()> {
        tracing::debug!(percent, "setting the share");
        let percent = percent.to_string();
        if !self.command.is_empty() {
            let filled = self.command.iter().map(|part| part.replace("{{percent}}", &percent));
            return run_program("[rollout]", &filled.collect::<Vec<_>>()).await.map(drop);
        }
        self.ask(&self.share, "{{percent}}", &percent).await
    }

    /// Takes exactly these orgs off the partitioned side, whatever the share.
    ///
    /// # Errors
    /// If the request fails.
    pub async fn disable(&self, orgs: &[String]) -> Result<()> {
        self.ask(&self.disable, "{{orgs}}", &orgs.join(",")).await
    }

    async fn ask(&self, request: &FlagRequest, blank: &str, value: &str) -> Result<()> {
        let request = FlagRequest { body: request.body.replace(blank, value), ..request.clone() };
        let roots = TrustedRoots::with_file(self.tls.ca_file.as_deref())?;
        Question::new(&request, &roots)?.ask().await.map(drop)
    }
}
