//! Records with anything missing or absurd in them: a clear state, no panic, never a GO for less.

use cutover::evidence::class::CatalogClass;
use cutover::evidence::finding::{Finding, Severity};
use cutover::evidence::limits::Phase;
use cutover::evidence::run_record::RunRecord;
use cutover::evidence::verdict::Decision;
use cutover::{gate, report};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::report::build;
use cutover::evidence::exit::Exit;

/// Judged afresh, with every report written.
fn judged(mut record: RunRecord) -> RunRecord {
    gate::judge(&mut record);
    let reports = report::render_all(&record);
    assert!(reports.iter().all(|(_, bytes)| !bytes.is_empty()));
    record
}

#[test]
fn a_healthy_record_is_a_go() {
    let record = judged(build::go());
    assert_eq!(record.verdict.decision, Decision::Go, "{:?}", record.verdict.reasons);
}

#[test]
fn whatever_evidence_is_cut_out_it_is_never_a_go() {
    let good = serde_json::to_value(build::go()).expect("records serialise");
    for (key, nothing) in [
        ("acts", json!([])),
        ("drive", Value::Null),
        ("diff", Value::Null),
        ("diff_before", Value::Null),
        ("manifest", Value::Null),
        ("observations", json!([])),
        ("/drive/windows", json!([])),
        ("/drive/overall", json!({})),
        ("/drive/operations", json!([])),
        ("/diff/tables", json!([])),
        ("/manifest/tables", json!([])),
        ("/drive/org_sizes", json!([])),
        ("/drive/isolation", Value::Null),
        ("/drive/parity", Value::Null),
        ("/drive/ledger/complete", json!(false)),
    ] {
        let mut cut = good.clone();
        let pointer = if key.starts_with('/') { key.to_owned() } else { format!("/{key}") };
        *cut.pointer_mut(&pointer).expect("it was there") = nothing;
        let record = judged(serde_json::from_value(cut).expect("still a record"));
        assert_ne!(record.verdict.decision, Decision::Go, "without {key}");
        assert!(!record.verdict.reasons.is_empty(), "without {key}");
    }
}

#[test]
fn a_clock_that_went_backwards_is_no_go_on_its_own() {
    let mut record = build::go();
    for window in &mut record.drive.as_mut().expect("it has a load").windows {
        std::mem::swap(&mut window.start_s, &mut window.end_s);
    }
    assert_ne!(judged(record).verdict.decision, Decision::Go);
}

/// Rows of no org are counted and not compared; that is a fault of the data, not of the record.
#[test]
fn rows_of_no_org_are_a_no_go_and_no_contradiction() {
    let mut record = build::go();
    let diff = record.diff.as_mut().expect("compared");
    diff.tables[0].legacy_rows += 3;
    diff.findings = vec![Finding {
        severity: Some(Severity::Error),
        ..Finding::new("revenue", CatalogClass::NullOrg)
    }];
    (diff.findings_total, diff.differences_total, diff.integrity_errors) = (1, 1, 1);
    assert_eq!(judged(record).verdict.exit_code, Exit::NO_GO_INTEGRITY);
    // Without the error nothing explains the rows.
    let mut hollow = build::go();
    hollow.diff.as_mut().expect("compared").tables[0].legacy_rows += 3;
    assert_eq!(judged(hollow).verdict.exit_code, Exit::INVALID);
}

#[test]
fn all_errors_or_one_sample_is_never_a_go() {
    let mut record = build::go();
    let drive = record.drive.as_mut().expect("it has a load");
    for latency in drive.overall.values_mut() {
        latency.errors = latency.requests;
    }
    drive.errors = drive.requests;
    let operations = drive.operations.iter_mut().flat_map(|operation| operation.modes.values_mut());
    operations.for_each(|latency| latency.errors = latency.requests);
    for window in &mut drive.windows {
        let operations = window.operations.values_mut();
        for latency in operations.chain([&mut window.all]) {
            latency.errors = latency.arrivals;
            latency.p95_us = None;
        }
    }
    assert_eq!(judged(record).verdict.decision, Decision::NoGo);

    let mut record = build::go();
    let drive = record.drive.as_mut().expect("it has a load");
    drive.requests = 2;
    drive.windows.truncate(2);
    for latency in drive.overall.values_mut() {
        latency.requests = 1;
    }
    assert_ne!(judged(record).verdict.decision, Decision::Go);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// JSON holds no NaN, but a record in memory may: no figure makes the judge fall over, and time
    /// that does not go forwards is never a ground for a GO.
    #[test]
    fn no_number_whatever_makes_the_gate_fall_over(
        times in prop::collection::vec((any::<f64>(), any::<f64>()), 24),
        p95 in prop::collection::vec(any::<Option<u64>>(), 24),
        wild in prop::collection::vec(any::<f64>(), 8),
        counts in prop::collection::vec(any::<u64>(), 6),
        phase in 0..Phase::ALL.len(),
    ) {
        let mut record = build::go();
        record.phase = Phase::ALL[phase];
        record.increment_percent = Some(wild[0]);
        let drive = record.drive.as_mut().expect("it has a load");
        for ((window, (start_s, end_s)), p95_us) in
            drive.windows.iter_mut().zip(&times).zip(&p95)
        {
            (window.start_s, window.end_s) = (*start_s, *end_s);
            window.all.p95_us = *p95_us;
            window.org_sizes.values_mut().for_each(|size| size.p95_us = *p95_us);
        }
        drive.generator_cpu_share = wild[1];
        (drive.requests, drive.skipped, drive.errors) = (counts[0], counts[1], counts[2]);
        drive.looks_at = vec![counts[3] as u32; 3];
        for observation in &mut record.observations {
            (observation.at_s, observation.replica_lag_s) = (wild[2], Some(wild[3]));
            (observation.pool_in_use, observation.pool_max) = (Some(counts[4]), Some(counts[5]));
        }
        record.drills[0].limit_s = Some(wild[4]);
        record.drills[1].measured_s = Some(wild[5]);
        let watch = record.watch.as_mut().expect("it was watched");
        (watch.watched_h, watch.routed[0].percentage) = (wild[6], wild[7]);
        (watch.routed[0].requests, watch.routed[0].partitioned) = (counts[0], counts[1]);
        (watch.pool_looks, watch.pool_exhausted) = (counts[2], counts[3]);
        let forwards = times.iter().all(|(start_s, end_s)| start_s < end_s)
            && times.is_sorted_by(|one, next| one.1 <= next.0);
        let decision = judged(record).verdict.decision;
        prop_assert!(forwards || decision != Decision::Go, "{decision:?}");
    }
}

/// Every place in a value, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            // The first few stand for all.
            for (index, item) in items.iter().enumerate().take(3) {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

fn absurd() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
        Just(json!("<script>alert(1)</script>\u{202e}\u{0}")),
        Just(json!(true)),
        Just(json!(0)),
        Just(json!(-1)),
        Just(json!(u64::MAX)),
        Just(json!(1e308)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_value_in_any_place_makes_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), absurd()), 1..4)
    ) {
        let mut value = serde_json::to_value(build::go()).expect("records serialise");
        for (place, new) in changes {
            let mut all = Vec::new();
            places(&value, "", &mut all);
            let place: &String = place.get(&all);
            *value.pointer_mut(place).expect("just listed") = new;
        }
        // What does not fit the types is refused when the record is read.
        if let Ok(record) = serde_json::from_value::<RunRecord>(value) {
            let record = judged(record);
            prop_assert_eq!(
                record.verdict.exit_code == Exit::OK,
                record.verdict.decision == Decision::Go
            );
        }
    }
}
