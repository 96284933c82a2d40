//! The criteria about what the platform says of itself while it is under load.

use super::catalogue::criterion;
use super::limits;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::DriveEvidence;
use cutover_evidence::limits::LimitId;
use cutover_evidence::observation::{Observation, still_filling};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Action, Criterion};

/// With fewer look-ups the hit rate says nothing.
const MIN_LOOKUPS: u64 = 100;

/// Criteria about the platform's own word.
pub(super) fn judge(record: &RunRecord) -> Vec<Criterion> {
    let observations = &record.observations;
    let limit = |criterion| limits::value(record, criterion);
    vec![
        cache_hit_rate(record.drive.as_ref(), observations, limit(LimitId::CacheHitRate)),
        critical_alerts(record),
        external_cache(observations),
        replica_lag(record, limit(LimitId::ReplicaLag)),
    ]
}

fn cache_hit_rate(
    drive: Option<&DriveEvidence>,
    observations: &[Observation],
    limit: f64,
) -> Criterion {
    let criterion = criterion(CriterionId::CacheHitRate);
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
    if hits > lookups {
        return criterion.note("the platform counts more hits than look-ups");
    }
    if lookups < MIN_LOOKUPS {
        return criterion.note(format!("{lookups} look-ups are too few to tell"));
    }
    let rate = hits as f64 / lookups as f64;
    let measured = format!("{:.1} %", rate * 100.0);
    match still_filling(&counts) {
        Some((earlier, later)) if rate <= limit => {
            let note = format!(
                "the cache was still filling: {:.1} %, then {:.1} %; drive longer",
                earlier * 100.0,
                later * 100.0
            );
            Criterion { measured: Some(measured), ..criterion }.note(note)
        }
        _ => criterion.measured(rate > limit, measured).above(rate, limit),
    }
}

fn critical_alerts(record: &RunRecord) -> Criterion {
    let observations = &record.observations;
    let criterion = criterion(CriterionId::CriticalAlerts);
    let raised = record.watch.as_ref().map_or(&[][..], |watch| &watch.critical_alarms);
    if !raised.is_empty() {
        let raised: Vec<&str> = raised.iter().map(|metric| metric.word()).collect();
        let measured = format!("while it was watched: {}", raised.join(", "));
        return criterion.measured(false, measured).asks_for(Action::StandardRollback);
    }
    let answered: Vec<u64> = observations.iter().filter_map(|o| o.critical_alerts).collect();
    let watched = record.watch.as_ref().and_then(|watch| watch.critical_alerts);
    let worst = answered.iter().copied().chain(watched).max();
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
    let criterion = criterion(CriterionId::ExternalCache);
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
fn replica_lag(record: &RunRecord, limit: f64) -> Criterion {
    let criterion = criterion(CriterionId::ReplicaLag);
    let lags = record.observations.iter().filter_map(|o| o.replica_lag_s);
    let watched = record.watch.as_ref().and_then(|watch| watch.replica_lag_s);
    match lags.chain(watched).max_by(f64::total_cmp) {
        Some(lag_s) => {
            criterion.measured(lag_s <= limit, format!("at most {lag_s:.1} s")).below(lag_s, limit)
        }
        None => criterion.note("no replica, or the platform did not say"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::verdict::State;

    /// What a platform says whose cache answers so many of each hundred look-ups, second by second.
    fn hit_rate(of_a_hundred: &[u64]) -> Criterion {
        let (mut cache_hits, mut cache_lookups) = (0, 0);
        let observations = std::iter::once(&0).chain(of_a_hundred).enumerate();
        let observations: Vec<Observation> = observations
            .map(|(second, hits)| {
                cache_hits += hits;
                cache_lookups += if second == 0 { 0 } else { 100 };
                Observation {
                    at_s: second as f64,
                    cache_hits: Some(cache_hits),
                    cache_lookups: Some(cache_lookups),
                    ..Observation::default()
                }
            })
            .collect();
        cache_hit_rate(None, &observations, 0.7)
    }

    #[test]
    fn a_cache_that_is_still_filling_is_undecided_and_one_that_stays_low_fails() {
        assert_eq!(hit_rate(&[80; 8]).state, State::Pass);
        assert_eq!(hit_rate(&[60; 8]).state, State::Fail);
        let filling = hit_rate(&[50, 54, 58, 62, 66, 70, 74, 78]);
        assert_eq!(filling.state, State::Unknown);
        assert!(filling.note.contains("56.0 %, then 72.0 %"), "{}", filling.note);
        // A rate that falls, or moves by chance alone, is no promise.
        assert_eq!(hit_rate(&[78, 74, 70, 66, 62, 58, 54, 50]).state, State::Fail);
        assert_eq!(hit_rate(&[60, 61, 59, 60, 61, 60, 62, 60]).state, State::Fail);
        // One that has risen above the limit passes however it came there.
        assert_eq!(hit_rate(&[71, 74, 76, 79, 81, 83, 85, 88]).state, State::Pass);
    }
}
