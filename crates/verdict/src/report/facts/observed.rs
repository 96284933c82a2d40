//! What the platform said about itself, in words and as a curve.

use super::Tone;
use crate::report::text::{count, counted, number};
use cutover_evidence::limits::{LimitId, Limits};
use cutover_evidence::observation::Observation;
use cutover_evidence::policy::{HIT_RATE_CRITICAL, REPLICA_LAG_WARNING_S};

/// One sentence with how good its news is.
pub struct Said {
    /// How good it is.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// The cache hit rate over time.
pub struct CacheRates {
    /// Where the rates come from, in words.
    pub source: &'static str,
    /// Seconds since the load began, and the rate in percent.
    pub points: Vec<(f64, f64)>,
}

/// The hit rate between one look and the next if the platform counts hits, else its own figure.
pub fn cache_rates(observations: &[Observation]) -> CacheRates {
    let counted: Vec<(f64, f64)> = observations
        .windows(2)
        .filter_map(|pair| {
            let hits = pair[1].cache_hits?.checked_sub(pair[0].cache_hits?)?;
            let lookups = pair[1].cache_lookups?.checked_sub(pair[0].cache_lookups?)?;
            (lookups > 0 && hits <= lookups && pair[1].at_s.is_finite())
                .then(|| (pair[1].at_s, 100.0 * hits as f64 / lookups as f64))
        })
        .collect();
    if !counted.is_empty() {
        let source = "hits per look-up between one look and the next";
        return CacheRates { source, points: counted };
    }
    let own = |o: &Observation| Some((o.at_s, o.cache_hit_rate_percent?));
    let points = observations
        .iter()
        .filter_map(own)
        .filter(|(at_s, rate)| at_s.is_finite() && (0.0..=100.0).contains(rate))
        .collect();
    CacheRates { source: "the platform's own figure", points }
}

/// Spans in which the external cache was said to be away: first and last such look, in seconds.
pub fn lost_spans(observations: &[Observation]) -> Vec<(f64, f64)> {
    observations
        .chunk_by(|a, b| a.cache_available == b.cache_available)
        .filter(|looks| looks[0].cache_available == Some(false))
        .map(|looks| (looks[0].at_s, looks[looks.len() - 1].at_s))
        .collect()
}

/// Everything worth saying about the observations, in sentences.
pub fn observed(observations: &[Observation], limits: &Limits<'_>) -> Vec<Said> {
    if observations.is_empty() {
        let text = "The platform was not observed, so nothing is known of its cache, its alerts \
                    or its replica lag. That is not good news.";
        return vec![Said { tone: Tone::Doubtful, text: text.to_owned() }];
    }
    vec![
        answers(observations),
        health(observations),
        external_cache(observations),
        hit_rate(observations, limits),
        alerts(observations),
        replica_lag(observations, limits),
    ]
}

fn answers(observations: &[Observation]) -> Said {
    let looks = counted(observations.len() as u64, "look", "looks");
    let failed: Vec<&String> = observations.iter().filter_map(|o| o.error.as_ref()).collect();
    match failed.first() {
        None => Said { tone: Tone::Good, text: format!("The platform answered all of {looks}.") },
        Some(first) => {
            let number = count(failed.len() as u64);
            let text = format!("Of {looks}, {number} got no answer; the first: {first}");
            Said { tone: Tone::Doubtful, text }
        }
    }
}

fn health(observations: &[Observation]) -> Said {
    let said: Vec<&str> = observations.iter().filter_map(|o| o.system_status.as_deref()).collect();
    let ill = said.iter().filter(|status| **status != "healthy").count();
    let (tone, text) = match (said.is_empty(), ill) {
        (true, _) => (Tone::Doubtful, "No look learned the system status.".to_owned()),
        (false, 0) => (Tone::Good, "The system status was healthy at every look.".to_owned()),
        (false, _) => {
            let worst = if said.contains(&"unhealthy") { "unhealthy" } else { "not healthy" };
            let (ill, all) = (count(ill as u64), count(said.len() as u64));
            (Tone::Bad, format!("The system status was {worst} at {ill} of {all} looks."))
        }
    };
    Said { tone, text }
}

fn external_cache(observations: &[Observation]) -> Said {
    let said: Vec<bool> = observations.iter().filter_map(|o| o.cache_available).collect();
    let away = said.iter().filter(|available| !**available).count();
    let spans = lost_spans(observations);
    let (Some(last), Some((from, to))) =
        (said.last(), spans.first().zip(spans.last()).map(|(first, last)| (first.0, last.1)))
    else {
        let (tone, text) = match said.is_empty() {
            true => (Tone::Doubtful, "No look learned whether the external cache answered."),
            false => (Tone::Good, "The external cache was never lost."),
        };
        return Said { tone, text: text.to_owned() };
    };
    let (from, to) = (number(from, 0), number(to, 0));
    let (away, all) = (count(away as u64), count(said.len() as u64));
    let after = if *last { "It was back at the end." } else { "It had not come back at the end." };
    let text = format!(
        "The external cache was lost: {away} of {all} looks found it away, the first at {from} s \
         and the last at {to} s. {after}"
    );
    Said { tone: Tone::Bad, text }
}

fn hit_rate(observations: &[Observation], limits: &Limits<'_>) -> Said {
    let CacheRates { source, points } = cache_rates(observations);
    let lowest = points.iter().map(|(_, rate)| *rate).reduce(f64::min);
    let (Some(lowest), Some((_, last))) = (lowest, points.last()) else {
        let text = "The cache hit rate is not known.".to_owned();
        return Said { tone: Tone::Doubtful, text };
    };
    let tone = match *last {
        rate if rate < HIT_RATE_CRITICAL * 100.0 => Tone::Bad,
        rate if rate <= limits.value(LimitId::CacheHitRate) * 100.0 => Tone::Doubtful,
        _ => Tone::Good,
    };
    let text = format!(
        "The cache hit rate was {last:.1} % at the last look and {lowest:.1} % at its lowest \
         ({source})."
    );
    Said { tone, text }
}

fn alerts(observations: &[Observation]) -> Said {
    let critical = observations.iter().filter_map(|o| o.critical_alerts).max();
    let warnings = observations.iter().filter_map(|o| o.warning_alerts).max();
    let warned = match warnings {
        None => "warnings were not reported".to_owned(),
        Some(0) => "no warning either".to_owned(),
        Some(n) => format!("at most {} at once", counted(n, "warning", "warnings")),
    };
    let (tone, text) = match critical {
        None => (Tone::Doubtful, format!("Critical alerts were not reported; {warned}.")),
        Some(0) => (Tone::Good, format!("The platform raised no critical alert; {warned}.")),
        Some(n) => {
            let n = counted(n, "critical alert", "critical alerts");
            (Tone::Bad, format!("The platform raised {n} at once; {warned}."))
        }
    };
    Said { tone, text }
}

fn replica_lag(observations: &[Observation], limits: &Limits<'_>) -> Said {
    let lags = observations.iter().filter_map(|o| o.replica_lag_s).filter(|lag| lag.is_finite());
    let Some(worst) = lags.reduce(f64::max) else {
        let text = "No replica lag was reported: there is no replica, or nobody asked.".to_owned();
        return Said { tone: Tone::Plain, text };
    };
    let tone = match worst {
        lag if lag > limits.value(LimitId::ReplicaLag) => Tone::Bad,
        lag if lag > REPLICA_LAG_WARNING_S => Tone::Doubtful,
        _ => Tone::Good,
    };
    Said { tone, text: format!("The largest replica lag was {worst:.1} s.") }
}
