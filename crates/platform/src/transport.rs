//! What a request costs outside its handler: measured, because a slowdown by a share of the whole
//! latency has to know the whole.
//!
//! Only while `slow-partitioned` is asked for. A handler sees its own time; reading and writing
//! HTTP, and waiting for a processor that others use too, it does not. So we ask ourselves for
//! nothing every now and then, and take the median of the newest answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::request::App;

/// How often we ask, and how many answers the median is taken of.
const ASK_EVERY: Duration = Duration::from_millis(20);
const ANSWERS: usize = 25;

/// Measures until `stop`; returns when the first figure is there, if one is wanted.
pub(super) async fn start(app: Arc<App>, stop: CancellationToken) {
    if app.injector.wants_transport() {
        let mut times = Vec::new();
        if let Ok(mut stream) = connect(app.address).await {
            for _ in 0..ANSWERS {
                times.extend(ask_for_nothing(&mut stream).await);
            }
        }
        tell(&app, &times);
    }
    tokio::spawn(async move {
        stop.run_until_cancelled(keep_measuring(&app)).await;
    });
}

async fn keep_measuring(app: &App) {
    let mut newest = std::collections::VecDeque::new();
    let mut stream: Option<TcpStream> = None;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        if !app.injector.wants_transport() {
            stream = None;
            continue;
        }
        if stream.is_none() {
            stream = connect(app.address).await.ok();
        }
        match &mut stream {
            Some(connected) => match ask_for_nothing(connected).await {
                Ok(time) => newest.push_back(time),
                Err(_) => stream = None,
            },
            None => continue,
        }
        if newest.len() > ANSWERS {
            newest.pop_front();
        }
        tell(app, newest.make_contiguous());
    }
}

fn tell(app: &App, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    if let Some(median) = sorted.get(sorted.len() / 2) {
        app.injector.set_transport(*median);
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn ask_for_nothing(stream: &mut TcpStream) -> std::io::Result<Duration> {
    let started = Instant::now();
    stream.write_all(b"GET /alive HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(started.elapsed())
}
