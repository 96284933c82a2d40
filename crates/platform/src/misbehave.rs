//! The platform going wrong on purpose, for tests and drills; off by default, only on loopback.
//!
//! This file says what can go wrong and how much of it; [`super::injector`] decides when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Error;

/// A kind of misbehaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A request routed to partitioned takes this share longer than it did.
    SlowPartitioned,
    /// Reads by id ignore the date and probe every partition.
    UnprunedById,
    /// Writes do not invalidate the cache.
    StaleCache,
    /// Writes are acknowledged and rolled back.
    LostWrite,
    /// Writes fail with 500 after they were committed.
    PhantomWrite,
    /// The twin's row is gone after a write to it.
    TornWrite,
    /// Inserts are applied twice.
    DoubleWrite,
    /// Updates write the old values back half a second later.
    StaleUpdate,
    /// Cached reads are served from another org's entry.
    CrossOrgCache,
    /// Totals read from the twin are rounded.
    TwinRounding,
    /// Lists read from the twin come in the wrong order.
    TwinOrder,
    /// Requests are served by the other side, which the answer admits.
    WrongMode,
    /// Requests fail with 500 before they do anything.
    ErrorRate,
    /// Every request takes so much longer.
    Slow,
    /// Nothing is answered for so long, once in so long.
    Freeze,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Amount {
    Always,
    Share(f64),
    Delay(Duration),
    Burst { length: Duration, every: Duration },
}

/// One way to go wrong, as `NAME` or `NAME=VALUE`: `slow-partitioned=25%`, `slow=10ms`,
/// `freeze=1s/10s`, `stale-cache`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misbehaviour {
    pub(super) fault: Fault,
    pub(super) amount: Amount,
}

/// Name, fault, and the amount if none is given, which also says what kind of value is wanted.
const KNOWN: [(&str, Fault, Amount); 15] = [
    ("slow-partitioned", Fault::SlowPartitioned, Amount::Share(0.25)),
    ("unpruned-by-id", Fault::UnprunedById, Amount::Always),
    ("stale-cache", Fault::StaleCache, Amount::Always),
    ("lost-write", Fault::LostWrite, Amount::Share(0.01)),
    ("phantom-write", Fault::PhantomWrite, Amount::Share(0.01)),
    ("torn-write", Fault::TornWrite, Amount::Share(0.01)),
    ("double-write", Fault::DoubleWrite, Amount::Share(0.01)),
    ("stale-update", Fault::StaleUpdate, Amount::Share(0.01)),
    ("cross-org-cache", Fault::CrossOrgCache, Amount::Share(0.01)),
    ("twin-rounding", Fault::TwinRounding, Amount::Always),
    ("twin-order", Fault::TwinOrder, Amount::Always),
    ("wrong-mode", Fault::WrongMode, Amount::Share(0.01)),
    ("error-rate", Fault::ErrorRate, Amount::Share(0.01)),
    ("slow", Fault::Slow, Amount::Delay(Duration::from_millis(10))),
    (
        "freeze",
        Fault::Freeze,
        Amount::Burst { length: Duration::from_secs(1), every: Duration::from_secs(10) },
    ),
];

impl FromStr for Misbehaviour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let Some((_, fault, usual)) = KNOWN.iter().find(|(known, ..)| *known == name) else {
            let names = KNOWN.map(|(known, ..)| known).join(", ");
            return Err(Error::usage(
                format!("there is no misbehaviour `{name}`"),
                format!("the names are {names}"),
            ));
        };
        let amount = match (usual, value) {
            (usual, None) => Some(*usual),
            (Amount::Always, Some(_)) => None,
            (Amount::Share(_), Some(value)) => {
                // More than 100 % makes sense for a slowdown only.
                let limit = if *fault == Fault::SlowPartitioned { 10.0 } else { 1.0 };
                share(value).filter(|share| *share <= limit).map(Amount::Share)
            }
            (Amount::Delay(_), Some(value)) => duration(value).map(Amount::Delay),
            (Amount::Burst { .. }, Some(value)) => burst(value),
        };
        let amount = amount.ok_or_else(|| {
            let wanted = match usual {
                Amount::Always => format!("`{name}` takes no value"),
                Amount::Share(_) => format!("`{name}` takes a share such as 1%"),
                Amount::Delay(_) => format!("`{name}` takes a time such as 10ms"),
                Amount::Burst { .. } => {
                    format!("`{name}` takes a time and a longer period, such as 1s/10s")
                }
            };
            Error::usage(format!("misbehaviour `{text}`: wrong value"), wanted)
        })?;
        Ok(Self { fault: *fault, amount })
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, ..) = KNOWN
            .iter()
            .find(|(_, fault, _)| *fault == self.fault)
            .expect("every fault stands in the table");
        match self.amount {
            Amount::Always => write!(f, "{name}"),
            Amount::Share(share) => write!(f, "{name}={}%", share * 100.0),
            Amount::Delay(delay) => write!(f, "{name}={}ms", delay.as_millis()),
            Amount::Burst { length, every } => {
                write!(f, "{name}={}ms/{}ms", length.as_millis(), every.as_millis())
            }
        }
    }
}

fn share(text: &str) -> Option<f64> {
    let percent: f64 = text.strip_suffix('%')?.parse().ok()?;
    (percent >= 0.0 && percent.is_finite()).then_some(percent / 100.0)
}

fn duration(text: &str) -> Option<Duration> {
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_millis(number.checked_mul(scale)?))
}

fn burst(text: &str) -> Option<Amount> {
    let (length, every) = text.split_once('/')?;
    let (length, every) = (duration(length)?, duration(every)?);
    (length < every).then_some(Amount::Burst { length, every })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["slow-partitioned=25%", "unpruned-by-id", "slow=10ms", "freeze=1000ms/10000ms"]
        {
            let parsed: Misbehaviour = text.parse().expect("a known one");
            assert_eq!(parsed.to_string(), text);
        }
        let short: Misbehaviour = "freeze=1s/10s".parse().expect("seconds are known");
        assert_eq!(short.to_string(), "freeze=1000ms/10000ms");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "nice",
            "slow=soon",
            "lost-write=2",
            "lost-write=101%",
            "lost-write=-1%",
            "lost-write=NaN%",
            "stale-cache=1%",
            "freeze=2s/1s",
            "freeze=1s",
            "slow=99999999999999999999s",
        ] {
            assert!(text.parse::<Misbehaviour>().is_err(), "{text}");
        }
        let unknown = "nice".parse::<Misbehaviour>().expect_err("unknown");
        let hint = unknown.hint().expect("the names");
        assert!(KNOWN.iter().all(|(name, ..)| hint.contains(name)));
    }
}
