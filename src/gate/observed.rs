//! The criteria about what the platform says of itself while it is under load.

use super::criteria::criterion;
use super::limits;
use super::load::share;
use crate::evidence::drive::DriveEvidence;
use crate::evidence::observation::Observation;
use crate::evidence::run_record::RunRecord;
use crate::evidence::verdict::{Action, Criterion, Kind};

/// With fewer look-ups the hit rate says nothing.
const MIN_LOOKUPS: u64 = 100;

/// Criteria about the platform's own word.
pub(super) fn all(record: &RunRecord) -> Vec<Criterion> {
    let observations = &record.observations;
    let limit = |criterion| limits::of(record, criterion);
    vec![
        cache_hit_rate(record.drive.as_ref(), observations, limit("cache_hit_rate")),
        critical_alerts(observations),
        external_cache(observations),
        replica_lag(observations, limit("replica_lag")),
        watched(record),
    ]
}

fn cache_hit_rate(
    drive: Option<&DriveEvidence>,
    observations: &[Observation],
    limit: f64,
) -> Criterion {
    let criterion = criterion(
        "cache_hit_rate",
        Kind::Performance,
        "The cache answers most of what it is asked",
        "Phase 4, cache hit rate > 70 %",
        "observations",
        format!("> {} %", share(limit)),
    );
    // Only what was counted in the second half of the measured windows: filling up from a cold start
    // is not the cache's fault, and takes as long as the load is wide.
    let windows = drive.map_or(&[][..], |drive| &drive.windows);
    let from_s = windows.get(windows.len() / 2).map_or(0.0, |window| window.start_s);
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
    let rate = hits as f64 / lookups as f64;
    criterion.measured(rate > limit, format!("{:.1} %", rate * 100.0)).above(rate, limit)
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

/// The decision matrix goes on when a replica lags, so this is shown and decides nothing.
fn replica_lag(observations: &[Observation], limit: f64) -> Criterion {
    let criterion = criterion(
        "replica_lag",
        Kind::Advice,
        "Replicas kept up",
        "alert thresholds, replica lag > 30 s; decision matrix: continue (has fallback)",
        "observations",
        format!("≤ {limit} s"),
    );
    match observations.iter().filter_map(|o| o.replica_lag_s).max_by(f64::total_cmp) {
        Some(lag_s) => {
            criterion.measured(lag_s <= limit, format!("at most {lag_s:.1} s")).below(lag_s, limit)
        }
        None => criterion.note("no replica, or the platform did not say"),
    }
}

/// How long the handbook wants a state to be watched before the next step. A rehearsal is shorter
/// by design, so this is shown and decides nothing.
fn watched(record: &RunRecord) -> Criterion {
    let wanted_h = record.phase.watched_h().unwrap_or(0.0);
    let criterion = criterion(
        "watched",
        Kind::Advice,
        "The platform was watched long enough for this phase",
        "Phase 2 (24 hours), Phase 3 (72 hours), Phase 4 (24 hours between increments)",
        "observations",
        format!("≥ {wanted_h} h"),
    );
    let heard = |o: &&Observation| o.error.is_none() && o.at_s.is_finite();
    let times = || record.observations.iter().filter(heard).map(|o| o.at_s);
    let (Some(first), Some(last)) =
        (times().min_by(f64::total_cmp), times().max_by(f64::total_cmp))
    else {
        return criterion.note("it was not watched at all");
    };
    let watched_h = (last - first) / 3600.0;
    criterion
        .measured(watched_h >= wanted_h, format!("{watched_h:.2} h"))
        .above(watched_h, wanted_h)
}
