//! A flag of the platform that routes everybody's reads: switched by an HTTP request or a command,
//! seen by a probe, put back at the end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use serde_json::Value;

use super::claim::Claim;
use super::program::run_program;
use super::rule_file::RuleFile;
use super::settings::Settings;
use crate::config::{FlagRequest, Probe, RoutingConfig, RoutingKind, TlsConfig, secret};
use crate::http::{Client, Endpoint, TrustedRoots};
use cutover_error::{Context, Error, Result};
use cutover_evidence::drive::Side;

/// How long a switch or a probe may take.
const FLAG_TIMEOUT: Duration = Duration::from_secs(30);

/// A platform that reads its flag from a file, or by way of others, follows within this.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A flag, how to switch it, and how to see it.
#[derive(Debug, Clone)]
pub struct Flag {
    legacy: Action,
    partitioned: Action,
    restore: Option<Action>,
    probe: Sight,
    /// Where the flag stands in a file: the file, to put it back as it was.
    rules: Option<RuleFile>,
    settings: Settings,
}

/// One way to change the flag.
#[derive(Debug, Clone)]
enum Action {
    Ask(Box<Question>),
    /// Program and arguments; no shell.
    Run(Vec<String>),
    /// A rule and what it is to be.
    Edit(RuleFile, Value),
}

/// A request, prepared.
#[derive(Debug, Clone)]
pub(super) struct Question {
    endpoint: Endpoint,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// How to see the flag.
#[derive(Debug, Clone)]
struct Sight {
    question: Question,
    probe: Probe,
}

impl Flag {
    /// The flag of a routing configuration; `None` if requests are routed one by one.
    ///
    /// # Errors
    /// A usage error if a URL, method or header cannot be used.
    pub(super) fn new(
        routing: &RoutingConfig,
        tls: &TlsConfig,
        roots: &TrustedRoots,
    ) -> Result<Option<Self>> {
        let ask = |request: &Option<FlagRequest>| {
            request
                .as_ref()
                .map(|r| Question::new(r, roots).map(|question| Action::Ask(Box::new(question))))
                .transpose()
        };
        let run =
            |command: &Vec<String>| (!command.is_empty()).then(|| Action::Run(command.clone()));
        let rules = routing.rule_file.as_ref().filter(|_| routing.kind == RoutingKind::RuleFile);
        let rules = rules.map(|path| RuleFile::new(path, &routing.rule_pointer));
        let (legacy, partitioned, restore) = match routing.kind {
            RoutingKind::Http => {
                (ask(&routing.legacy)?, ask(&routing.partitioned)?, ask(&routing.restore)?)
            }
            RoutingKind::Command => (
                run(&routing.legacy_command),
                run(&routing.partitioned_command),
                run(&routing.restore_command),
            ),
            RoutingKind::RuleFile => {
                let to = |rule: &Option<Value>| rules.clone().zip(rule.clone());
                let edit = |(rules, rule)| Action::Edit(rules, rule);
                let (legacy, partitioned) = (&routing.legacy_rule, &routing.partitioned_rule);
                (to(legacy).map(edit), to(partitioned).map(edit), None)
            }
            RoutingKind::Header | RoutingKind::Urls | RoutingKind::None => return Ok(None),
        };
        let (Some(legacy), Some(partitioned), Some(probe)) =
            (legacy, partitioned, routing.probe.clone())
        else {
            let what = "[routing] a switched flag needs legacy, partitioned and probe";
            return Err(Error::usage(what, ""));
        };
        let request = FlagRequest {
            method: "GET".into(),
            url: probe.url.clone(),
            body: String::new(),
            headers: probe.headers.clone(),
            headers_env: probe.headers_env.clone(),
        };
        let probe = Sight { question: Question::new(&request, roots)?, probe };
        let settings = Settings { routing: routing.clone(), tls: tls.clone() };
        Ok(Some(Self { legacy, partitioned, restore, probe, rules, settings }))
    }

    /// Takes hold of the flag; waits a little for one that is being put back.
    ///
    /// # Errors
    /// Where another run moves it.
    pub async fn claim(&self) -> Result<Claim> {
        let routing = &self.settings.routing;
        let url = routing.partitioned.as_ref().map(|request| &request.url);
        let (command, rules) = (&routing.partitioned_command, &routing.rule_file);
        let place = (&routing.kind, url, command, rules, &routing.rule_pointer);
        Claim::take(&format!("flag {place:?}")).await
    }

    /// How long after a switch some answers may still come from the other side.
    pub fn settle(&self) -> Duration {
        self.settings.routing.settle()
    }

    /// What the flag was made from.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What has to be known of the flag, beside its mode, to put it back: the rule that stands in its
    /// file. Keep it with [`Flag::remember`] before the first switch.
    ///
    /// # Errors
    /// If the file cannot be read or holds no such rule.
    pub fn as_it_is(&self) -> Result<Option<Value>> {
        self.rules.as_ref().map(RuleFile::rule).transpose()
    }

    /// The same flag, put back to `rule` where it stands in a file.
    pub fn remember(mut self, rule: Option<Value>) -> Self {
        if let Some((rules, rule)) = self.rules.clone().zip(rule) {
            self.restore = Some(Action::Edit(rules, rule));
        }
        self
    }

    /// Sends reads to one side.
    ///
    /// # Errors
    /// Where the request or command fails; whether reads moved is for the probe to say.
    pub async fn switch(&self, mode: Side) -> Result<()> {
        match mode {
            Side::Legacy => self.legacy.perform().await,
            Side::Partitioned => self.partitioned.perform().await,
        }
    }

    /// Puts the flag back to what it was when `found` was seen.
    ///
    /// # Errors
    /// If that fails, or the probe then sees something else.
    pub async fn put_back(&self, found: Side) -> Result<()> {
        match &self.restore {
            Some(action) => action.perform().await?,
            None => self.switch(found).await?,
        }
        let end = Instant::now() + SEEN_WITHIN;
        loop {
            match self.seen().await {
                Ok(Some(mode)) if mode == found => return Ok(()),
                _ if Instant::now() < end => tokio::time::sleep(LOOK_EVERY).await,
                seen => {
                    let what = "the probe does not see the mode that was found at the start";
                    return seen.and(Err(Error::run(what, "")));
                }
            }
        }
    }

    /// Which side reads go to; `None` if the answer names neither.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn seen(&self) -> Result<Option<Side>> {
        let (headers, body) = self.probe.question.ask().await?;
        let probe = &self.probe.probe;
        let answered = match (&probe.header, &probe.pointer) {
            (Some(name), _) => {
                headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
            }
            (None, Some(pointer)) => serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|value| value.pointer(pointer).cloned())
                .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            (None, None) => None,
        };
        Ok(match answered {
            Some(answered) if answered == probe.legacy => Some(Side::Legacy),
            Some(answered) if answered == probe.partitioned => Some(Side::Partitioned),
            _ => None,
        })
    }
}

impl Action {
    async fn perform(&self) -> Result<()> {
        match self {
            Self::Ask(question) => question.ask().await.map(drop),
            Self::Run(argv) => run_program("[routing]", argv).await.map(drop),
            Self::Edit(rules, rule) => rules.set(rule),
        }
    }
}

impl Question {
    pub(super) fn new(request: &FlagRequest, roots: &TrustedRoots) -> Result<Self> {
        let endpoint = Endpoint::new(&request.url, roots)?;
        let place = format!("[routing] {}", endpoint.authority());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, endpoint.host_header.clone());
        if !request.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        const HINT: &str = "letters, digits and dashes in its name, one line of text in its value";
        for (name, value) in &request.headers {
            let place = format!("{place} headers `{name}`");
            let name = HeaderName::try_from(name).or_usage(&place, HINT)?;
            headers.insert(name, HeaderValue::try_from(value).or_usage(&place, HINT)?);
        }
        for (name, variable) in &request.headers_env {
            let place = format!("{place} headers_env `{name}`");
            let name = HeaderName::try_from(name).or_usage(&place, HINT)?;
            let value = secret(&place, Some(variable), None)?.unwrap_or_default();
            let mut value = HeaderValue::try_from(value).or_usage(&place, HINT)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let query = request.url.query().map_or_else(String::new, |query| format!("?{query}"));
        Ok(Self {
            method: request.method.parse().or_usage(&place, "")?,
            uri: format!("{}{query}", request.url.path()).parse().or_usage(&place, "")?,
            headers,
            body: Bytes::from(request.body.clone()),
            endpoint,
        })
    }

    /// Asks on a connection of its own.
    pub(super) async fn ask(&self) -> Result<(HeaderMap, Bytes)> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        // A query may hold a secret.
        let place = format!("{} {}{}", self.method, self.endpoint.authority(), self.uri.path());
        let answer = Client::new(self.endpoint.clone(), 0, FLAG_TIMEOUT).send(request).await;
        let answer = answer.map_err(|f| f.name()).or_run(&place, "is [routing] right?")?;
        tracing::debug!(request = place, status = answer.status, "flag");
        match answer.status {
            200..=299 => Ok((answer.headers, answer.body)),
            status => Err(Error::run(format!("{place}: status {status}"), "is [routing] right?")),
        }
    }
}
