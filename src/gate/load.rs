//! The criteria about the load: was the target good enough.

use super::criteria::criterion;
use super::validity;
use crate::evidence::drive::{Comparison, DriveEvidence};
use crate::evidence::observation::Observation;
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Action, Criterion, Kind, State};
use crate::gate::statistics::MIN_PAIRS;

/// p95 against baseline (handbook, Phase 4): +10 %.
pub(super) const P95_LIMIT: f64 = 1.10;
/// Alarms for single operations (handbook, alert thresholds): +20 % hold, +50 % roll back.
const P95_WARNING: f64 = 1.20;
const P95_CRITICAL: f64 = 1.50;
/// A difference below this is shown but not judged: nobody feels it.
const FELT_US: i64 = 1000;
/// Error rate (handbook, Phase 4): < 0.1 %; above 1 % a rollback.
const ERROR_RATE_LIMIT: f64 = 0.001;
const ERROR_RATE_CRITICAL: f64 = 0.01;
/// With fewer requests in a mode, a rate of one in a thousand cannot be seen.
const MIN_REQUESTS: u64 = 1000;
/// Cache hit rate (handbook, Phase 2 and 4): > 70 %.
const CACHE_HIT_LIMIT_PERCENT: f64 = 70.0;
/// With fewer look-ups the hit rate says nothing.
const MIN_LOOKUPS: u64 = 100;

/// Criteria about the load.
pub(super) fn all(record: &RunRecord) -> Vec<Criterion> {
    let drive = record.drive.as_ref().filter(|drive| drive.requests > 0);
    let mut criteria = validity::all(drive);
    criteria.extend([
        error_rate(drive),
        p95_overall(drive),
        p95_operations(drive),
        cache_hit_rate(drive, &record.observations),
        critical_alerts(&record.observations),
        external_cache(&record.observations),
    ]);
    criteria
}

pub(super) const NO_LOAD: &str = "no request was measured";

fn error_rate(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion(
        "error_rate",
        Kind::Performance,
        "Requests succeed",
        "Phase 4, error rate < 0.1 %",
        "drive",
        format!("< {} % in each mode", ERROR_RATE_LIMIT * 100.0),
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
    let (Some((mode, rate)), 2) = (worst, drive.overall.len()) else {
        return criterion.note("not both modes were measured");
    };
    // The sum and the modes must tell one story; the worse one counts.
    let rate = rate.max(drive.errors as f64 / drive.requests as f64);
    let pass = rate < ERROR_RATE_LIMIT;
    if pass && fewest < MIN_REQUESTS {
        return criterion.note(format!("{fewest} requests in a mode are too few to tell"));
    }
    let kinds: Vec<String> =
        drive.errors_by_kind.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
    let action = if rate > ERROR_RATE_CRITICAL { Action::StandardRollback } else { Action::Hold };
    criterion
        .measured(pass, format!("{:.3} % ({})", rate * 100.0, mode.as_str()))
        .note(kinds.join(", "))
        .asks_for(action)
}

fn p95_overall(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion(
        "p95_overall",
        Kind::Performance,
        "p95 of all requests is not worse on the partitioned side",
        "Phase 4, P95 latency < baseline + 10 %",
        "drive",
        "< +10 %, upper 95 % bound",
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
    if comparison.p95_ratio_low > P95_LIMIT {
        criterion.measured(false, range).note(slower_operations(comparison)).asks_for(action)
    } else if comparison.p95_ratio_high < P95_LIMIT && pooled < P95_LIMIT {
        let note = match comparison.smallest_detectable_ratio {
            Some(ratio) => {
                format!("a true {} would have been a NO-GO 9 times in 10", percent(ratio))
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

fn p95_operations(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion(
        "p95_operations",
        Kind::Performance,
        "No operation and no size of org is much worse on the partitioned side",
        "alert thresholds, P95 latency +20 % / +50 %",
        "drive",
        format!("≤ +20 % each, lower 95 % bound, differences under {} ms aside", FELT_US / 1000),
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
        .filter(|(_, low, _)| *low > P95_WARNING)
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

fn cache_hit_rate(drive: Option<&DriveEvidence>, observations: &[Observation]) -> Criterion {
    let criterion = criterion(
        "cache_hit_rate",
        Kind::Performance,
        "The cache answers most of what it is asked",
        "Phase 4, cache hit rate > 70 %",
        "observations",
        format!("> {CACHE_HIT_LIMIT_PERCENT} %"),
    );
    // Only what was counted while the windows were measured: a cold start is not the cache's fault.
    let from_s = drive.and_then(|drive| drive.windows.first()).map_or(0.0, |w| w.start_s);
    let counts: Vec<(u64, u64)> = observations
        .iter()
        .filter(|observation| observation.at_s >= from_s)
        .filter_map(|observation| Some((observation.cache_hits?, observation.cache_lookups?)))
        .collect();
    let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
        return criterion.note("the platform did not say");
    };
    let (Some(hits), Some(lookups)) = (last.0.checked_sub(first.0), last.1.checked_sub(first.1))
    else {
        return criterion.note("the platform's counters went backwards: it was restarted");
    };
    if lookups < MIN_LOOKUPS {
        return criterion.note(format!("{lookups} look-ups are too few to tell"));
    }
    let percent = 100.0 * hits as f64 / lookups as f64;
    criterion.measured(percent > CACHE_HIT_LIMIT_PERCENT, format!("{percent:.1} %"))
}

fn critical_alerts(observations: &[Observation]) -> Criterion {
    let criterion = criterion(
        "critical_alerts",
        Kind::Performance,
        "The platform raised no critical alert",
        "Phase 2 and 4, no critical alerts",
        "observations",
        "0",
    );
    let answered: Vec<u64> = observations.iter().filter_map(|o| o.critical_alerts).collect();
    let worst = answered.iter().max().copied();
    match worst {
        Some(alerts) if alerts > 0 => {
            criterion.measured(false, alerts.to_string()).asks_for(Action::StandardRollback)
        }
        // A platform that was silent half of the time may have been alarmed all that time.
        Some(_) if answered.len() * 2 > observations.len() => criterion.measured(true, "0"),
        _ => criterion.note(format!(
            "the monitoring endpoint answered {} of {} times",
            answered.len(),
            observations.len()
        )),
    }
}

fn external_cache(observations: &[Observation]) -> Criterion {
    let criterion = criterion(
        "external_cache",
        Kind::Advice,
        "The external cache was there all the time",
        "decision matrix: cache unavailable, continue (has fallback)",
        "observations",
        "always available",
    );
    let lost = observations.iter().find(|o| o.cache_available == Some(false));
    match lost {
        Some(observation) => criterion
            .measured(false, format!("lost at {:.0} s", observation.at_s.max(0.0)))
            .note("the platform went on with its fallback; mend the cache"),
        None if observations.iter().any(|o| o.cache_available == Some(true)) => {
            criterion.measured(true, "always")
        }
        None => criterion.note("the platform did not say"),
    }
}

pub(super) fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

pub(super) fn milliseconds(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1000.0)
}
