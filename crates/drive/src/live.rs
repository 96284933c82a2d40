//! What can be seen while the load runs: a status line once a second, and Prometheus.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::latency::Latency;
use super::tally::Tally;
use cutover_error::{Context, Result};
use cutover_evidence::drive::Side;
use cutover_ground::act::{ActContext, Event};

/// Bounds of the published histogram, microseconds: a factor of about 2.2 each, 100 µs to 30 s.
const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells how far the load has come, once a second: rate, p95 of each mode, failures.
pub(super) async fn tell(tally: Arc<Mutex<Tally>>, context: ActContext, stop: CancellationToken) {
    let mut told = 0;
    loop {
        let (done, status) = {
            let tally = lock(&tally);
            let mut status = format!("{} req/s", tally.done - told);
            for mode in Side::BOTH {
                let mut sum = Latency::default();
                tally.live().filter(|(_, of, _)| *of == mode).for_each(|(.., l)| sum.add(l));
                if !sum.response().is_empty() {
                    let p95_ms = sum.response().value_at_quantile(0.95) as f64 / 1000.0;
                    let _ = write!(status, ", p95 {} {p95_ms:.1} ms", mode.as_str());
                }
            }
            let _ = write!(status, ", {} failed", tally.failed);
            (tally.done, status)
        };
        context.emit(Event::Advanced(done - told));
        context.emit(Event::Status(status));
        told = done;
        if stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Answers Prometheus.
pub(super) struct Listener {
    listener: TcpListener,
}

impl Listener {
    /// Claims the address before anything is driven.
    ///
    /// # Errors
    /// A usage error if it is taken or not ours.
    pub(super) fn bind(address: SocketAddr) -> Result<Self> {
        let place = format!("--metrics-listen {address}");
        let listener = TcpListener::bind(address).or_usage(&place, "give a free ADDRESS:PORT")?;
        listener.set_nonblocking(true).or_run(&place, "")?;
        Ok(Self { listener })
    }

    /// Answers every request with the metrics, one after the other, until `stop`.
    pub(super) async fn serve(self, tally: Arc<Mutex<Tally>>, stop: CancellationToken) {
        let Ok(listener) = tokio::net::TcpListener::from_std(self.listener) else { return };
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((mut stream, _)) = accepted else { continue };
            let answer = async {
                // The question does not matter: there is one answer.
                let mut question = [0; 4096];
                let _ = stream.read(&mut question).await;
                let body = metrics(&lock(&tally));
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all((head + &body).as_bytes()).await;
                let _ = stream.shutdown().await;
            };
            // Whoever connects and says nothing must not keep the next one waiting.
            let _ = tokio::time::timeout(Duration::from_secs(2), answer).await;
        }
    }
}

/// The measured requests as Prometheus text.
fn metrics(tally: &Tally) -> String {
    let mut text = String::from(
        "# HELP cutover_response_seconds Response time from the moment a request was due; \
         failed requests count as 60 s.\n\
         # TYPE cutover_response_seconds histogram\n",
    );
    let mut errors = String::from(
        "# HELP cutover_errors_total Failed requests.\n# TYPE cutover_errors_total counter\n",
    );
    for (operation, mode, latency) in tally.live() {
        let escaped = operation.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels = format!("mode=\"{}\",operation=\"{escaped}\"", mode.as_str());
        let response = latency.response();
        for bound_us in BOUNDS_US {
            let (le, count) = (bound_us as f64 / 1e6, response.count_between(0, bound_us));
            let _ =
                writeln!(text, "cutover_response_seconds_bucket{{{labels},le=\"{le}\"}} {count}");
        }
        let count = response.len();
        let sum_s = response.mean() * count as f64 / 1e6;
        let _ = writeln!(text, "cutover_response_seconds_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "cutover_response_seconds_sum{{{labels}}} {sum_s}");
        let _ = writeln!(text, "cutover_response_seconds_count{{{labels}}} {count}");
        let _ = writeln!(errors, "cutover_errors_total{{{labels}}} {}", latency.errors());
    }
    let _ = writeln!(
        errors,
        "# HELP cutover_requests_done_total Arrivals dealt with, warm-up included.\n\
         # TYPE cutover_requests_done_total counter\n\
         cutover_requests_done_total {}",
        tally.done
    );
    text + &errors
}
