//! What many looks at a platform come to.

use std::collections::BTreeSet;

use chrono::DateTime;

use cutover_evidence::policy::LONGEST_GAP_S;
use cutover_evidence::watch::{AlarmLevel, Metric, RoutedShare, Sample, WatchEvidence};

/// The sum of all looks at the platform of a run, whatever their order. One at another platform counts
/// for nothing, nor does one whose time is no time.
pub fn watched(looks: &[Sample], base_url: Option<&str>) -> WatchEvidence {
    let is_here = |look: &&Sample| {
        look.base_url.is_none() || base_url.is_none() || look.base_url.as_deref() == base_url
    };
    let (looks, elsewhere): (Vec<&Sample>, Vec<&Sample>) = looks.iter().partition(is_here);
    let mut timed: Vec<(f64, &Sample)> = looks
        .iter()
        .copied()
        .filter_map(|look| Some((DateTime::parse_from_rfc3339(&look.at).ok()?, look)))
        .map(|(at, look)| (at.timestamp_millis() as f64 / 1000.0, look))
        .collect();
    timed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let is_answered = |(_, look): &&(f64, &Sample)| look.error.is_none();
    // A look without an answer ends what was watched: nobody knows for how long nobody answered.
    let watched = timed.windows(2).filter(|pair| pair.iter().all(|look| is_answered(&look)));
    let gaps = watched.map(|pair| pair[1].0 - pair[0].0);
    let watched_s: f64 = gaps.filter(|gap| *gap <= LONGEST_GAP_S).sum();
    let alarms = timed.iter().flat_map(|(_, look)| &look.alarms);
    let critical: BTreeSet<Metric> =
        alarms.filter(|alarm| alarm.level == AlarmLevel::Critical).map(|a| a.metric).collect();
    let pools = || timed.iter().filter_map(|(_, l)| Some((l.pool_in_use?, l.pool_max?)));
    let at = |look: Option<&(f64, &Sample)>| look.map_or(String::new(), |(_, l)| l.at.clone());
    let lags = timed.iter().filter_map(|(_, look)| look.replica_lag_s);
    WatchEvidence {
        from: at(timed.first()),
        to: at(timed.last()),
        watched_h: watched_s / 3600.0,
        looks: looks.len() as u64,
        elsewhere: elsewhere.len() as u64,
        answered: timed.iter().filter(is_answered).count() as u64,
        critical_alerts: timed.iter().filter_map(|(_, look)| look.critical_alerts).max(),
        critical_alarms: critical.into_iter().collect(),
        replica_lag_s: lags.filter(|lag_s| lag_s.is_finite()).max_by(f64::total_cmp),
        pool_looks: pools().count() as u64,
        pool_exhausted: pools().filter(|(in_use, max)| in_use >= max).count() as u64,
        routed: routed(timed.iter().map(|(_, look)| *look)),
    }
}

fn routed<'a>(looks: impl Iterator<Item = &'a Sample>) -> Vec<RoutedShare> {
    let mut shares: Vec<RoutedShare> = Vec::new();
    for look in looks {
        let (Some(percentage), Some(requests), Some(partitioned)) =
            (look.percentage, look.routed_requests, look.routed_partitioned)
        else {
            continue;
        };
        match shares.last_mut().filter(|share| share.percentage == percentage) {
            Some(share) => {
                share.requests = share.requests.saturating_add(requests);
                share.partitioned = share.partitioned.saturating_add(partitioned);
            }
            None => shares.push(RoutedShare { percentage, requests, partitioned }),
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::watch::Alarm;

    fn look(at: &str) -> Sample {
        Sample { at: at.into(), ..Sample::default() }
    }

    #[test]
    fn only_the_time_between_answered_looks_counts() {
        let hour = |hour: u32| look(&format!("2026-03-01T{hour:02}:00:00Z"));
        let silent = Sample { error: Some("timeout".into()), ..hour(3) };
        // 0 to 2 was watched; from 2 to 5 nobody knows; 5 to 6 was watched; the last is no time.
        let looks = [hour(5), hour(0), hour(1), hour(2), silent, hour(6), look("yesterday")];
        let evidence = watched(&looks, None);
        assert_eq!(evidence.watched_h, 3.0);
        assert_eq!((evidence.looks, evidence.answered), (7, 5));
        assert_eq!(evidence.from, "2026-03-01T00:00:00Z");
        assert_eq!(watched(&[], None), WatchEvidence::default());
    }

    #[test]
    fn a_look_without_an_answer_ends_the_time_and_a_critical_alarm_is_kept() {
        let at = |minute: u32| look(&format!("2026-03-01T00:{minute:02}:00Z"));
        let silent = |minute: u32| Sample { error: Some("refused".into()), ..at(minute) };
        let raised = |metric, level| Alarm { metric, level, value: 0.0, action: String::new() };
        let alarmed = Sample {
            alarms: vec![
                raised(Metric::RowDelta, AlarmLevel::Critical),
                raised(Metric::P95, AlarmLevel::Warning),
            ],
            ..at(50)
        };
        // Ten minutes before the silence, ten after it.
        let evidence = watched(&[at(0), at(10), silent(11), silent(39), at(40), alarmed], None);
        assert_eq!((evidence.watched_h * 60.0).round(), 20.0);
        assert_eq!(evidence.critical_alarms, [Metric::RowDelta]);
    }

    #[test]
    fn looks_at_another_platform_count_for_nothing() {
        let at = |hour: u32, base_url: Option<&str>| Sample {
            base_url: base_url.map(str::to_owned),
            critical_alerts: Some(u64::from(hour > 3)),
            ..look(&format!("2026-03-01T{hour:02}:00:00Z"))
        };
        let (own, other) = ("https://app.example/", "https://other.example/");
        let looks = [at(0, Some(own)), at(1, None), at(4, Some(other)), at(5, Some(other))];
        let evidence = watched(&looks, Some(own));
        assert_eq!((evidence.watched_h, evidence.looks, evidence.elsewhere), (1.0, 2, 2));
        assert_eq!(evidence.critical_alerts, Some(0));
        assert_eq!(watched(&looks, None).elsewhere, 0);
    }

    #[test]
    fn each_percentage_is_summed_by_itself() {
        let at = |minute: u32, percentage, requests, partitioned| Sample {
            percentage: Some(percentage),
            routed_requests: Some(requests),
            routed_partitioned: Some(partitioned),
            ..look(&format!("2026-03-01T00:{minute:02}:00Z"))
        };
        let looks = [at(0, 5.0, 100, 4), at(5, 5.0, 100, 6), at(10, 10.0, 50, 5)];
        let expected = [(5.0, 200, 10), (10.0, 50, 5)];
        let routed = watched(&looks, None).routed;
        let routed: Vec<_> =
            routed.iter().map(|s| (s.percentage, s.requests, s.partitioned)).collect();
        assert_eq!(routed, expected);
    }
}
