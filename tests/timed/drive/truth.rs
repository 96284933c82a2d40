//! Reported latencies against what the schedule says they must be.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use cutover::evidence::drive::Side;

use crate::drive::harness::{Load, serve};

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_felt_by_every_request_that_was_due_in_it() {
    // Frozen for the first second of every ten. Of 2000 evenly spaced arrivals a tenth meets the
    // freeze and waits between 0 and 1000 ms: p95 is 500 ms, p99 900 ms, the longest 1000 ms.
    const PERIOD_MS: u128 = 10_000;
    const FREEZE_MS: u128 = 1000;
    let start = Instant::now();
    let handler = move || async move {
        let into_period = start.elapsed().as_micros() % (PERIOD_MS * 1000);
        if let Some(left) = (FREEZE_MS * 1000).checked_sub(into_period) {
            tokio::time::sleep(Duration::from_micros(left as u64)).await;
        }
        "ok"
    };
    let url = serve(Router::new().route("/", get(handler))).await;
    let evidence = Load::new(200.0, PERIOD_MS as u64).evidence(&url).await;
    for mode in Side::BOTH {
        let latency = &evidence.overall[&mode];
        assert_eq!((latency.requests, latency.errors), (2000, 0));
        for (what, measured, expected_us) in [
            ("p95", latency.response_us.p95, 500_000.0),
            ("p99", latency.response_us.p99, 900_000.0),
            ("max", latency.response_us.max, 1_000_000.0),
        ] {
            let off = measured as f64 / expected_us - 1.0;
            assert!(off.abs() < 0.02, "{mode:?} {what}: {measured} µs, off by {off:.3}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn little_is_added_to_what_the_server_itself_took() {
    let took_us = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&took_us);
    let handler = move || {
        let note = Arc::clone(&note);
        async move {
            let begin = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            note.lock().expect("not poisoned").push(begin.elapsed().as_micros() as u64);
            "ok"
        }
    };
    let url = serve(Router::new().route("/", get(handler))).await;
    let evidence = Load::new(100.0, 3000).evidence(&url).await;
    let mut took_us = took_us.lock().expect("not poisoned").clone();
    took_us.sort_unstable();
    let own_us = took_us[took_us.len() / 2];
    for mode in Side::BOTH {
        let p50_us = evidence.overall[&mode].response_us.p50;
        let added_us = p50_us as i64 - own_us as i64;
        assert!((0..500).contains(&added_us), "{mode:?}: {p50_us} µs, the server {own_us} µs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_on_disk_tell_the_same_as_the_record() {
    let url = serve(Router::new().route("/", get(async || "ok"))).await;
    let load = Load::new(100.0, 1000);
    let evidence = load.evidence(&url).await;
    let binary = std::fs::read(load.out.path().join("samples.bin")).expect("samples");
    let line_end = binary.iter().position(|byte| *byte == b'\n').expect("a first line");
    let head: serde_json::Value = serde_json::from_slice(&binary[..line_end]).expect("JSON");
    let size = head["record_bytes"].as_u64().expect("a size") as usize;
    let records = &binary[line_end + 1..];
    assert_eq!(records.len(), 200 * size);
    let mut longest_us = 0;
    for record in records.chunks_exact(size) {
        let word = |at: usize| {
            u64::from(u32::from_le_bytes(record[at..at + 4].try_into().expect("four bytes")))
        };
        longest_us = longest_us.max(word(24) + word(28));
        // A request with its head is some tens of bytes, an answer at least as long.
        assert!(word(32) > 30 && word(36) > 30, "{} out, {} in", word(32), word(36));
    }
    let text = std::fs::read_to_string(load.out.path().join("samples.csv")).expect("samples");
    assert_eq!(text.lines().count(), 201);
    assert!(text.lines().skip(1).all(|line| line.contains(",ok,")), "{text}");
    let reported_us = Side::BOTH.map(|mode| evidence.overall[&mode].response_us.max);
    let reported_us = reported_us.into_iter().max().expect("two modes") as f64;
    assert!((reported_us / longest_us as f64 - 1.0).abs() < 0.002, "{reported_us}, {longest_us}");
    assert!(load.out.path().join("latency/legacy.hlog").exists());
    assert!(evidence.timeline.iter().map(|second| second.requests).sum::<u64>() == 200);
}
