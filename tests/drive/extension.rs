//! More pairs where those planned do not decide, and not one more where they do.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use cutover::drive::Extension;
use cutover::evidence::drive::{DriveEvidence, Look};

use crate::harness::{Load, serve};

/// Two pairs of windows of half a second, twice one more, judged by `undecided`.
fn load(undecided: fn(u32) -> Option<bool>, seen: &Arc<Mutex<Vec<u32>>>) -> Load {
    let mut load = Load::new(100.0, 500);
    load.plan.pairs = 2;
    load.plan.extensions = 2;
    load.plan.extension_pairs = 1;
    let seen = Arc::clone(seen);
    let judge = move |so_far: &DriveEvidence| {
        // Every window of the pairs so far is there, and none of the next.
        let pairs = so_far.windows.len() as u32 / 2;
        seen.lock().expect("no panic while held").push(pairs);
        let undecided = undecided(pairs)?;
        Some(Look { pairs, undecided, confidence: 0.97, ..Look::default() })
    };
    load.extension = Some(Extension { at_most: 2, attempt: 0, judge: Arc::new(judge) });
    load
}

async fn drive(undecided: fn(u32) -> Option<bool>) -> (DriveEvidence, Vec<u32>) {
    let url = serve(Router::new().route("/", get(|| async { "ok" }))).await;
    let seen = Arc::default();
    let evidence = load(undecided, &seen).run(&url).await.expect("it runs");
    let seen = seen.lock().expect("no panic while held").clone();
    (evidence, seen)
}

/// Whole pairs, requests in measured windows, whether the plan was drained.
fn shape(evidence: &DriveEvidence) -> (usize, u64, bool) {
    (evidence.windows.len() / 2, evidence.requests, evidence.complete)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_decided_ends_at_its_first_look() {
    let (evidence, seen) = drive(|_| Some(false)).await;
    assert_eq!((shape(&evidence), seen), ((2, 200, true), vec![2]));
    assert_eq!(evidence.looks_planned, 3);
    assert!(!evidence.looks[0].undecided, "{:?}", evidence.looks);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecided_load_goes_on_and_at_most_twice() {
    let (evidence, seen) = drive(|pairs| Some(pairs < 3)).await;
    assert_eq!((shape(&evidence), seen), ((3, 300, true), vec![2, 3]));
    let (evidence, seen) = drive(|_| Some(true)).await;
    assert_eq!((shape(&evidence), seen), ((4, 400, true), vec![2, 3]));
    assert_eq!(evidence.looks.len(), 2);
    assert_eq!((evidence.skipped, evidence.lost_workers), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_more_pairs_would_not_help_none_are_driven() {
    let (evidence, seen) = drive(|_| None).await;
    assert_eq!((shape(&evidence), seen), ((2, 200, true), vec![2]));
    assert!(evidence.looks.is_empty());
}
