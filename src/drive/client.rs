//! One HTTP/1.1 connection, kept alive, with every way to fail told apart.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::recorder::Outcome;
use crate::routing::Endpoint;

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A connection to one endpoint; opened when first used and again after a failure.
pub(super) struct Client {
    endpoint: Endpoint,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, timeout: Duration) -> Self {
        Self { endpoint, timeout, sender: None }
    }

    /// Sends a request and reads the whole answer, within the timeout. After a failure the
    /// connection is given up, because nobody knows what is still on its way.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Outcome> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        let answer = answer.unwrap_or(Err(Outcome::Timeout));
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Outcome> {
        // A server may close an idle connection at any time; that is seen here, before anything is
        // sent, so that it costs a new connection and not a failed request.
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(connect(&self.endpoint).await?);
        }
        let sender = self.sender.as_mut().expect("just connected");
        let answer = sender.send_request(request).await.map_err(|e| classify(&e))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|e| classify(&e))?.to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

async fn connect(endpoint: &Endpoint) -> Result<SendRequest<Full<Bytes>>, Outcome> {
    let addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|_| Outcome::Dns)?
        .collect::<Vec<_>>();
    let stream =
        TcpStream::connect(addresses.as_slice()).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => Outcome::Refused,
            std::io::ErrorKind::TimedOut => Outcome::Timeout,
            _ => Outcome::Reset,
        })?;
    // Small requests must leave at once.
    stream.set_nodelay(true).map_err(|_| Outcome::Reset)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| classify(&e))?;
    // Ends by itself when either side closes; its errors reach us through the sender.
    tokio::spawn(connection);
    Ok(sender)
}

fn classify(error: &hyper::Error) -> Outcome {
    if error.is_timeout() {
        Outcome::Timeout
    } else if error.is_incomplete_message() {
        Outcome::Truncated
    } else if error.is_parse() {
        Outcome::Protocol
    } else {
        Outcome::Reset
    }
}
