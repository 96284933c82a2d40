//! Single questions to a platform: what checks, drills and watches ask, one at a time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use serde_json::Value;
use url::Url;

use super::client::{Answer, Client};
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::tls::TrustedRoots;
use cutover_error::Result;

/// A platform, by its base URL, on a connection that is kept.
pub struct Site {
    endpoint: Endpoint,
    client: Client,
    timeout: Duration,
    /// When the last answer is to be there.
    end: Option<Instant>,
}

impl Site {
    /// A platform that need not be there yet; each question may take `timeout`.
    ///
    /// # Errors
    /// A usage error if the URL cannot be spoken to.
    pub fn new(base_url: &Url, roots: &TrustedRoots, timeout: Duration) -> Result<Self> {
        let endpoint = Endpoint::new(base_url, roots)?;
        Ok(Self { client: Client::new(endpoint.clone(), 0, timeout), endpoint, timeout, end: None })
    }

    /// From here on all questions together may take so long; later ones are timeouts at once.
    pub fn limit_to(&mut self, limit: Duration) {
        self.end = Some(Instant::now() + limit);
    }

    /// Whatever was asked before, the next question may take so long.
    pub fn allow(&mut self, limit: Duration) {
        self.end = self.end.map(|end| end.max(Instant::now() + limit));
    }

    /// Whether the time for questions is over.
    pub fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Scheme, host and port, for messages.
    pub fn authority(&self) -> String {
        self.endpoint.authority()
    }

    /// Asks once; an empty `body` is none, any other is JSON.
    ///
    /// # Errors
    /// If there is no complete answer. A path that is no path counts as a failure of our own.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, Failure> {
        let body = body.into();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint.base_path))
            .header(HOST, self.endpoint.host_header.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|_| Failure::Local)?;
        let Some(end) = self.end else { return self.client.send(request).await };
        if self.is_over() {
            return Err(Failure::Timeout);
        }
        let sent = tokio::time::timeout_at(end.into(), self.client.send(request)).await;
        sent.unwrap_or_else(|_| {
            // Its answer may still come, and must not be taken for the next one.
            self.client = Client::new(self.endpoint.clone(), 0, self.timeout);
            Err(Failure::Timeout)
        })
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// In words: no answer, another status than 200, or no JSON.
    pub async fn json(&mut self, path: &str) -> Result<Value, String> {
        let answer = self.send(Method::GET, path, "", &[]).await;
        let answer = answer.map_err(|failure| failure.name().to_owned())?;
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|_| "not_json".to_owned()),
            status => Err(format!("http_{status}")),
        }
    }
}
