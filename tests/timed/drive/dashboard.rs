//! Goose's own page: live while the load runs, in the way of nothing when it ends.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use cutover::evidence::drive::Side;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::drive::harness::{Load, nobody, serve};

/// Asks the page for something and reads until `enough` holds of what came.
async fn ask(
    address: std::net::SocketAddr,
    path: &str,
    enough: impl Fn(&str) -> bool,
) -> Option<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while !enough(&String::from_utf8_lossy(&answer)) {
        let mut part = [0; 16 * 1024];
        match stream.read(&mut part).await.ok()? {
            0 => return None,
            read => answer.extend(&part[..read]),
        }
    }
    Some((stream, String::from_utf8_lossy(&answer).into_owned()))
}

/// Every third answer is none.
async fn server() -> String {
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let answer = async move || match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 {
        2 => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "no"),
        _ => (axum::http::StatusCode::OK, "ok"),
    };
    serve(Router::new().route("/", get(answer))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn goose_shows_the_load_and_agrees_with_us() {
    let address = nobody();
    let load = Load { dashboard: Some(address), connections: 16, ..Load::new(100.0, 3000) };
    let url = server().await;
    // Somebody looks, and leaves the page open: the load must end all the same.
    let looking = tokio::spawn(async move {
        loop {
            let shown = |text: &str| text.contains("legacy") && text.contains("get");
            if let Some((stream, events)) = ask(address, "/api/v1/events", shown).await {
                return (stream, events);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let evidence = load.evidence(&url).await;
    let (_open, events) = looking.await.expect("the page shows the load while it runs");
    assert!(events.contains("event:"), "{events}");
    assert!(evidence.complete && evidence.lost_workers == 0);
    let folder = load.out.path().join("goose");
    let page = std::fs::read_to_string(folder.join("report.html")).expect("Goose's own report");
    assert!(page.contains("partitioned"), "{} bytes", page.len());
    let report = std::fs::read(folder.join("report.json")).expect("Goose's own figures");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let rows = report["raw_request_metrics"].as_array().expect("a row a kind of request");
    for mode in Side::BOTH {
        let ours = &evidence.overall[&mode];
        let of = |rows: &[Value]| {
            let row =
                rows.iter().find(|row| row["method"] == mode.as_str() && row["name"] == "get");
            row.cloned().unwrap_or_else(|| panic!("{mode:?}: {rows:?}"))
        };
        let row = of(rows);
        assert_eq!(row["number_of_requests"], ours.requests, "{mode:?}: {row}");
        assert_eq!(row["number_of_failures"], ours.errors, "{mode:?}: {row}");
        assert!(ours.errors > 50, "{mode:?}: {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_goose_keeps_nothing_and_a_taken_address_is_refused() {
    let url = server().await;
    let load = Load { connections: 4, ..Load::new(50.0, 500) };
    load.evidence(&url).await;
    assert!(!load.out.path().join("goose").exists());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let load = Load { dashboard: Some(address), ..Load::new(50.0, 500) };
    let refused = load.run(&url).await.expect_err("the address is taken");
    assert!(matches!(refused, cutover::error::Error::Usage { .. }), "{refused}");
    assert!(refused.to_string().contains(&address.to_string()), "{refused}");
}
