//! Where requests go: taken from a base URL once, before the first of them.

use hyper::header::HeaderValue;
use url::{Host, Url};

use super::tls::{Tls, TrustedRoots};
use cutover_error::{Context, Error, Result};

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path that every request path is appended to, without a final slash.
    pub base_path: String,
    /// The Host header.
    pub host_header: HeaderValue,
    pub(super) tls: Option<Tls>,
}

impl Endpoint {
    /// Takes a base URL apart.
    ///
    /// # Errors
    /// A usage error if it is not an `http` or `https` URL with a host, or the certificates to
    /// trust cannot be read.
    pub fn new(url: &Url, roots: &TrustedRoots) -> Result<Self> {
        let place = format!("base URL {}", without_secrets(url));
        let hint = "write http://host:port or https://host:port";
        let (default_port, secure) = match url.scheme() {
            "http" => (80, false),
            "https" => (443, true),
            _ => {
                return Err(Error::usage(format!("{place}: only http and https are spoken"), hint));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            let what = format!("{place}: a user or password in it would not be sent");
            return Err(Error::usage(what, "put an Authorization header into the scenario"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(Error::usage(format!("{place}: it names no host"), hint)),
        };
        let port = url.port().unwrap_or(default_port);
        let shown = url.host_str().unwrap_or(&host);
        let host_header = match port == default_port {
            true => shown.to_owned(),
            false => format!("{shown}:{port}"),
        };
        Ok(Self {
            tls: if secure { Some(roots.connector(&host)?) } else { None },
            base_path: url.path().trim_end_matches('/').to_owned(),
            host_header: host_header.parse().or_usage(&place, hint)?,
            host,
            port,
        })
    }

    /// Scheme, host and port, for messages.
    pub fn authority(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host_header.to_str().unwrap_or(&self.host))
    }
}

impl PartialEq for Endpoint {
    /// Whether one connection serves both.
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
            && self.port == other.port
            && self.tls.is_some() == other.tls.is_some()
    }
}

/// A text that may be a URL, without what may be a secret in it: user, password, query.
pub fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // A password that nobody has encoded may hold what looks like the beginning of a query.
    let (user, place) = match rest.rsplit_once('@') {
        Some((_, place)) => ("…@", place),
        None => ("", rest),
    };
    match place.split_once(['?', '#']) {
        Some((place, _)) => format!("{scheme}://{user}{place}?…"),
        None => format!("{scheme}://{user}{place}"),
    }
}

/// The URL without user name, password and query, to be shown and kept.
pub fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that can hold no user name or password anyway.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Result<Endpoint> {
        Endpoint::new(&url.parse().expect("a URL"), &TrustedRoots::default())
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (text, seen) in [
            ("http://127.0.0.1:1/path", "http://127.0.0.1:1/path"),
            ("http://u:sekret@[::1/", "http://…@[::1/"),
            ("http://u:sekret@h:1/?token=sekret", "http://…@h:1/?…"),
            ("http://h/#sekret", "http://h/?…"),
            ("postgres://me@h/db?p%61ssword=sekret&password=sekret", "postgres://…@h/db?…"),
            ("postgres://me:sek?ret@h/db", "postgres://…@h/db"),
            ("postgres://h/db?x=sekret@y", "postgres://…@y"),
            ("no URL", "no URL"),
        ] {
            assert_eq!(shown(text), seen);
        }
        let url = "http://u:sekret@h:1/p?token=sekret#sekret".parse().expect("a URL");
        assert_eq!(without_secrets(&url), "http://h:1/p");
    }

    #[test]
    fn addresses_names_ports_and_paths_are_taken_apart() {
        let of = |url| {
            let endpoint = endpoint(url).expect("an endpoint");
            let header = endpoint.host_header.to_str().expect("text").to_owned();
            (endpoint.host, endpoint.port, header, endpoint.base_path)
        };
        let parts = |host: &str, port, header: &str, path: &str| {
            (host.to_owned(), port, header.to_owned(), path.to_owned())
        };
        assert_eq!(of("http://api.test/v1/"), parts("api.test", 80, "api.test", "/v1"));
        assert_eq!(of("http://[::1]:4000"), parts("::1", 4000, "[::1]:4000", ""));
        assert_eq!(of("http://10.0.0.1:81/"), parts("10.0.0.1", 81, "10.0.0.1:81", ""));
        assert_eq!(of("https://api.test"), parts("api.test", 443, "api.test", ""));
    }

    #[test]
    fn what_cannot_be_spoken_to_is_refused_without_showing_a_password() {
        for url in ["ftp://host", "http://user:hunter2@host", "data:text"] {
            let error = endpoint(url).expect_err(url).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
