//! Every way to fail is a kind of its own, never a hang, never a fast success.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use cutover::evidence::drive::DriveEvidence;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::drive::harness::{Load, ONE_GET, beside, nobody, raw_server, serve, serve_on};

/// Requests of [`drive`].
const REQUESTS: u64 = 100;

async fn drive(url: &str) -> DriveEvidence {
    let timeout = Duration::from_millis(400);
    Load { timeout, connections: 64, ..Load::new(50.0, 1000) }.evidence(url).await
}

/// Expects that all requests failed in this way, and that nothing about it looks quick.
fn assert_all_failed(evidence: &DriveEvidence, kind: &str) {
    assert!(evidence.complete);
    assert_eq!(evidence.errors_by_kind, [(kind.to_owned(), REQUESTS)].into());
    assert_eq!((evidence.requests, evidence.errors), (REQUESTS, REQUESTS));
    for (mode, latency) in &evidence.overall {
        assert!(latency.response_us.p50 >= 59_000_000, "{mode:?}: {:?}", latency.response_us);
    }
    assert_eq!(evidence.windows.len(), 2);
    assert!(evidence.windows.iter().all(|window| window.all.p95_us.is_none()));
}

async fn read_request(stream: &mut TcpStream) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request).await;
}

/// A server that answers each request with these bytes and hangs up.
async fn answers(bytes: &'static str) -> String {
    let address = raw_server(move |mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
    })
    .await;
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() {
    assert_all_failed(&drive(&format!("http://{}", nobody())).await, "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_reset() {
    let address = raw_server(|mut stream| async move {
        read_request(&mut stream).await;
        // Closing with nothing to wait for sends a reset.
        stream.set_zero_linger().expect("a socket");
    })
    .await;
    assert_all_failed(&drive(&format!("http://{address}")).await, "reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_takes_longer_than_the_timeout() {
    let handler = async || tokio::time::sleep(Duration::from_secs(20)).await;
    let url = serve(Router::new().route("/", get(handler))).await;
    assert_all_failed(&drive(&url).await, "timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_half_a_head_and_half_a_body() {
    for (bytes, kind) in [
        ("", "closed"),
        ("HTTP/1.1 200 OK\r\ncontent-le", "closed"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it", "truncated"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "truncated"),
    ] {
        assert_all_failed(&drive(&answers(bytes).await).await, kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_not_http_or_not_the_json_it_says() {
    let url = answers("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n").await;
    assert_all_failed(&drive(&url).await, "protocol");
    let handler = async || ([("content-type", "application/json; charset=utf-8")], "{\"items\": [");
    let url = serve(Router::new().route("/", get(handler))).await;
    assert_all_failed(&drive(&url).await, "bad_body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_request_is_counted_and_not_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let handler = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        async { (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "later") }
    };
    let evidence = drive(&serve(Router::new().route("/", get(handler))).await).await;
    assert_all_failed(&evidence, "http_429");
    assert_eq!(
        (evidence.throttled.answers, evidence.throttled.longest_retry_after_s),
        (REQUESTS, 7)
    );
    assert_eq!(asked.load(Ordering::SeqCst) as u64, REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_of_server_errors_are_counted_by_status() {
    let asked = Arc::new(AtomicUsize::new(0));
    let handler = move || {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            match number % 10 {
                0..3 => StatusCode::SERVICE_UNAVAILABLE,
                3 => StatusCode::BAD_GATEWAY,
                _ => StatusCode::OK,
            }
        }
    };
    let evidence = drive(&serve(Router::new().route("/", get(handler))).await).await;
    let expected = [("http_502".to_owned(), 10), ("http_503".to_owned(), 30)];
    assert_eq!(evidence.errors_by_kind, expected.into());
    // 40 % failed: p95 is infinite, whatever the others took.
    assert!(evidence.windows.iter().all(|window| window.all.p95_us.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_nobodys() {
    let load = Load { timeout: Duration::from_secs(10), ..Load::new(20.0, 1000) };
    let evidence = load.evidence("http://cutover.invalid").await;
    assert_eq!(evidence.errors_by_kind, [("dns".to_owned(), 40)].into());
}

/// A TLS server whose certificate is signed by `tls/ca.pem`, for `localhost`.
async fn tls_server() -> u16 {
    let certificate = CertificateDer::from_pem_file(beside("tls/server.pem")).expect("a PEM");
    let key = PrivateKeyDer::from_pem_file(beside("tls/server.key")).expect("a PEM");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = raw_server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    address.port()
}

#[tokio::test(flavor = "multi_thread")]
async fn https_wants_an_issuer_that_is_known() {
    let port = tls_server().await;
    let url = format!("https://localhost:{port}");
    assert_all_failed(&drive(&url).await, "tls");
    let mut load = Load { connections: 16, ..Load::new(50.0, 1000) };
    load.config.tls.ca_file = Some(beside("tls/ca.pem"));
    let evidence = load.evidence(&url).await;
    assert_eq!(
        (evidence.requests, evidence.errors),
        (REQUESTS, 0),
        "{:?}",
        evidence.errors_by_kind
    );
    // The issuer is known now, but the certificate is another host's.
    let url = format!("https://127.0.0.1:{port}");
    assert_all_failed(&load.evidence(&url).await, "tls");
    load.config.tls.ca_file = Some(beside("main.rs"));
    let error = load.run(&url).await.expect_err("no certificate in there").to_string();
    assert!(error.contains("ca_file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_towards_a_plain_server() {
    let url = serve(Router::new().route("/", get(async || "ok"))).await;
    assert_all_failed(&drive(&url.replace("http://", "https://")).await, "tls");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_several_addresses_and_ipv6_literals() {
    let router = || Router::new().route("/", get(async || "ok"));
    let six = serve_on("[::1]:0", router()).await;
    assert!(six.starts_with("http://[::1]:"));
    assert_eq!(drive(&six).await.errors_by_kind, [].into());
    // Only one of the addresses of `localhost` has somebody behind it.
    let four = serve(router()).await.replace("127.0.0.1", "localhost");
    assert_eq!(drive(&four).await.errors_by_kind, [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_cannot_be_written_down_ends_at_once() {
    let url = serve(Router::new().route("/", get(async || "ok"))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("one.toml"), ONE_GET).expect("our own folder");
    std::fs::write(path("cutover.toml"), "[routing]\nkind = \"none\"\n").expect("our own folder");
    // No file may grow beyond 32 KiB: as a full disk, the system refuses to write.
    let script = "ulimit -f 64; trap '' XFSZ; exec \"$@\"";
    let output = assert_cmd::Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_cutover"), "drive", "--base-url", &url])
        .args(["--duration", "2h", "--rate", "1000", "--connections", "8"])
        .args(["--scenario", &path("one.toml"), "--config", &path("cutover.toml")])
        .args(["--out", &path("run")])
        .timeout(Duration::from_secs(100))
        .output()
        .expect("cutover ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write") && said.contains("samples.bin"), "{said}");
    // Nothing that could be taken for a whole run.
    let gate = crate::support::cutover().arg("gate").arg(path("run")).output().expect("it runs");
    assert_eq!(gate.status.code(), Some(30), "{}", String::from_utf8_lossy(&gate.stdout));
    assert!(!folder.path().join("run/samples.bin").exists());
}
