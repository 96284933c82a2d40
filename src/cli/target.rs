//! What the target options mean together: configuration, database, platform.

use std::path::Path;

use url::Url;

use super::args::TargetArgs;
use crate::config::Config;
use crate::error::{Context, Error, Result};
use crate::http::shown;
use crate::pg;

/// Read where it stands in the working folder and no other file is named.
const USUAL_CONFIG: &str = "cutover.toml";

impl TargetArgs {
    /// The configuration file: the one that is named, else `cutover.toml` in the working folder,
    /// else the reference platform's configuration.
    ///
    /// # Errors
    /// A usage error if the file is not a valid configuration.
    pub fn read_config(&self) -> Result<Config> {
        read_config(self.config.as_deref(), self.env.as_deref())
    }

    /// Takes over what the configuration says about the database if no option does, secrets
    /// included; done once, before the command begins.
    ///
    /// # Errors
    /// A usage error if the configuration is not valid or a secret cannot be read.
    pub(super) fn settle(&mut self) -> Result<()> {
        let config = self.read_config()?;
        self.database_url = config.database_url(self.database_url.as_deref())?;
        Ok(())
    }

    /// The platform's URL from the option or the configuration.
    ///
    /// # Errors
    /// A usage error if it is no URL.
    pub fn base_url(&self, config: &Config) -> Result<Option<Url>> {
        match &self.base_url {
            Some(text) => Url::parse(text)
                .or_usage(format!("--base-url `{}`", shown(text)), "write http://host:port")
                .map(Some),
            None => Ok(config.base_url.clone()),
        }
    }

    /// The platform's URL.
    ///
    /// # Errors
    /// A usage error if none is named, or it is no URL.
    pub fn required_base_url(&self, config: &Config) -> Result<Url> {
        self.base_url(config)?.ok_or_else(|| {
            let hint = "give --base-url or CUTOVER_BASE_URL, or base_url in the configuration";
            Error::usage("no platform is named", hint)
        })
    }

    /// The database's URL, checked if it is given.
    ///
    /// # Errors
    /// A usage error if it does not parse.
    pub fn checked_database_url(&self) -> Result<Option<&str>> {
        self.database_url.as_deref().map(|url| pg::options(url).map(|_| url)).transpose()
    }

    /// The database's URL, checked.
    ///
    /// # Errors
    /// A usage error if it is not given or does not parse.
    pub fn required_database_url(&self) -> Result<&str> {
        let url = self.database_url.as_deref().ok_or_else(|| {
            Error::usage("no database is named", "give --database-url or CUTOVER_DATABASE_URL")
        })?;
        pg::options(url).map(|_| url)
    }

    /// Database and platform if both are named; `None` if neither is.
    ///
    /// # Errors
    /// A usage error if only one of them is named, or one does not parse.
    pub fn both_or_none(&self, config: &Config) -> Result<Option<(String, Url)>> {
        match (&self.database_url, self.base_url(config)?) {
            (None, None) => Ok(None),
            (Some(_), Some(base_url)) => {
                Ok(Some((self.required_database_url()?.to_owned(), base_url)))
            }
            (Some(_), None) => Err(Error::usage(
                "a database is named but no platform",
                "give --base-url too, or neither for a local rig",
            )),
            (None, Some(_)) => Err(Error::usage(
                "a platform is named but no database",
                "give --database-url too, or neither for a local rig",
            )),
        }
    }
}

/// The configuration that is `named`, in the environment `env`; see [`TargetArgs::read_config`].
///
/// # Errors
/// A usage error if the file is not a valid configuration.
pub(super) fn read_config(named: Option<&Path>, env: Option<&str>) -> Result<Config> {
    let usual = Path::new(USUAL_CONFIG);
    let env = env.filter(|env| !env.is_empty());
    let config = match named {
        Some(named) => Config::read(named)?,
        None if usual.exists() => Config::read(usual)?,
        None => Config::default(),
    };
    config.in_environment(env)
}
