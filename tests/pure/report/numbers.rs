//! Whatever figures a record holds, its reports are made, and are whole.

use std::collections::BTreeMap;

use cutover::evidence::drive::*;
use cutover::evidence::run_record::RunRecord;
use cutover::report::{html, junit, markdown};
use proptest::prelude::*;

use crate::report::build;
use crate::report::page::Page;

fn check(record: &RunRecord) {
    let page = html::render(record);
    let parsed = Page::parse(&page).unwrap_or_else(|problem| panic!("{problem}\n{page}"));
    assert_eq!(parsed.barriers(), Vec::<String>::new());
    for word in ["NaN", "inf "] {
        assert!(!parsed.text.contains(word), "{word} in the page");
        assert!(!markdown::render(record).contains(word), "{word} in the summary");
    }
    for svg in page.split("<svg").skip(1).filter_map(|rest| rest.split("</svg>").next()) {
        let shapes = svg.split_once('>').map_or("", |(_, shapes)| shapes);
        assert!(!shapes.contains("NaN") && !shapes.contains("inf"), "{shapes}");
    }
    junit::render(record);
}

/// Figures at the edges as often as those between.
fn figure() -> impl Strategy<Value = f64> {
    let edges =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -1.0, 1.0, f64::MAX, 1e-300];
    prop_oneof![proptest::sample::select(edges.to_vec()), any::<f64>(), 0.01..100.0f64]
}

fn whole() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>(), 1..100_000u64]
}

fn side() -> impl Strategy<Value = ModeLatency> {
    (
        whole(),
        whole(),
        [whole(), whole(), whole()],
        prop::collection::vec((figure(), whole()), 0..5),
    )
        .prop_map(|(requests, errors, [p50, p95, max], curve)| {
            let response_us = Percentiles { p50, p90: p50, p95, p99: p95, p999: max, max };
            ModeLatency {
                requests,
                errors,
                response_us,
                service_us: response_us,
                curve,
                ..ModeLatency::default()
            }
        })
}

fn comparison() -> impl Strategy<Value = Comparison> {
    let operation = ([figure(), figure(), figure()], any::<bool>(), any::<i64>()).prop_map(
        |([ratio, low, high], known, p95_difference_us)| OperationComparison {
            name: "list_recent_revenue".into(),
            pairs: 3,
            p95_ratio: known.then_some(ratio),
            p95_ratio_low: known.then_some(low),
            p95_ratio_high: known.then_some(high),
            p95_difference_us,
            failed_pairs: [0, 1],
        },
    );
    (0..4u32, [figure(), figure(), figure(), figure()], prop::collection::vec(operation, 0..3))
        .prop_map(|(pairs, [ratio, low, high, seen], operations)| Comparison {
            wild_pairs: [pairs; 2],
            standard_error: ratio,
            pairs,
            p95_ratio: ratio,
            p95_ratio_low: low,
            p95_ratio_high: high,
            pooled_p95_ratio: Some(ratio),
            smallest_detectable_ratio: Some(seen),
            confidence: low,
            judged_from_us: 1000,
            further_pairs_needed: pairs,
            operations,
            org_sizes: Vec::new(),
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_figure_breaks_a_report(
        sides in [side(), side()],
        comparison in prop::option::of(comparison()),
        figures in prop::collection::vec(figure(), 6),
        seconds in prop::collection::vec((any::<u32>(), whole(), whole()), 0..6),
        rows in [whole(), whole(), whole()],
    ) {
        let mut record = build::no_go_integrity();
        record.duration_s = figures[0];
        record.increment_percent = Some(5.0);
        for (act, figure) in record.acts.iter_mut().zip(&figures) {
            act.duration_s = *figure;
        }
        for (look, figure) in record.observations.iter_mut().zip(&figures) {
            look.at_s = *figure;
            look.cache_hit_rate_percent = Some(figures[1]);
            look.replica_lag_s = Some(figures[2]);
            look.cache_hits = Some(rows[0]);
            look.cache_available = Some(rows[1] % 2 == 0);
        }
        let drive = record.drive.as_mut().expect("has a load");
        let [legacy, partitioned] = sides;
        let modes = BTreeMap::from([(Side::Legacy, legacy), (Side::Partitioned, partitioned)]);
        drive.overall = modes.clone();
        drive.operations.truncate(1);
        drive.operations[0].modes = modes;
        drive.comparison = comparison;
        drive.rate_per_s = figures[3];
        drive.generator_cpu_share = figures[4];
        drive.windows[0].start_s = figures[5];
        drive.windows[1].end_s = figures[5];
        drive.requests = rows[0];
        drive.errors = rows[1];
        drive.timeline = seconds
            .into_iter()
            .map(|(at_s, errors, p95_us)| TimelinePoint {
                at_s,
                mode: Side::BOTH.get(at_s as usize % 3).copied(),
                requests: errors,
                errors,
                p95_us,
                ..TimelinePoint::default()
            })
            .collect();
        let diff = record.diff.as_mut().expect("has a diff");
        diff.tables[0].legacy_rows = rows[0];
        diff.tables[0].partitioned_rows = rows[1];
        diff.tables[0].counts.missing = rows[2];
        check(&record);
    }
}

#[test]
fn a_run_of_a_day_stays_a_page_that_can_be_opened() {
    let mut record = build::go();
    let drive = record.drive.as_mut().expect("has a load");
    let second = drive.timeline[100].clone();
    drive.timeline = (0..86_400).map(|at_s| TimelinePoint { at_s, ..second.clone() }).collect();
    drive.windows = (0..2_880)
        .map(|i| Window {
            pair: i / 2,
            mode: Some(Side::BOTH[i as usize % 2]),
            ..Window::default()
        })
        .collect();
    let look = record.observations[0].clone();
    record.observations = vec![look; 86_400];
    check(&record);
    let page = html::render(&record);
    assert!(page.len() < 1 << 20, "{} bytes", page.len());
}
