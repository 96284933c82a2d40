//! The criteria about the load: was the target fast enough.

use super::criteria::criterion;
use super::{limits, validity};
use crate::evidence::drive::{Comparison, DriveEvidence, Mode};
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Action, Criterion, Kind, State};
use crate::gate::statistics::MIN_PAIRS;

/// Latency that asks for a rollback (handbook, decision matrix): +50 %.
const P95_CRITICAL: f64 = 1.50;
/// A difference below this is shown but not judged: nobody feels it.
pub(super) const FELT_US: i64 = 1000;
/// Error rate that asks for a rollback (handbook, decision matrix): above 1 %.
const ERROR_RATE_CRITICAL: f64 = 0.01;
/// With fewer requests in a mode, a rate of one in a thousand cannot be seen.
const MIN_REQUESTS: u64 = 1000;

/// Criteria about the load.
pub(super) fn all(record: &RunRecord) -> Vec<Criterion> {
    let drive = record.drive.as_ref().filter(|drive| drive.requests > 0);
    let p95 = limits::of(record, "p95_overall");
    let mut criteria = validity::all(drive, 1.0 + p95);
    criteria.extend([
        error_rate(drive, limits::of(record, "error_rate")),
        p95_overall(drive, p95),
        p95_operations(drive, limits::of(record, "p95_operations")),
    ]);
    criteria
}

pub(super) const NO_LOAD: &str = "no request was measured";

/// The criterion's name.
pub(super) const ERROR_RATE: &str = "error_rate";

fn error_rate(drive: Option<&DriveEvidence>, limit: f64) -> Criterion {
    let criterion = criterion(
        ERROR_RATE,
        Kind::Performance,
        "Requests succeed",
        "Phase 4, error rate < 0.1 %",
        "drive",
        format!("< {} % in each mode", share(limit)),
    );
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    let rates = || {
        drive
            .overall
            .iter()
            .map(|(mode, latency)| (*mode, latency.errors as f64 / latency.requests.max(1) as f64))
    };
    let worst = rates().max_by(|a, b| a.1.total_cmp(&b.1));
    let fewest = drive.overall.values().map(|latency| latency.requests).min().unwrap_or(0);
    let Some((mode, rate)) = worst else {
        return criterion.note("not both modes were measured");
    };
    // The sum and the modes must tell one story; the worse one counts.
    let rate = rate.max(drive.errors as f64 / drive.requests as f64);
    let pass = rate < limit;
    // One mode alone can fail, and never pass.
    if pass && drive.overall.len() < Mode::ALL.len() {
        return criterion.note("not both modes were measured");
    }
    if pass && fewest < MIN_REQUESTS {
        return criterion.note(format!("{fewest} requests in a mode are too few to tell"));
    }
    let kinds: Vec<String> =
        drive.errors_by_kind.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
    let action = if rate > ERROR_RATE_CRITICAL { Action::StandardRollback } else { Action::Hold };
    criterion
        .measured(pass, format!("{:.3} % ({})", rate * 100.0, mode.as_str()))
        .below(rate, limit)
        .note(kinds.join(", "))
        .asks_for(action)
}

fn p95_overall(drive: Option<&DriveEvidence>, limit: f64) -> Criterion {
    let criterion = criterion(
        "p95_overall",
        Kind::Performance,
        "p95 of all requests is not worse on the partitioned side",
        "Phase 4, P95 latency < baseline + 10 %",
        "drive",
        format!("< +{} %, upper 95 % bound", share(limit)),
    );
    if drive.is_some_and(|drive| drive.closed_loop || drive.calibration) {
        return criterion
            .note("this load did not compare the sides: it was for capacity or calibration");
    }
    let Some(comparison) = drive.and_then(|drive| drive.comparison.as_ref()) else {
        return criterion.note("there are no two pairs of windows to compare");
    };
    let range = format!(
        "{} ({} to {})",
        percent(comparison.p95_ratio),
        percent(comparison.p95_ratio_low),
        percent(comparison.p95_ratio_high)
    );
    let criterion = criterion.below(comparison.p95_ratio - 1.0, limit);
    let limit = 1.0 + limit;
    let pooled = comparison.pooled_p95_ratio.unwrap_or(f64::INFINITY);
    if (comparison.pairs as usize) < MIN_PAIRS {
        let note = format!("{} pairs are fewer than the {MIN_PAIRS} needed", comparison.pairs);
        return criterion.note(note);
    }
    let action = if comparison.p95_ratio_low > P95_CRITICAL {
        Action::StandardRollback
    } else {
        Action::Hold
    };
    if comparison.p95_ratio_low > limit {
        criterion.measured(false, range).note(slower_operations(comparison)).asks_for(action)
    } else if comparison.p95_ratio_high < limit && pooled < limit {
        let note = match comparison.smallest_detectable_ratio {
            Some(ratio) => {
                format!(
                    "a true {} is called GO at most once in 20 runs, a true {} NO-GO in 9 of 10",
                    percent(limit),
                    percent(ratio)
                )
            }
            None => String::new(),
        };
        criterion.measured(true, range).note(note)
    } else {
        let note = format!(
            "the interval holds the limit; about {} further pairs would decide",
            comparison.further_pairs_needed.max(1)
        );
        Criterion { measured: Some(range), state: State::Unknown, ..criterion }.note(note)
    }
}

/// The operations that are slower beyond chance, worst first.
fn slower_operations(comparison: &Comparison) -> String {
    let mut slower: Vec<(&str, f64)> = comparison
        .operations
        .iter()
        .filter(|operation| operation.p95_ratio_low.is_some_and(|low| low > 1.0))
        .filter_map(|operation| Some((operation.name.as_str(), operation.p95_ratio?)))
        .collect();
    slower.sort_by(|a, b| b.1.total_cmp(&a.1));
    let named: Vec<String> =
        slower.iter().map(|(name, ratio)| format!("{name} {}", percent(*ratio))).collect();
    match named.is_empty() {
        true => "no single operation stands out".into(),
        false => format!("slower: {}", named.join(", ")),
    }
}

fn p95_operations(drive: Option<&DriveEvidence>, limit: f64) -> Criterion {
    let criterion = criterion(
        "p95_operations",
        Kind::Performance,
        "No operation and no size of org is much worse on the partitioned side",
        "alert thresholds, P95 latency +20 % / +50 %",
        "drive",
        format!(
            "≤ +{} % each, lower 95 % bound, differences under {} ms aside",
            share(limit),
            FELT_US / 1000
        ),
    );
    let Some(comparison) = drive.and_then(|drive| drive.comparison.as_ref()) else {
        return criterion.note("there are no two pairs of windows to compare");
    };
    if comparison.operations.is_empty() {
        return criterion.note("no operation was measured by itself");
    }
    let unmeasured: Vec<&str> = comparison
        .operations
        .iter()
        .filter(|operation| (operation.pairs as usize) < MIN_PAIRS)
        .map(|operation| operation.name.as_str())
        .collect();
    let mut alarms: Vec<(&str, f64, f64)> = comparison
        .operations
        .iter()
        .chain(&comparison.org_sizes)
        .filter(|operation| operation.p95_difference_us >= FELT_US)
        .filter_map(|o| Some((o.name.as_str(), o.p95_ratio_low?, o.p95_ratio?)))
        .filter(|(_, low, _)| *low > 1.0 + limit)
        .collect();
    alarms.sort_by(|a, b| b.1.total_cmp(&a.1));
    if let Some((_, worst_low, _)) = alarms.first() {
        let action =
            if *worst_low > P95_CRITICAL { Action::StandardRollback } else { Action::Hold };
        let named: Vec<String> =
            alarms.iter().map(|(name, _, ratio)| format!("{name} {}", percent(*ratio))).collect();
        return criterion
            .measured(false, format!("{} operations", alarms.len()))
            .note(named.join(", "))
            .asks_for(action);
    }
    if !unmeasured.is_empty() {
        return criterion.note(format!("measured too seldom: {}", unmeasured.join(", ")));
    }
    criterion.measured(true, "0 operations")
}

/// A share as a percentage without needless digits.
pub(super) fn share(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// A ratio as a signed difference in per cent.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

pub(super) fn milliseconds(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1000.0)
}
