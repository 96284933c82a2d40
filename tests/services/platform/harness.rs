//! A platform in this process, and a client that speaks HTTP to it.

use std::net::SocketAddr;
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
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::TestDatabase;

/// A platform that runs until this value is dropped.
pub struct Platform {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub served: JoinHandle<cutover::platform::Result<()>>,
}

/// Usual options of a test: the mode header on, nothing else.
pub fn options(database_url: &str) -> Options {
    Options {
        database_url: database_url.into(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        redis_url: None,
        replica_url: None,
        pooler_url: None,
        replica_pooler_url: None,
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
    /// Null if the body is empty.
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

/// Looks again until it holds; panics if it does not within ten seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < end, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
