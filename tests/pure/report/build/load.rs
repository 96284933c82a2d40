//! What a load and the platform under it leave behind.

use std::collections::BTreeMap;

use cutover::evidence::answers::{IsolationEvidence, ParityEvidence};
use cutover::evidence::class::WriteFault;
use cutover::evidence::drive::*;
use cutover::evidence::finding::Finding;
use cutover::evidence::ledger::{LedgerCounts, LedgerEvidence};
use cutover::evidence::observation::Observation;

const OPERATIONS: [(&str, bool, u64, f64); 8] = [
    ("list_recent_revenue", false, 1_900, 1.02),
    ("get_revenue_by_id", false, 900, 1.04),
    ("month_summary", false, 3_100, 0.97),
    ("year_report", false, 9_800, 1.08),
    ("create_expense", true, 6_100, 1.01),
    ("update_revenue", true, 6_400, 0.99),
    ("correct_date", true, 7_900, 1.03),
    ("delete_expense", true, 5_200, 1.00),
];

/// A load in twelve pairs whose partitioned side takes `slower` times as long.
pub fn drive(slower: f64) -> DriveEvidence {
    let operations = OPERATIONS.map(|(name, writes, p95, ratio)| OperationEvidence {
        name: name.into(),
        writes,
        modes: BTreeMap::from([
            (Side::Legacy, latency(4_725, p95)),
            (Side::Partitioned, latency(4_725, scaled(p95, ratio * slower))),
        ]),
    });
    let compared = OPERATIONS.map(|(name, _, p95, ratio)| OperationComparison {
        name: name.into(),
        pairs: 12,
        p95_ratio: Some(ratio * slower),
        p95_ratio_low: Some(ratio * slower * 0.94),
        p95_ratio_high: Some(ratio * slower * 1.06),
        p95_difference_us: scaled(p95, ratio * slower) as i64 - p95 as i64,
        failed_pairs: [0, 0],
    });
    DriveEvidence {
        scenario: "finance".into(),
        rate_per_s: 180.0,
        connections: 64,
        duration_s: 420.0,
        complete: true,
        arrivals_planned: 75_600,
        requests: 75_600,
        errors: 0,
        skipped: 0,
        wrong_mode: 0,
        mode_proven: true,
        lost_workers: 0,
        generator_cpu_share: 0.06,
        errors_by_kind: BTreeMap::new(),
        scheduling_lag_us: Percentiles {
            p50: 80,
            p90: 180,
            p95: 260,
            p99: 910,
            p999: 2_300,
            max: 4_100,
        },
        overall: BTreeMap::from([
            (Side::Legacy, latency(37_800, 6_900)),
            (Side::Partitioned, latency(37_800, scaled(6_900, 1.014 * slower))),
        ]),
        operations: operations.to_vec(),
        windows: windows(slower),
        comparison: Some(Comparison {
            wild_pairs: [0, 1],
            standard_error: 0.013,
            pairs: 12,
            p95_ratio: 1.014 * slower,
            p95_ratio_low: 0.987 * slower,
            p95_ratio_high: 1.042 * slower,
            pooled_p95_ratio: Some(1.016 * slower),
            smallest_detectable_ratio: Some(1.081),
            further_pairs_needed: 0,
            operations: compared.to_vec(),
            judged_from_us: 1000,
            confidence: 0.97,
            org_sizes: compared_sizes(slower),
        }),
        timeline: timeline(slower),
        isolation: Some(IsolationEvidence { answers_checked: 75_600, ..Default::default() }),
        parity: Some(ParityEvidence {
            asked: 700,
            compared: 698,
            unsettled: 2,
            complete: true,
            duration_s: 2.1,
            ..ParityEvidence::default()
        }),
        ledger: Some(LedgerEvidence {
            writes: 18_900,
            ok: 18_897,
            unknown: 3,
            retried: 2,
            complete: true,
            rows_checked: 11_240,
            duration_s: 1.4,
            ..LedgerEvidence::default()
        }),
        org_sizes: classes(),
        slices: slices(slower),
        hot_orgs: 812,
        looks_at: vec![12, 18, 24],
        attempt: 0,
        looks: vec![Look {
            pairs: 12,
            confidence: 0.97,
            p95_ratio: 1.014 * slower,
            p95_ratio_low: 0.987 * slower,
            p95_ratio_high: 1.042 * slower,
            undecided: false,
        }],
        ..DriveEvidence::default()
    }
}

fn scaled(us: u64, by: f64) -> u64 {
    (us as f64 * by) as u64
}

/// Name, orgs, rows of the smallest, requests in a mode, p95 in legacy, ratio.
const SIZES: [(&str, u64, u64, u64, u64, f64); 3] = [
    ("small", 80_000, 1, 30_200, 6_600, 1.012),
    ("medium", 19_000, 9, 7_100, 7_400, 1.021),
    ("large", 1_000, 123, 500, 11_800, 1.043),
];

fn classes() -> Vec<OrgClass> {
    let class = |(name, orgs, from_rows, ..): (&str, u64, u64, u64, u64, f64)| OrgClass {
        name: name.into(),
        from_rows,
        orgs,
    };
    SIZES.map(class).to_vec()
}

fn compared_sizes(slower: f64) -> Vec<OperationComparison> {
    let compared = |(name, .., p95, ratio): (&str, u64, u64, u64, u64, f64)| OperationComparison {
        name: name.into(),
        pairs: 12,
        p95_ratio: Some(ratio * slower),
        p95_ratio_low: Some(ratio * slower * 0.96),
        p95_ratio_high: Some(ratio * slower * 1.04),
        p95_difference_us: scaled(p95, ratio * slower) as i64 - p95 as i64,
        failed_pairs: [0, 0],
    };
    SIZES.map(compared).to_vec()
}

fn slices(slower: f64) -> Vec<Slice> {
    let slice = |by: &str, class: &str, requests, p95, ratio: f64| Slice {
        operation: None,
        by: by.into(),
        class: class.into(),
        modes: BTreeMap::from([
            (Side::Legacy, latency(requests, p95)),
            (Side::Partitioned, latency(requests, scaled(p95, ratio * slower))),
        ]),
    };
    let sizes = SIZES
        .map(|(name, _, _, requests, p95, ratio)| slice("org_size", name, requests, p95, ratio));
    let others = [
        slice("popularity", "hot", 18_900, 6_100, 1.009),
        slice("popularity", "cold", 18_900, 7_700, 1.018),
        slice("cache", "hit", 22_000, 900, 1.0),
        slice("cache", "miss", 6_000, 9_200, 1.03),
    ];
    sizes.into_iter().chain(others).collect()
}

/// A ledger in which an update was overwritten.
pub fn overwritten(ledger: LedgerEvidence) -> LedgerEvidence {
    let amount = |text: &str| Some(BTreeMap::from([("amount".to_owned(), Some(text.to_owned()))]));
    let finding = Finding {
        org_id: Some("4711".into()),
        key: BTreeMap::from([("id".into(), Some("881201".into()))]),
        legacy: amount("12.50"),
        partitioned: amount("12.50"),
        columns: vec!["amount".into()],
        expected: amount("19.90"),
        detail: Some("write 88 by update_revenue: acknowledged, and older values are there".into()),
        ..Finding::new("revenue", WriteFault::Stale)
    };
    let counts = LedgerCounts { stale: 1, ..LedgerCounts::default() };
    LedgerEvidence { counts, findings: vec![finding], ..ledger }
}

fn latency(requests: u64, p95: u64) -> ModeLatency {
    let at = |percentile: f64| {
        let beyond = (1.0 - percentile / 100.0f64).max(1.0 / requests as f64);
        (p95 as f64 * (0.28 + 0.55 * (-beyond.log10()))) as u64
    };
    let response_us = Percentiles {
        p50: at(50.0),
        p90: at(90.0),
        p95,
        p99: at(99.0),
        p999: at(99.9),
        max: at(100.0),
    };
    let halved = |us: u64| us * 9 / 10;
    ModeLatency {
        requests,
        errors: 0,
        response_us,
        service_us: Percentiles {
            p50: halved(response_us.p50),
            p90: halved(response_us.p90),
            p95: halved(response_us.p95),
            p99: halved(response_us.p99),
            p999: halved(response_us.p999),
            max: halved(response_us.max),
        },
        curve: (0..=60)
            .map(|i| 100.0 * (1.0 - 10f64.powf(-f64::from(i) / 15.0)))
            .chain([100.0])
            .map(|percentile| (percentile, at(percentile)))
            .collect(),
        ..ModeLatency::default()
    }
}

fn windows(slower: f64) -> Vec<Window> {
    (0..24u32)
        .map(|i| {
            let mode = mode_of(i);
            let by = if mode == Side::Partitioned { slower } else { 1.0 };
            let start_s = 20.0 + f64::from(i) * 16.5;
            let operations = operations_of_window(i / 2, by * wobble(i));
            let all = WindowLatency {
                arrivals: operations.values().map(|operation| operation.arrivals).sum(),
                errors: 0,
                p95_us: Some((6_900.0 * by * wobble(i)) as u64),
            };
            Window {
                pair: i / 2,
                mode: Some(mode),
                candidate: mode == Side::Partitioned,
                start_s,
                end_s: start_s + 14.0,
                without_own_lag: all.clone(),
                all,
                operations,
                org_sizes: sizes_of_window(by * wobble(i)),
            }
        })
        .collect()
}

fn operations_of_window(pair: u32, by: f64) -> BTreeMap<String, WindowLatency> {
    let of = |p95: u64| WindowLatency {
        // 4,725 in twelve windows.
        arrivals: if pair < 9 { 394 } else { 393 },
        errors: 0,
        p95_us: Some((p95 as f64 * by) as u64),
    };
    OPERATIONS.map(|(name, _, p95, _)| (name.to_owned(), of(p95))).into()
}

fn sizes_of_window(by: f64) -> BTreeMap<String, WindowLatency> {
    let of = |p95: u64| WindowLatency { arrivals: 40, errors: 0, p95_us: Some(scaled(p95, by)) };
    SIZES.map(|(name, .., p95, _)| (name.to_owned(), of(p95))).into()
}

fn timeline(slower: f64) -> Vec<TimelinePoint> {
    (0..420u32)
        .map(|at_s| {
            let window = (at_s >= 20).then(|| (f64::from(at_s - 20) / 16.5) as u32);
            let mode = window.map(mode_of);
            let by = if mode == Some(Side::Partitioned) { slower } else { 1.0 };
            let struck = slower > 1.1 && (200..207).contains(&at_s);
            TimelinePoint {
                at_s,
                mode,
                requests: 180,
                errors: if struck { 3 } else { 0 },
                p95_us: (6_700.0 * by * wobble(at_s) * if struck { 3.0 } else { 1.0 }) as u64,
                ..TimelinePoint::default()
            }
        })
        .collect()
}

/// Which mode a window has: the order changes from pair to pair.
fn mode_of(window: u32) -> Side {
    let first = [0, 1, 1, 0, 1, 0][window as usize / 2 % 6];
    Side::BOTH[(window as usize + first) % 2]
}

/// A little unrest that is the same on every machine.
fn wobble(i: u32) -> f64 {
    1.0 + f64::from(i.wrapping_mul(2_654_435_761) >> 16 & 0xff) / 1_700.0
}

pub fn observations() -> Vec<Observation> {
    (0..42u32)
        .map(|i| Observation {
            at_s: f64::from(i) * 10.0,
            system_status: Some("healthy".into()),
            cache_hits: Some(u64::from(i) * 1_480 + u64::from(i % 5) * 20),
            cache_lookups: Some(u64::from(i) * 1_800),
            cache_available: Some(true),
            cache_hit_rate_percent: Some(82.2),
            replica_lag_s: None,
            critical_alerts: Some(0),
            warning_alerts: Some(0),
            pool_in_use: Some(u64::from(i % 4)),
            pool_max: Some(20),
            error: None,
        })
        .collect()
}

pub fn cache_lost() -> Vec<Observation> {
    let mut observations = observations();
    for (i, o) in observations.iter_mut().enumerate().skip(18) {
        let since = i as u64 - 17;
        o.cache_hits = o.cache_hits.map(|hits| hits - since * 700);
        if i < 25 {
            o.cache_available = Some(false);
            o.system_status = Some("degraded".into());
            o.warning_alerts = Some(1);
            o.critical_alerts = Some(1);
        }
    }
    observations[30] = Observation {
        at_s: 300.0,
        error: Some("no answer within 2 s".into()),
        ..Observation::default()
    };
    observations
}

/// Makes so many of the partitioned side's requests fail, all of them in one window and operation.
pub fn fail_requests(drive: &mut DriveEvidence, errors: u64) {
    let mode = Side::Partitioned;
    drive.errors = errors;
    drive.overall.get_mut(&mode).expect("both modes").errors = errors;
    let operation = drive.operations.first_mut().expect("several");
    let latency = operation.modes.get_mut(&mode).expect("both modes");
    latency.errors = errors;
    let name = operation.name.clone();
    let window = drive.windows.iter_mut().find(|window| window.mode == Some(mode));
    let window = window.expect("windows of both modes");
    window.all.errors = errors;
    window.operations.get_mut(&name).expect("every operation").errors = errors;
}
