//! Values of options, checked where they are parsed, with the allowed range in the message.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::evidence::drive::Side;
use crate::evidence::shard::Shard;

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

/// How long somebody watches: up to a quarter of a year.
pub(super) fn watched(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(92 * 24 * 3600));
    match humantime::parse_duration(text) {
        Ok(length) if (least..=most).contains(&length) => Ok(length),
        _ => Err("give a duration from 1s to 92d, for example 24h, 72h or 7d".into()),
    }
}

/// The time between two looks: more would be load, and fewer are none of the handbook's.
pub(super) fn between_looks(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(3600));
    match humantime::parse_duration(text) {
        Ok(every) if (least..=most).contains(&every) => Ok(every),
        _ => Err("give a duration from 100ms to 1h, for example 30s or 5m".into()),
    }
}

/// A duration of any length.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "give a duration such as 10s or 500ms".into())
}

/// A number of things of which there is at least one.
pub(super) fn count(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
        _ => Err("give a whole number from 1 to 1000000".into()),
    }
}

/// A response time.
pub(super) fn latency(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(10));
    match humantime::parse_duration(text) {
        Ok(limit) if (least..=most).contains(&limit) => Ok(limit),
        _ => Err("give a duration from 1ms to 10s, for example 100ms".into()),
    }
}

/// A day around which a calendar of some years fits into every type that has to hold it.
pub(super) fn day(text: &str) -> Result<NaiveDate, String> {
    match text.parse::<NaiveDate>() {
        Ok(day) if (1990..=2100).contains(&day.year()) => Ok(day),
        _ => Err("give a day from 1990-01-01 to 2100-12-31".into()),
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
pub(super) struct Modes(pub Vec<Side>);

/// One mode, or two with a comma between them.
pub(super) fn modes(text: &str) -> Result<Modes, String> {
    let one = |word: &str| Side::BOTH.into_iter().find(|mode| mode.as_str() == word.trim());
    match text.split(',').map(one).collect::<Option<Vec<_>>>() {
        Some(modes) if modes.len() <= 2 => Ok(Modes(modes)),
        _ => {
            Err("give legacy,partitioned to compare, legacy,legacy to calibrate, or one mode"
                .into())
        }
    }
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

/// One of several runs that share the work: `2/3`.
pub(super) fn shard(text: &str) -> Result<Shard, String> {
    let parts = text
        .split_once('/')
        .and_then(|(index, of)| Some((index.parse::<u64>().ok()?, of.parse::<u64>().ok()?)));
    match parts {
        Some((index, of)) if (1..=of).contains(&index) && of <= 10_000 => Ok(Shard { index, of }),
        _ => Err("give I/N with I from 1 to N and N up to 10000, for example 2/3".into()),
    }
}

/// A moment.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(Into::into)
        .map_err(|_| "give a time as RFC 3339, for example 2026-03-01T10:15:00Z".into())
}

/// Arrivals per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    within(text, 1.0..=1e6, "a number of requests per second")
}

/// Mean transactions per org.
pub(super) fn transactions(text: &str) -> Result<f64, String> {
    within(text, 1.0..=100_000.0, "a mean number of transactions per org")
}

/// Number of orgs of a rehearsal.
pub(super) fn orgs(text: &str) -> Result<u64, String> {
    within(&text.replace('_', ""), 1..=10_000_000, "a whole number of orgs")
}

/// Number of orgs of a seed, and the number of one of them.
pub(super) fn seeded_orgs(text: &str) -> Result<u64, String> {
    within(&text.replace('_', ""), 1..=crate::seed::Options::MAX_ORGS, "a whole number")
}

/// Number of connections that drain a plan.
pub(super) fn connections(text: &str) -> Result<usize, String> {
    within(text, 1..=10_000, "a whole number of connections")
}

/// Bytes, with their unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 4] = [("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12)];
    let found = UNITS.iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
        Some(number * factor)
    });
    let whole = found.filter(|bytes| bytes.is_finite() && *bytes >= 1e6);
    whole
        .map(|bytes| bytes as u64)
        .ok_or_else(|| "give at least a megabyte, for example 500MB or 1GB".into())
}

/// Number of findings to stop at.
pub(super) fn findings(text: &str) -> Result<u64, String> {
    within(text, 1..=u64::MAX, "a whole number of findings")
}

/// Number of rows.
pub(super) fn rows(text: &str) -> Result<u64, String> {
    within(text, 1..=u64::MAX, "a whole number of rows")
}

/// Number of earlier runs.
pub(super) fn runs(text: &str) -> Result<usize, String> {
    within(text, 1..=1000, "a whole number of runs")
}

/// Number of connections to the database.
pub(super) fn database_connections(text: &str) -> Result<usize, String> {
    within(text, 1..=64, "a whole number of connections")
}

/// Pairs of a load.
pub(super) fn pairs(text: &str) -> Result<u32, String> {
    within(text, 1..=10_000, "a whole number of pairs")
}

/// Looks at a load.
pub(super) fn looks(text: &str) -> Result<u32, String> {
    within(text, 1..=crate::gate::MOST_LOOKS, "a whole number of looks")
}

/// Seed of random choices.
pub(super) fn rng_seed(text: &str) -> Result<u64, String> {
    within(text, 0..=u64::MAX, "a whole number")
}

/// Port of a server.
pub(super) fn port(text: &str) -> Result<u16, String> {
    within(text, 1..=u16::MAX, "a port")
}

/// Address to listen on.
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give ADDRESS:PORT, for example 127.0.0.1:4000".into())
}

/// Address of a page without a password.
pub(super) fn page(text: &str) -> Result<SocketAddr, String> {
    match listen(text) {
        Ok(address) if address.ip().is_loopback() && address.port() > 0 => Ok(address),
        _ => Err(
            "give a loopback ADDRESS:PORT such as 127.0.0.1:5118; the page asks for no password"
                .into(),
        ),
    }
}

/// A number of a range; the message says what it is and what is allowed.
fn within<T: FromStr + PartialOrd + Display>(
    text: &str,
    allowed: RangeInclusive<T>,
    what: &str,
) -> Result<T, String> {
    match text.parse() {
        Ok(value) if allowed.contains(&value) => Ok(value),
        _ => Err(format!("give {what} from {} to {}", allowed.start(), allowed.end())),
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

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
        assert_eq!(modes("legacy, legacy"), Ok(Modes(vec![Side::Legacy; 2])));
        assert_eq!(modes("partitioned"), Ok(Modes(vec![Side::Partitioned])));
        for bad in ["", "both", "legacy,partitioned,legacy", "legacy,"] {
            assert!(modes(bad).is_err_and(|e| e.contains("to calibrate")), "{bad}");
        }
        assert_eq!(orgs("100_000"), Ok(100_000));
        assert_eq!(shard("2/3"), Ok(Shard { index: 2, of: 3 }));
        for bad in ["0/3", "4/3", "1", "1/0", "a/b"] {
            assert!(shard(bad).is_err_and(|e| e.contains("2/3")), "{bad}");
        }
        assert_eq!(since("2026-11-22"), since("2026-11-22T00:00:00Z"));
        assert!(since("90m").is_ok_and(|time| time < Utc::now()));
        for bad in ["yesterday", "", "22.11.2026"] {
            assert!(since(bad).is_err_and(|e| e.contains("90m")), "{bad}");
        }
        for bad in ["0.0.0.0:5118", "127.0.0.1:0", "localhost"] {
            assert!(page(bad).is_err_and(|e| e.contains("no password")), "{bad}");
        }
        assert!(page("[::1]:5118").is_ok());
        for bad in ["0", "-5", "1e5"] {
            assert!(orgs(bad).is_err_and(|e| e.contains("1 to 10000000")), "{bad}");
        }
        assert_eq!(day("2024-02-29").map(|day| day.to_string()), Ok("2024-02-29".into()));
        for bad in ["2023-02-29", "1989-12-31", "2101-01-01", "29.2.2024", ""] {
            assert!(day(bad).is_err_and(|e| e.contains("1990-01-01 to 2100-12-31")), "{bad}");
        }
    }

    /// Whatever an option takes, a slip in it is answered with what it takes, not with a parser's
    /// "invalid digit found in string".
    #[test]
    fn every_option_names_what_it_takes() {
        let mut refused = 0;
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
                let line = ["cutover", command.get_name(), &format!("--{option}=?!")];
                let Err(error) = Cli::try_parse_from(line) else { continue };
                if error.kind() != ErrorKind::ValueValidation {
                    continue;
                }
                refused += 1;
                let message = error.to_string();
                let line = message.lines().next().expect("a first line");
                let named = line.contains("?!") && line.contains(option) && line.contains("give ");
                assert!(named, "{}: {line}", command.get_name());
            }
        }
        assert!(refused > 15, "{refused}");
    }
}
