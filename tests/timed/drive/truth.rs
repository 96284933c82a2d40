//! Reported latencies against what the schedule says they must be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use cutover::evidence::drive::Side;

use crate::drive::harness::{Load, serve};

/// How far p95, p99 and the longest are off what the schedule says, in both modes, as shares of it.
async fn off_schedule() -> Vec<(Side, &'static str, f64)> {
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
    let mut off = Vec::new();
    for mode in Side::BOTH {
        let latency = &evidence.overall[&mode];
        assert_eq!((latency.requests, latency.errors), (2000, 0));
        off.extend([
            (mode, "p95", latency.response_us.p95 as f64 / 500_000.0 - 1.0),
            (mode, "p99", latency.response_us.p99 as f64 / 900_000.0 - 1.0),
            (mode, "max", latency.response_us.max as f64 / 1_000_000.0 - 1.0),
        ]);
    }
    off
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_felt_by_every_request_that_was_due_in_it() {
    // Nothing may be left out, ever; what other work on the machine adds is not in each of three.
    let mut seen = Vec::new();
    while !seen.last().is_some_and(|off: &Vec<_>| off.iter().all(|(_, _, off)| *off < 0.02)) {
        assert!(seen.len() < 3, "off by: {seen:?}");
        let off = off_schedule().await;
        assert!(off.iter().all(|(_, _, off)| *off > -0.02), "off by: {off:?}");
        seen.push(off);
    }
}

/// Times of a client that does nothing but ask, one request after the other, until it is told to stop.
fn ask_plainly(address: &str, stop: &AtomicBool) -> Vec<u64> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let mut took_us = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let mut part = [0; 1024];
            let read = stream.read(&mut part).expect("an answer");
            answer.extend_from_slice(&part[..read]);
        }
        took_us.push(begin.elapsed().as_micros() as u64);
        std::thread::sleep(Duration::from_millis(10));
    }
    took_us
}

fn median(mut of: Vec<u64>) -> i64 {
    of.sort_unstable();
    of[of.len() / 2] as i64
}

/// What a load of one mode adds to the median of what the server itself took, and what a plain client at the same
/// time has to add, by the state of the machine.
async fn added_us(mode: Side) -> (i64, i64) {
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
    let (address, stop) = (url.replace("http://", ""), Arc::new(AtomicBool::new(false)));
    let plain = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || ask_plainly(&address, &stop))
    };
    let mut load = Load::new(100.0, 2000);
    load.plan.modes = vec![mode];
    let evidence = load.evidence(&url).await;
    stop.store(true, Ordering::Relaxed);
    let plain_us = median(plain.join().expect("it asks"));
    let own_us = median(took_us.lock().expect("not poisoned").clone());
    assert_eq!(evidence.overall[&mode].requests, 200);
    (evidence.overall[&mode].response_us.p50 as i64 - own_us, plain_us - own_us)
}

#[tokio::test(flavor = "multi_thread")]
async fn little_is_added_to_what_the_server_itself_took() {
    for mode in Side::BOTH {
        // Other work on the machine comes and goes; what the load adds is in each of them.
        let mut seen_us = Vec::new();
        while !seen_us.iter().any(|(ours, plain)| *ours < plain + 500) {
            assert!(
                seen_us.len() < 5,
                "{mode:?}: µs that are added, and by a plain client: {seen_us:?}"
            );
            seen_us.push(added_us(mode).await);
        }
        assert!(
            seen_us.iter().all(|(ours, _)| *ours > -100),
            "{mode:?}: {seen_us:?} µs, less than it took"
        );
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
