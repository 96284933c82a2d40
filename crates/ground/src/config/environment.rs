//! Environments: where each is, and what may be changed there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{Config, DatabaseConfig, RoutingConfig, TlsConfig};
use crate::pg;
use cutover_error::{Error, Result};

/// What can change a target. Everything else only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WritingAct {
    /// Loads synthetic organisations.
    Seed,
    /// Sends requests that change data.
    Drive,
    /// Switches the platform's flag.
    Flag,
    /// Tries the triggers on a row, in a transaction that is always undone.
    Probe,
    /// Opens a temporary slot on the write-ahead log.
    Wal,
    /// Breaks something on purpose, to see it mended.
    Drill,
}

impl WritingAct {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Seed, Self::Drive, Self::Flag, Self::Probe, Self::Wal, Self::Drill];

    /// Its name in `allow`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Drive => "drive",
            Self::Flag => "flag",
            Self::Probe => "probe",
            Self::Wal => "wal",
            Self::Drill => "drill",
        }
    }
}

/// One `[env.NAME]` of the file: what is other there than in the rest of the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnvironmentConfig {
    /// Whether nothing may be changed unless `allow` names the act; so for the name `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub production: Option<bool>,
    /// The acts that may change something; without it none in production, all elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<BTreeSet<WritingAct>>,
    /// Base URL of the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Url>,
    /// Its database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseConfig>,
    /// How reads are sent to one side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<RoutingConfig>,
    /// Whom to trust behind https.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
}

impl EnvironmentConfig {
    fn is_production(&self, name: &str) -> bool {
        self.production.unwrap_or(name == "production")
    }
}

/// The environment that a run works in.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Environment {
    /// Its name in the file; `None` if the file describes none.
    pub name: Option<String>,
    /// What may be changed; `None` for everything.
    allow: Option<BTreeSet<WritingAct>>,
    /// What the file allows by name, which `--read-only` respects for the flag.
    named: BTreeSet<WritingAct>,
    /// Why what is not allowed is not, for messages.
    because: String,
    /// Whether the file tells where its platform is, and not where its database is.
    pub without_database: bool,
}

/// Something a run is about to change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Intent {
    /// The act.
    pub act: WritingAct,
    /// What it changes, where.
    pub what: String,
}

impl Intent {
    /// What `act` is about to change.
    pub fn new(act: WritingAct, what: impl Into<String>) -> Self {
        Self { act, what: what.into() }
    }
}

impl Environment {
    /// Whether this act may change something.
    pub fn allows(&self, act: WritingAct) -> bool {
        self.allow.as_ref().is_none_or(|allowed| allowed.contains(&act))
    }

    /// The same for a run that is to change no data; a flag is switched only if that is allowed by
    /// name.
    pub fn read_only(mut self) -> Self {
        self.allow = Some(self.named.intersection(&[WritingAct::Flag].into()).copied().collect());
        self.because = "--read-only".into();
        self
    }

    /// Refuses what may not be changed.
    ///
    /// # Errors
    /// A usage error that names the first act, what it would change, and how it is allowed.
    pub fn permit(&self, intents: &[Intent]) -> Result<()> {
        let Some(refused) = intents.iter().find(|intent| !self.allows(intent.act)) else {
            return Ok(());
        };
        let act = refused.act.as_str();
        let hint = match (&self.name, act) {
            (Some(name), _) if self.because != "--read-only" => format!(
                "if the change is meant, name it in [env.{name}]: allow = [\"{act}\"]; rehearse and \
                 drive leave it out with --read-only"
            ),
            _ => format!("leave out --read-only, or what needs `{act}`"),
        };
        let what = format!("{}: `{act}` is not allowed: {}", self.because, refused.what);
        Err(Error::usage(what, hint))
    }
}

impl Config {
    /// The same as it is in the environment of this name; if none is named, in the only one.
    ///
    /// # Errors
    /// A usage error if there is no such environment, or none is named and there are several.
    pub fn in_environment(mut self, wanted: Option<&str>) -> Result<Self> {
        let known: Vec<&str> = self.environments.keys().map(String::as_str).collect();
        let name = match (wanted, known.as_slice()) {
            (Some(name), _) => name.to_owned(),
            (None, []) => return Ok(self),
            (None, [only]) => (*only).to_owned(),
            (None, several) => {
                let what = format!("environments are described: {}", several.join(", "));
                return Err(Error::usage(what, "say which one is meant: --env NAME, CUTOVER_ENV"));
            }
        };
        let Some(own) = self.environments.get(&name).cloned() else {
            let what = format!("--env {name}: the configuration has no [env.{name}]");
            let hint = match known.is_empty() {
                true => "describe it there: base_url, database, allow".to_owned(),
                false => format!("environments: {}", known.join(", ")),
            };
            return Err(Error::usage(what, hint));
        };
        let production = own.is_production(&name);
        self.environment = Environment {
            allow: own.allow.clone().or(production.then(BTreeSet::new)),
            named: own.allow.unwrap_or_default(),
            because: format!("environment `{name}`"),
            without_database: own.base_url.is_some() && own.database.is_none(),
            name: Some(name),
        };
        self.base_url = own.base_url.or(self.base_url);
        self.database = own.database.unwrap_or(self.database);
        self.routing = own.routing.unwrap_or(self.routing);
        self.tls = own.tls.unwrap_or(self.tls);
        Ok(self)
    }

    /// The database's URL with everything that the configuration adds to it; `given` by an option.
    ///
    /// # Errors
    /// A usage error if a secret cannot be read, or if an option names another database than
    /// the environment that was chosen.
    pub fn database_url(&self, given: Option<&str>) -> Result<Option<String>> {
        let place = match &self.environment.name {
            Some(name) => format!("[env.{name}.database]"),
            None => "[database]".to_owned(),
        };
        let resolve = |given| self.database.resolve(&place, given, self.tls.ca_file.as_ref());
        let Some(url) = resolve(given)? else { return Ok(None) };
        let Some(name) = &self.environment.name else { return Ok(Some(url)) };
        if given.is_some() && self.database.names_one() {
            let meant = resolve(None)?.map_or_else(String::new, |url| pg::describe(&url));
            if meant != pg::describe(&url) {
                let what = format!(
                    "--database-url names {}, [env.{name}] names {meant}",
                    pg::describe(&url)
                );
                return Err(Error::usage(what, "which of them is meant? leave out the other"));
            }
        }
        self.no_production_by_mistake(name, &url)?;
        Ok(Some(url))
    }

    /// A database that another environment calls production's is not worked on under another name.
    fn no_production_by_mistake(&self, name: &str, url: &str) -> Result<()> {
        let other = |(other, config): &(&String, &EnvironmentConfig)| {
            let database = config.database.as_ref()?;
            // What cannot be read here cannot be compared; that is no reason to refuse.
            let theirs = database.resolve("", None, None).ok().flatten()?;
            (*other != name
                && config.is_production(other)
                && pg::describe(&theirs) == pg::describe(url))
            .then(|| (*other).clone())
        };
        let environments: BTreeMap<_, _> = self.environments.iter().collect();
        match environments.iter().find_map(|(name, config)| other(&(name, config))) {
            None => Ok(()),
            Some(production) => {
                let place = pg::describe(url);
                let what = format!("--env {name}: {place} is the database of [env.{production}]");
                Err(Error::usage(what, format!("say --env {production}, or correct the database")))
            }
        }
    }

    pub(super) fn check_environments(&self) -> Result<()> {
        self.database.check("[database]")?;
        for (name, own) in &self.environments {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(Error::usage(format!("[env]: {name:?} is no name"), ""));
            }
            if let Some(database) = &own.database {
                database.check(&format!("[env.{name}.database]"))?;
            }
            if let Some(routing) = &own.routing {
                routing.check(&format!("[env.{name}.routing]"))?;
            }
        }
        Ok(())
    }
}
