//! A load ends at the first look that decides, and goes on while it does not.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use cutover::drive::Judge;
use cutover::evidence::drive::{DriveEvidence, Look};

use crate::drive::harness::{Load, serve};

/// Four pairs of windows of half a second, looked at after two and three, judged by `undecided`.
fn load(undecided: fn(u32) -> Option<bool>, seen: &Arc<Mutex<Vec<u32>>>) -> Load {
    let mut load = Load::new(100.0, 500);
    load.plan.pairs = 4;
    load.plan.looks = vec![2, 3];
    let seen = Arc::clone(seen);
    let look = move |so_far: &DriveEvidence| {
        // Every window of the pairs so far is there, and none of the next.
        let pairs = so_far.windows.len() as u32 / 2;
        assert_eq!(so_far.looks_at, [2, 3, 4]);
        seen.lock().expect("no panic while held").push(pairs);
        let undecided = undecided(pairs)?;
        Some(Look { pairs, undecided, confidence: 0.97, ..Look::default() })
    };
    load.judge = Some(Judge { attempt: 0, look: Arc::new(look) });
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
    assert_eq!(evidence.looks_at, [2, 3, 4]);
    assert!(!evidence.looks[0].undecided, "{:?}", evidence.looks);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecided_load_goes_on_and_at_most_to_its_end() {
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

#[tokio::test(flavor = "multi_thread")]
async fn short_windows_of_a_pair_are_measured_whole_and_as_one() {
    let url = serve(Router::new().route("/", get(|| async { "ok" }))).await;
    let mut load = Load::new(100.0, 100);
    (load.plan.pairs, load.plan.rounds) = (2, 5);
    let evidence = load.evidence(&url).await;
    assert_eq!((shape(&evidence), evidence.unmeasured_requests), ((2, 200, true), 0));
    let sizes: Vec<u64> = evidence.windows.iter().map(|window| window.all.arrivals).collect();
    assert_eq!(sizes, [50; 4]);
    // Both modes of a pair run over the whole of it, and nobody looked who was not asked to.
    let spans = evidence.windows.iter().map(|window| window.end_s - window.start_s);
    assert!(spans.into_iter().all(|span| (0.8..=1.0).contains(&span)), "{:?}", evidence.windows);
    assert!(evidence.looks_at.is_empty());
}
