//! The switch between legacy and partitioned reads.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;
use url::Url;

use super::flag::Flag;
use super::served_by::ServedBy;
use crate::config::{Config, RoutingKind};
use crate::http::{Endpoint, TrustedRoots};
use cutover_error::{Context, Result};
use cutover_evidence::drive::Side;

/// How long a platform may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which side an answer says it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The side that was asked for, or the platform does not say and need not.
    AsAsked,
    /// The other side, or nothing was said although it should have been.
    Wrong,
}

/// Sends each request to one side.
#[derive(Debug, Clone)]
pub struct Switch {
    legacy: Endpoint,
    partitioned: Endpoint,
    header: Option<HeaderName>,
    served_by: Option<ServedBy>,
    flag: Option<Flag>,
}

impl Switch {
    /// Resolves the routing configuration for a platform.
    ///
    /// # Errors
    /// A usage error if a URL, a header name or a certificate file cannot be used.
    pub fn new(config: &Config, base_url: &Url) -> Result<Self> {
        let routing = &config.routing;
        let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
        let name = |key: &str, text: &str| {
            HeaderName::try_from(text)
                .or_usage(format!("[routing] {key}: `{text}` is not a header name"), "")
        };
        let base = Endpoint::new(base_url, &roots)?;
        let of = |url: &Option<Url>| {
            url.as_ref().map_or(Ok(base.clone()), |url| Endpoint::new(url, &roots))
        };
        let (legacy, partitioned) = match routing.kind {
            RoutingKind::Urls => (of(&routing.legacy_url)?, of(&routing.partitioned_url)?),
            _ => (base.clone(), base.clone()),
        };
        let header = match routing.kind {
            RoutingKind::Header => Some(name("header", &routing.header)?),
            _ => None,
        };
        let served_by = match routing.kind {
            RoutingKind::None => None,
            _ => ServedBy::of(routing)?,
        };
        let flag = Flag::new(routing, &config.tls, &roots)?;
        Ok(Self { legacy, partitioned, header, served_by, flag })
    }

    /// Whether each side has an address of its own.
    pub fn has_two_endpoints(&self) -> bool {
        self.endpoint(Side::Legacy) != self.endpoint(Side::Partitioned)
    }

    /// Where requests of this mode go.
    pub fn endpoint(&self, mode: Side) -> &Endpoint {
        match mode {
            Side::Legacy => &self.legacy,
            Side::Partitioned => &self.partitioned,
        }
    }

    /// Whether something listens where requests of each mode go.
    ///
    /// # Errors
    /// A run error that names the address.
    pub async fn reach(&self) -> Result<()> {
        for endpoint in [&self.legacy, &self.partitioned] {
            let place = format!("the platform at {}", endpoint.authority());
            let hint = "is the platform up, and is --base-url its address?";
            let address = (endpoint.host.as_str(), endpoint.port);
            let connected =
                tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
            connected.or_run(&place, hint)?.or_run(&place, hint)?;
        }
        Ok(())
    }

    /// The header that asks for this mode.
    pub fn header(&self, mode: Side) -> Option<(&HeaderName, HeaderValue)> {
        self.header.as_ref().map(|name| (name, HeaderValue::from_static(mode.as_str())))
    }

    /// Whether requests can be sent to one side or the other.
    pub fn routes(&self) -> bool {
        self.header.is_some() || self.flag.is_some() || self.legacy != self.partitioned
    }

    /// Whether answers say which side served them. That a flag was switched proves nothing of the answers: a
    /// platform may not heed it.
    pub fn proves(&self) -> bool {
        self.served_by.is_some()
    }

    /// The flag that has to be switched before requests of another mode.
    pub fn flag(&self) -> Option<&Flag> {
        self.flag.as_ref()
    }

    /// Whether the answer came from the side that was asked for.
    pub fn check(&self, asked: Side, answer: &HeaderMap) -> Served {
        match &self.served_by {
            None => Served::AsAsked,
            Some(served_by) if served_by.side(answer) == Some(asked) => Served::AsAsked,
            Some(_) => Served::Wrong,
        }
    }

    /// What an answer says of its side, and what was asked for, in words.
    pub fn told(&self, asked: Side, answer: &HeaderMap) -> String {
        self.served_by.as_ref().map_or_else(String::new, |served_by| {
            format!("{}, where {} was asked for", served_by.told(answer), served_by.word(asked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_s_own_word_proves_its_side() {
        let flag = "[routing]\nkind = \"command\"\nlegacy_command = [\"true\"]\npartitioned_command = [\"true\"]\n\
                    probe = { url = \"http://127.0.0.1:1/\", pointer = \"/mode\" }\n";
        let proves = |header: &str| {
            let text = format!("{flag}served_by_header = \"{header}\"");
            let config = Config::parse("cutover.toml", &text).expect("it is right");
            let url = Url::parse("http://127.0.0.1:1/").expect("a URL");
            Switch::new(&config, &url).expect("it can be used").proves()
        };
        assert!(proves("X-Routed-To"));
        assert!(!proves(""), "that a flag was switched proves nothing of the answers");
    }
}
