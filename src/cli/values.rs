//! Values of options, checked where they are parsed, with the allowed range in the message.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};

/// A duration: `90s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let allowed = "a duration from 1s to 72h, for example 90s, 5m or 1h";
    let duration = humantime::parse_duration(text).map_err(|e| format!("{e}; give {allowed}"))?;
    if duration < Duration::from_secs(1) || duration > 3 * DAY {
        return Err(format!("give {allowed}"));
    }
    Ok(duration)
}

/// A time: `2026-11-22T10:00:00Z`, `2026-11-22` (midnight UTC), or a duration before now.
pub(super) fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.into());
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let ago = humantime::parse_duration(text)
        .ok()
        .and_then(|ago| Utc::now().checked_sub_signed(TimeDelta::from_std(ago).ok()?));
    ago.ok_or_else(|| {
        "give a time such as 2026-11-22T10:00:00Z or 2026-11-22, or a duration such as 90m".into()
    })
}

/// One of several equal parts of the orgs: `2/3`.
pub(super) fn shard(text: &str) -> Result<(u64, u64), String> {
    let parts = text
        .split_once('/')
        .and_then(|(index, of)| Some((index.parse::<u64>().ok()?, of.parse::<u64>().ok()?)));
    match parts {
        Some((index, of)) if (1..=of).contains(&index) && of <= 10_000 => Ok((index, of)),
        _ => Err("give I/N with I from 1 to N and N up to 10000, for example 2/3".into()),
    }
}

/// Arrivals per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let allowed = "a number of requests per second from 1 to 1000000";
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=1e6).contains(&rate) => Ok(rate),
        _ => Err(format!("give {allowed}")),
    }
}

/// Number of orgs.
pub(super) fn orgs(text: &str) -> Result<u64, String> {
    match text.replace('_', "").parse::<u64>() {
        Ok(orgs) if (1..=10_000_000).contains(&orgs) => Ok(orgs),
        _ => Err("give a whole number of orgs from 1 to 10000000".into()),
    }
}

/// Mean transactions per org.
pub(super) fn transactions(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(mean) if (1.0..=10_000.0).contains(&mean) => Ok(mean),
        _ => Err("give a mean number of transactions per org from 1 to 10000".into()),
    }
}

/// Number of connections.
pub(super) fn connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(connections) if (1..=10_000).contains(&connections) => Ok(connections),
        _ => Err("give a whole number of connections from 1 to 10000".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept_and_named() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for bad in ["0s", "-1s", "", "100h", "soon"] {
            assert!(duration(bad).is_err_and(|e| e.contains("1s to 72h")), "{bad}");
        }
        assert_eq!(rate("250"), Ok(250.0));
        for bad in ["-1", "0", "NaN", "inf", "x"] {
            assert!(rate(bad).is_err_and(|e| e.contains("1 to 1000000")), "{bad}");
        }
        assert_eq!(orgs("100_000"), Ok(100_000));
        assert_eq!(shard("2/3"), Ok((2, 3)));
        for bad in ["0/3", "4/3", "1", "1/0", "a/b"] {
            assert!(shard(bad).is_err_and(|e| e.contains("2/3")), "{bad}");
        }
        assert_eq!(since("2026-11-22"), since("2026-11-22T00:00:00Z"));
        assert!(since("90m").is_ok_and(|time| time < Utc::now()));
        for bad in ["yesterday", "", "22.11.2026"] {
            assert!(since(bad).is_err_and(|e| e.contains("90m")), "{bad}");
        }
        for bad in ["0", "-5", "1e5"] {
            assert!(orgs(bad).is_err_and(|e| e.contains("1 to 10000000")), "{bad}");
        }
    }
}
