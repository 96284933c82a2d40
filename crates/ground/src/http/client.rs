//! One HTTP/1.1 connection, kept alive.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;

use super::deadline::Deadline;
use super::endpoint::Endpoint;
use super::failure::Failure;
use super::wire::{Traffic, Wire};

/// A longer body is not read to its end but counts as not HTTP: nobody's finance page is as large,
/// and a stream without end must not fill the memory.
const LARGEST_BODY: usize = 64 << 20;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A connection to one endpoint; opened when first used and again after a failure.
pub struct Client {
    endpoint: Endpoint,
    turn: usize,
    deadline: Deadline,
    link: Option<Link>,
    traffic: Arc<Traffic>,
    resent: u64,
}

/// hyper's two halves. Both are polled by whoever sends, so that a request wakes one task and not
/// three.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
    /// How the connection ended, once it has; from then on it must not be polled.
    ended: Option<Failure>,
    /// When its last answer was there.
    used: Instant,
}

impl Client {
    /// A client that is not connected yet. `turn` picks among the addresses of a host with several.
    pub fn new(endpoint: Endpoint, turn: usize, timeout: Duration) -> Self {
        let deadline = Deadline::new(timeout);
        Self { endpoint, turn, deadline, link: None, traffic: Arc::default(), resent: 0 }
    }

    /// Bytes read and written so far, over all its connections.
    pub fn traffic_bytes(&self) -> (u64, u64) {
        let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.traffic.read), of(&self.traffic.written))
    }

    /// Requests that were sent once more, because the server had ended the idle connection in the moment
    /// it was used again.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Sends a request and reads the whole answer, within the timeout. After a failure the
    /// connection is given up, because nobody knows what is still on its way.
    ///
    /// # Errors
    /// If there is no complete answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let repeatable = request.method().is_idempotent();
        self.send_as(request, repeatable).await
    }

    /// The same, of a request that may be `repeatable` whatever its method: sent twice, it does what it
    /// does once.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_as(
        &mut self,
        request: Request<Full<Bytes>>,
        repeatable: bool,
    ) -> Result<Answer, Failure> {
        let Self { endpoint, turn, deadline, link, traffic, resent } = self;
        let exchanged = async {
            let (open, idle) = connected(link, endpoint, *turn, traffic).await?;
            let may_have_ended = repeatable && idle.is_some_and(|idle| idle >= SHORTEST_KEEP_ALIVE);
            let spare = may_have_ended.then(|| request.clone());
            let read_before = traffic.read.load(Ordering::Relaxed);
            let broken = match open.exchange(request).await {
                Ok(answer) => return Ok(answer),
                Err(broken) => broken,
            };
            let nothing_came = traffic.read.load(Ordering::Relaxed) == read_before;
            let ended = matches!(broken.failure, Failure::Closed | Failure::Reset);
            let again = broken.unsent.or(spare);
            let again = again.filter(|_| idle.is_some() && ended && nothing_came);
            let Some(request) = again else {
                return Err(broken.failure);
            };
            *resent += 1;
            *link = None;
            let (open, _) = connected(link, endpoint, *turn, traffic).await?;
            open.exchange(request).await.map_err(|broken| broken.failure)
        };
        let answer = deadline.limit(exchanged).await.unwrap_or(Err(Failure::Timeout));
        if answer.is_err() {
            self.link = None;
            // The name's next address may be better off.
            self.turn += 1;
        }
        answer
    }
}

/// No server ends a connection sooner for being idle. One that ends although it was just in use has kept
/// an answer back, and that is for whoever asked to know.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_millis(100);

/// An exchange that broke.
struct Broken {
    failure: Failure,
    /// The request, if not a byte of it was sent.
    unsent: Option<Request<Full<Bytes>>>,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { failure, unsent: None }
    }
}

/// The open connection, or a new one. A server may close an idle connection at any time; that is
/// seen here, before anything is sent, so that it costs a new connection and not a failed request. Also
/// how long it was idle, `None` if it is new.
async fn connected<'a>(
    link: &'a mut Option<Link>,
    endpoint: &Endpoint,
    turn: usize,
    traffic: &Arc<Traffic>,
) -> Result<(&'a mut Link, Option<Duration>), Failure> {
    let usable = match link {
        Some(link) => link.is_ready().await,
        None => false,
    };
    if !usable {
        *link = None;
        let wire = Wire::open(endpoint, turn, Arc::clone(traffic)).await?;
        let (sender, connection) =
            handshake(TokioIo::new(wire)).await.map_err(|error| Failure::of_exchange(&error))?;
        let (connection, used) = (Box::pin(connection), Instant::now());
        let mut fresh = Link { sender, connection, ended: None, used };
        if !fresh.is_ready().await {
            return Err(fresh.ended.unwrap_or(Failure::Closed));
        }
        *link = Some(fresh);
    }
    let link = link.as_mut().expect("just connected");
    let idle = usable.then(|| link.used.elapsed());
    Ok((link, idle))
}

impl Link {
    /// Moves bytes as far as they go.
    fn drive(&mut self, context: &mut Context<'_>) {
        if self.ended.is_none()
            && let Poll::Ready(end) = self.connection.as_mut().poll(context)
        {
            self.ended = Some(end.map_or_else(|e| Failure::of_exchange(&e), |()| Failure::Closed));
        }
    }

    /// Whether a request can be sent; false if the other side has closed the connection.
    async fn is_ready(&mut self) -> bool {
        std::future::poll_fn(|context| {
            self.drive(context);
            match self.ended {
                Some(_) => Poll::Ready(false),
                None => self.sender.poll_ready(context).map(|ready| ready.is_ok()),
            }
        })
        .await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, Broken> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let answer = std::future::poll_fn(|context| {
            self.drive(context);
            answer.as_mut().poll(context)
        })
        .await
        .map_err(|mut error| Broken {
            unsent: error.take_message(),
            failure: Failure::of_exchange(error.error()),
        })?;
        let (parts, body) = answer.into_parts();
        let body = self.read(body).await?;
        self.used = Instant::now();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Reads a body to its end. One that arrives in one piece, as most do, is not copied.
    async fn read(&mut self, mut body: Incoming) -> Result<Bytes, Failure> {
        let mut whole = Bytes::new();
        let mut pieces = BytesMut::new();
        while !body.is_end_stream() {
            let frame = std::future::poll_fn(|context| {
                // The first look tells the connection that somebody wants the next piece.
                if let ready @ Poll::Ready(_) = Pin::new(&mut body).poll_frame(context) {
                    return ready;
                }
                self.drive(context);
                Pin::new(&mut body).poll_frame(context)
            })
            .await;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| Failure::of_exchange(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.is_empty() && pieces.is_empty() {
                whole = data;
                continue;
            }
            if pieces.is_empty() {
                pieces.extend_from_slice(&std::mem::take(&mut whole));
            }
            pieces.extend_from_slice(&data);
            if pieces.len() > LARGEST_BODY {
                return Err(Failure::Protocol);
            }
        }
        Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
    }
}
