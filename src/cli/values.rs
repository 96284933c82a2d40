//! Values of options, checked where they are parsed, with the allowed range in the message.

use std::time::Duration;

use crate::evidence::drive::Mode;

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

/// Arrivals per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let allowed = "a number of requests per second from 1 to 1000000";
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=1e6).contains(&rate) => Ok(rate),
        _ => Err(format!("give {allowed}")),
    }
}

/// How hard to drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rate {
    /// Arrivals per second.
    PerSecond(f64),
    /// As fast as answers come.
    Max,
}

/// Arrivals per second, or `max`.
pub(super) fn rate_or_max(text: &str) -> Result<Rate, String> {
    match text {
        "max" => Ok(Rate::Max),
        _ => rate(text).map(Rate::PerSecond).map_err(|allowed| format!("{allowed}, or max")),
    }
}

/// The modes of a pair, baseline first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Modes(pub Vec<Mode>);

/// One mode, or two with a comma between them.
pub(super) fn modes(text: &str) -> Result<Modes, String> {
    let one = |word: &str| Mode::ALL.into_iter().find(|mode| mode.as_str() == word.trim());
    match text.split(',').map(one).collect::<Option<Vec<_>>>() {
        Some(modes) if modes.len() <= 2 => Ok(Modes(modes)),
        _ => {
            Err("give legacy,partitioned to compare, legacy,legacy to calibrate, or one mode"
                .into())
        }
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
        assert_eq!(rate_or_max("max"), Ok(Rate::Max));
        assert!(rate_or_max("maximum").is_err_and(|e| e.contains("or max")));
        assert_eq!(modes("legacy, legacy"), Ok(Modes(vec![Mode::Legacy; 2])));
        assert_eq!(modes("partitioned"), Ok(Modes(vec![Mode::Partitioned])));
        for bad in ["", "both", "legacy,partitioned,legacy", "legacy,"] {
            assert!(modes(bad).is_err_and(|e| e.contains("to calibrate")), "{bad}");
        }
        assert_eq!(orgs("100_000"), Ok(100_000));
        for bad in ["0", "-5", "1e5"] {
            assert!(orgs(bad).is_err_and(|e| e.contains("1 to 10000000")), "{bad}");
        }
    }
}
