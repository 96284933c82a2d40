//! The switch between legacy and partitioned reads, for every request by itself.

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;
use url::Url;

use crate::config::{RoutingConfig, RoutingKind};
use crate::error::{Context, Error, Result};
use crate::evidence::drive::Mode;

/// How long a platform may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where requests of one mode go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path that every request path is appended to, without a final slash.
    pub base_path: String,
}

impl Endpoint {
    /// Takes a base URL apart.
    ///
    /// # Errors
    /// A usage error where it is not an `http` URL with a host.
    pub fn new(url: &Url) -> Result<Self> {
        let refuse = |why: &str| {
            Err(Error::usage(format!("base URL {url}: {why}"), "write http://host:port"))
        };
        if url.scheme() != "http" {
            return refuse("only http is spoken");
        }
        match url.host_str() {
            Some(host) => Ok(Self {
                host: host.to_owned(),
                port: url.port_or_known_default().unwrap_or(80),
                base_path: url.path().trim_end_matches('/').to_owned(),
            }),
            None => refuse("it names no host"),
        }
    }

    /// `host:port`, as the Host header wants it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

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
    served_by: Option<HeaderName>,
}

impl Switch {
    /// Resolves the routing configuration for a platform.
    ///
    /// # Errors
    /// A usage error where a URL or a header name cannot be used.
    pub fn new(routing: &RoutingConfig, base_url: &Url) -> Result<Self> {
        let name = |key: &str, text: &str| {
            HeaderName::try_from(text)
                .or_usage(format!("[routing] {key}: `{text}` is not a header name"), "")
        };
        let base = Endpoint::new(base_url)?;
        let of = |url: &Option<Url>| url.as_ref().map_or(Ok(base.clone()), Endpoint::new);
        let (legacy, partitioned) = match routing.kind {
            RoutingKind::Urls => (of(&routing.legacy_url)?, of(&routing.partitioned_url)?),
            RoutingKind::Header | RoutingKind::None => (base.clone(), base.clone()),
        };
        let header = match routing.kind {
            RoutingKind::Header => Some(name("header", &routing.header)?),
            RoutingKind::Urls | RoutingKind::None => None,
        };
        let served_by = match routing.kind {
            RoutingKind::None => None,
            _ if routing.served_by_header.is_empty() => None,
            _ => Some(name("served_by_header", &routing.served_by_header)?),
        };
        Ok(Self { legacy, partitioned, header, served_by })
    }

    /// Where requests of this mode go.
    pub fn endpoint(&self, mode: Mode) -> &Endpoint {
        match mode {
            Mode::Legacy => &self.legacy,
            Mode::Partitioned => &self.partitioned,
        }
    }

    /// Whether something listens where requests of each mode go.
    ///
    /// # Errors
    /// A run error that names the address.
    pub async fn reach(&self) -> Result<()> {
        for endpoint in [&self.legacy, &self.partitioned] {
            let place = format!("the platform at http://{}", endpoint.authority());
            let hint = "is the platform up, and is --base-url its address?";
            let address = (endpoint.host.as_str(), endpoint.port);
            let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
            connected.or_run(&place, hint)?.or_run(&place, hint)?;
        }
        Ok(())
    }

    /// The header that asks for this mode.
    pub fn header(&self, mode: Mode) -> Option<(&HeaderName, HeaderValue)> {
        self.header.as_ref().map(|name| (name, HeaderValue::from_static(mode.as_str())))
    }

    /// Whether answers say which side served them.
    pub fn proves(&self) -> bool {
        self.served_by.is_some()
    }

    /// Whether the answer came from the side that was asked for.
    pub fn check(&self, asked: Mode, answer: &HeaderMap) -> Served {
        match &self.served_by {
            None => Served::AsAsked,
            Some(name) => match answer.get(name).map(HeaderValue::as_bytes) {
                Some(side) if side == asked.as_str().as_bytes() => Served::AsAsked,
                _ => Served::Wrong,
            },
        }
    }
}
