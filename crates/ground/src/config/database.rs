//! Where the database is and how to log in, as the configuration says it: without a secret in it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::secret;
use cutover_error::{Context, Error, Result};

/// The target's PostgreSQL.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// Its URL, without a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The environment variable that holds its URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// The file that holds its URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// The file that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// How far the connection is protected; `verify-full` if a `ca_file` is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<SslMode>,
    /// A PEM file with the authority that signed the server's certificate; `[tls] ca_file` if
    /// none is named here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// How far a connection to PostgreSQL is protected, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Plain.
    Disable,
    /// Plain if the server allows it.
    Allow,
    /// Encrypted if the server offers it.
    Prefer,
    /// Encrypted, to whomever.
    Require,
    /// Encrypted, to a server whose certificate a known authority signed.
    VerifyCa,
    /// The same, and the certificate names the host.
    VerifyFull,
}

impl SslMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl DatabaseConfig {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it names a database.
    pub fn names_one(&self) -> bool {
        self.url.is_some() || self.url_env.is_some() || self.url_file.is_some()
    }

    /// What makes sense by itself; `place` names the table of the file.
    pub(super) fn check(&self, place: &str) -> Result<()> {
        let given = [self.url.is_some(), self.url_env.is_some(), self.url_file.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            let what = format!("{place}: more than one of url, url_env and url_file");
            return Err(Error::usage(what, "name the database once"));
        }
        let Some(url) = &self.url else { return Ok(()) };
        let url = postgres_url(&format!("{place} url"), url)?;
        let in_query = url.query_pairs().any(|(name, _)| name == "password");
        if url.password().is_some() || in_query {
            let what = format!("{place} url: a password stands in it");
            return Err(Error::usage(what, "give it by password_env or password_file"));
        }
        Ok(())
    }

    /// The whole URL, password and protection included: of `given` if an option named a database,
    /// else of the one that is named here. `None` if neither names one.
    ///
    /// # Errors
    /// A usage error that shows no secret.
    pub fn resolve(
        &self,
        place: &str,
        given: Option<&str>,
        tls_ca_file: Option<&PathBuf>,
    ) -> Result<Option<String>> {
        let named = match given {
            Some(_) => None,
            None => self.named(place)?,
        };
        let Some(text) = given.map(str::to_owned).or(named) else { return Ok(None) };
        let (password_env, password_file) =
            (self.password_env.as_deref(), self.password_file.as_deref());
        let adds = password_env.is_some() || password_file.is_some();
        if !adds && self.ssl_mode.is_none() && self.ca_file.is_none() {
            return Ok(Some(text));
        }
        let mut url = postgres_url(&format!("{place} url"), &text)?;
        let holds = |url: &Url, wanted: &str| url.query_pairs().any(|(name, _)| name == wanted);
        if url.password().is_none() && !holds(&url, "password") {
            let password = secret(&format!("{place} password"), password_env, password_file)?;
            if let Some(password) = password {
                // As a parameter: a URL without a host takes no password in front of it.
                url.query_pairs_mut().append_pair("password", &password);
            }
        }
        let verifies = matches!(self.ssl_mode, Some(SslMode::VerifyCa | SslMode::VerifyFull));
        let ca_file = self.ca_file.as_ref().or(tls_ca_file.filter(|_| verifies));
        let mode = self.ssl_mode.or(ca_file.map(|_| SslMode::VerifyFull));
        if let Some(mode) = mode.filter(|_| !holds(&url, "sslmode")) {
            url.query_pairs_mut().append_pair("sslmode", mode.as_str());
        }
        if let Some(file) = ca_file.filter(|_| !holds(&url, "sslrootcert")) {
            std::fs::metadata(file)
                .or_usage(format!("{place} ca_file {}", file.display()), "give a PEM file")?;
            url.query_pairs_mut().append_pair("sslrootcert", &file.display().to_string());
        }
        Ok(Some(url.into()))
    }

    /// The URL that is named here, as it was written.
    fn named(&self, place: &str) -> Result<Option<String>> {
        match &self.url {
            Some(url) => Ok(Some(url.clone())),
            None => {
                secret(&format!("{place} url"), self.url_env.as_deref(), self.url_file.as_deref())
            }
        }
    }
}

/// Never repeats the URL, which may hold a password.
pub(super) fn postgres_url(place: &str, text: &str) -> Result<Url> {
    let hint = "write postgres://user@host:port/database";
    let url = Url::parse(text).or_usage(place, hint)?;
    match url.scheme() {
        "postgres" | "postgresql" => Ok(url),
        _ => Err(Error::usage(format!("{place}: does not begin with postgres://"), hint)),
    }
}
