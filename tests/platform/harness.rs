//! A platform in this process, a client that speaks HTTP to it, a Redis and a wire to cut.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::{NaiveDate, Utc};
pub use cutover::platform::Options;
use cutover::platform::{self, Flags, Misbehaviour};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::TestDatabase;

/// A platform that runs until this value is dropped.
pub struct Platform {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub served: JoinHandle<cutover::error::Result<()>>,
}

/// Usual options of a test: the mode header on, nothing else.
pub fn options(database_url: &str) -> Options {
    Options {
        database_url: database_url.into(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        redis_url: None,
        replica_url: None,
        mode_header: true,
        flags: Flags::default(),
        misbehave: Vec::new(),
    }
}

/// Migrates the database and starts a platform on it.
pub async fn start(database: &TestDatabase, misbehave: &[&str]) -> Platform {
    let mut options = options(&database.url);
    options.misbehave = misbehave
        .iter()
        .map(|text| text.parse::<Misbehaviour>().expect("a known misbehaviour"))
        .collect();
    migrate(database).await;
    serve(options).await
}

pub async fn migrate(database: &TestDatabase) {
    platform::migrate(&database.url, today()).await.expect("the migrations apply");
}

pub async fn serve(options: Options) -> Platform {
    let stop = CancellationToken::new();
    let (ready, listening) = oneshot::channel();
    let token = stop.clone();
    let served = tokio::spawn(async move {
        platform::serve(options, |address| ready.send(address).expect("we wait for it"), token)
            .await
    });
    let address = listening.await.expect("the platform starts");
    Platform { address, stop, served }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer as a client sees it.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub routed_to: Option<String>,
    pub cache: Option<String>,
    /// Null where the body is empty.
    pub body: Value,
    pub took: Duration,
}

impl Platform {
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None, &[]).await
    }

    /// A read routed to one side by header.
    pub async fn get_from(&self, side: &str, path: &str) -> Reply {
        self.send("GET", path, None, &[("x-cutover-mode", side)]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, Some(body), &[]).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send("PATCH", path, Some(body), &[]).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, Some(body), &[]).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None, &[]).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        Client::connect(self.address).await.send(method, path, body, headers).await
    }

    /// Writes a revenue of org 1 today and gives its row back.
    pub async fn new_revenue(&self, amount: &str) -> Value {
        let reply = self.post("/finance/revenue", json!({ "orgId": 1, "amount": amount })).await;
        assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
        reply.body
    }

    /// A figure of the monitoring endpoints.
    pub async fn figure(&self, path: &str, pointer: &str) -> Value {
        let reply = self.get(path).await;
        reply.body.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {reply:?}")).clone()
    }
}

/// One connection that stays open.
pub struct Client(hyper::client::conn::http1::SendRequest<Body>);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the platform listens");
        stream.set_nodelay(true).expect("a live socket");
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "platform");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |value| Body::from(value.to_string()));
        let request = request.body(body).expect("a well-formed request");
        self.0.ready().await.expect("the connection stays open");
        let started = Instant::now();
        let response = self.0.send_request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("the whole answer").to_bytes();
        let took = started.elapsed();
        let header = |name| {
            head.headers.get(name).map(|value| value.to_str().expect("plain text").to_owned())
        };
        Reply {
            status: head.status,
            routed_to: header("x-routed-to"),
            cache: header("x-cache"),
            body: if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).expect("JSON")
            },
            took,
        }
    }
}

pub fn today() -> NaiveDate {
    Utc::now().date_naive()
}

/// Asks the database itself.
pub async fn count(database: &TestDatabase, statement: &'static str) -> i64 {
    let mut connection = PgConnection::connect(&database.url).await.expect("the database answers");
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.expect("the statement runs")
}

pub async fn execute(database: &TestDatabase, statement: &'static str) {
    let mut connection = PgConnection::connect(&database.url).await.expect("the database answers");
    sqlx::raw_sql(statement).execute(&mut connection).await.expect("the statement runs");
}

/// Looks again until it holds; panics where it does not within ten seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A Redis of our own, killed when dropped.
pub struct Redis {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    /// `None` where there is no redis-server on the path.
    pub fn start() -> Option<Self> {
        Self::start_on(free_port())
    }

    pub fn start_on(port: u16) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn();
        match spawned {
            Ok(process) => Some(Self { process, port, _dir: dir }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no redis-server on PATH");
                None
            }
            Err(error) => panic!("redis-server: {error}"),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may be dead already, by a test's wish.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A wire to a server that can be cut (connections break and are refused) or frozen (nothing comes
/// through any more).
pub struct Wire {
    pub port: u16,
    cut: Arc<AtomicBool>,
    frozen: Arc<AtomicBool>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (cut, frozen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_cut, is_frozen) = (cut.clone(), frozen.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if !is_cut.load(Ordering::SeqCst) {
                    tokio::spawn(forward(near, target, is_cut.clone(), is_frozen.clone()));
                }
            }
        });
        Self { port, cut, frozen }
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
    }
}

async fn forward(
    near: TcpStream,
    target: SocketAddr,
    cut: Arc<AtomicBool>,
    frozen: Arc<AtomicBool>,
) {
    let far = TcpStream::connect(target).await.expect("the server listens");
    let mut buffer = vec![0; 64 << 10];
    while !cut.load(Ordering::SeqCst) {
        if !frozen.load(Ordering::SeqCst) {
            for (from, to) in [(&near, &far), (&far, &near)] {
                match from.try_read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => write_all(to, &buffer[..read]).await,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        to.writable().await.expect("a live socket");
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
