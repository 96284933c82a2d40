//! A connection's bytes, plain or encrypted, counted on their way.

use std::io::Result;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::failure::Failure;

/// Bytes that went over a connection; TLS's own are not counted.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub read: AtomicU64,
    pub written: AtomicU64,
}

/// An open connection.
pub(super) struct Wire {
    stream: Stream,
    traffic: Arc<Traffic>,
}

enum Stream {
    Plain(TcpStream),
    // Much larger than a plain one.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Opens a connection to the first address that takes one, beginning with another of the
    /// name's addresses for each `turn`, so that many connections spread over all of them.
    pub(super) async fn open(
        endpoint: &Endpoint,
        turn: usize,
        traffic: Arc<Traffic>,
    ) -> std::result::Result<Self, Failure> {
        let host = (endpoint.host.as_str(), endpoint.port);
        let mut addresses: Vec<_> =
            tokio::net::lookup_host(host).await.map_err(|e| Failure::of_lookup(&e))?.collect();
        if addresses.is_empty() {
            return Err(Failure::Dns);
        }
        let first = turn % addresses.len();
        addresses.rotate_left(first);
        let tcp = TcpStream::connect(addresses.as_slice())
            .await
            .map_err(|error| Failure::of_connect(&error))?;
        // Small requests must leave at once.
        tcp.set_nodelay(true).map_err(|_| Failure::Reset)?;
        let stream = match &endpoint.tls {
            None => Stream::Plain(tcp),
            Some(tls) => {
                let handshake = tls.connector.connect(tls.server_name.clone(), tcp);
                Stream::Tls(Box::new(handshake.await.map_err(|_| Failure::Tls)?))
            }
        };
        Ok(Self { stream, traffic })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        })?;
        let read = buffer.filled().len() - before;
        self.traffic.read.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        let written = ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        })?;
        self.traffic.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
