//! The platform going wrong on purpose, for tests and drills; off by default, only on loopback.
//!
//! The code that does right asks [`Mischief::strikes`] at the few places where something can be
//! spoilt, and knows nothing else of this file.

use std::fmt;
use std::str::FromStr;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::answer::Failure;
use super::flags::Side;
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
    /// Inserts are applied twice.
    DoubleWrite,
    /// Updates write the old values back half a second later.
    StaleUpdate,
    /// Cached reads are served from another org's entry.
    CrossOrgCache,
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
enum Amount {
    Always,
    Share(f64),
    Delay(Duration),
    Burst { length: Duration, every: Duration },
}

/// One way to go wrong, as `NAME` or `NAME=VALUE`: `slow-partitioned=25%`, `slow=10ms`,
/// `freeze=1s/10s`, `stale-cache`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misbehaviour {
    fault: Fault,
    amount: Amount,
}

/// Name, fault, and the amount where none is given, which also says what kind of value is wanted.
const KNOWN: [(&str, Fault, Amount); 11] = [
    ("slow-partitioned", Fault::SlowPartitioned, Amount::Share(0.25)),
    ("unpruned-by-id", Fault::UnprunedById, Amount::Always),
    ("stale-cache", Fault::StaleCache, Amount::Always),
    ("lost-write", Fault::LostWrite, Amount::Share(0.01)),
    ("double-write", Fault::DoubleWrite, Amount::Share(0.01)),
    ("stale-update", Fault::StaleUpdate, Amount::Share(0.01)),
    ("cross-org-cache", Fault::CrossOrgCache, Amount::Share(0.01)),
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

/// What is going wrong at present.
#[derive(Debug)]
pub(super) struct Mischief {
    active: RwLock<Vec<Misbehaviour>>,
    /// Counts the questions asked, so that a share is met evenly and without a random source.
    asked: AtomicU64,
    started: Instant,
    /// What a fixed part of every request costs outside the handler: reading and writing HTTP over
    /// loopback, in nanoseconds. Known once somebody measured it.
    transport_ns: AtomicU64,
    /// The newest cached answer: its org and what it answers, without the org.
    newest: RwLock<Option<(i64, String, Bytes)>>,
}

impl Mischief {
    pub fn new(active: Vec<Misbehaviour>) -> Self {
        Self {
            active: RwLock::new(active),
            asked: AtomicU64::new(0),
            started: Instant::now(),
            transport_ns: AtomicU64::new(0),
            newest: RwLock::new(None),
        }
    }

    pub fn active(&self) -> Vec<Misbehaviour> {
        self.active.read().expect("no panic while held").clone()
    }

    pub fn set(&self, active: Vec<Misbehaviour>) {
        *self.active.write().expect("no panic while held") = active;
    }

    /// The decision: whether this fault is to happen here and now.
    pub fn strikes(&self, fault: Fault) -> bool {
        match self.amount(fault) {
            None => false,
            Some(Amount::Share(share)) => {
                let die = xxh3_64(&self.asked.fetch_add(1, Ordering::Relaxed).to_le_bytes());
                (die as f64) < share * u64::MAX as f64
            }
            Some(_) => true,
        }
    }

    fn amount(&self, fault: Fault) -> Option<Amount> {
        let active = self.active.read().expect("no panic while held");
        active.iter().rfind(|m| m.fault == fault).map(|m| m.amount)
    }

    /// What happens to a request before it is served.
    pub async fn before(&self) -> Result<(), Failure> {
        if let Some(Amount::Burst { length, every }) = self.amount(Fault::Freeze) {
            let phase_ns = self.started.elapsed().as_nanos() % every.as_nanos().max(1);
            let phase = Duration::from_nanos(u64::try_from(phase_ns).unwrap_or(u64::MAX));
            // Frozen at the end of each period, so that it begins in health.
            if phase >= every - length {
                tokio::time::sleep(every - phase).await;
            }
        }
        if let Some(Amount::Delay(delay)) = self.amount(Fault::Slow) {
            wait_precisely(delay).await;
        }
        if self.strikes(Fault::ErrorRate) {
            return Err(Failure::Internal("told to fail".into()));
        }
        Ok(())
    }

    /// What happens to it after it was served, `started` when it came in.
    pub async fn after(&self, side: Side, started: Instant) {
        if side == Side::Partitioned
            && let Some(Amount::Share(share)) = self.amount(Fault::SlowPartitioned)
        {
            let transport = Duration::from_nanos(self.transport_ns.load(Ordering::Relaxed));
            wait_precisely((started.elapsed() + transport).mul_f64(share)).await;
        }
    }

    /// Says what a request costs outside the handler, so that the slowdown is of the whole.
    pub fn set_transport(&self, transport: Duration) {
        let nanoseconds = u64::try_from(transport.as_nanos()).unwrap_or(0);
        self.transport_ns.store(nanoseconds, Ordering::Relaxed);
    }

    /// Whether somebody has to measure it.
    pub fn wants_transport(&self) -> bool {
        self.amount(Fault::SlowPartitioned).is_some()
            && self.transport_ns.load(Ordering::Relaxed) == 0
    }

    /// Another org's cached answer to the same question, where one is to be served.
    pub fn foreign_entry(&self, org_id: i64, what: &str) -> Option<Bytes> {
        if !self.strikes(Fault::CrossOrgCache) {
            return None;
        }
        let newest = self.newest.read().expect("no panic while held");
        let (owner, question, body) = newest.as_ref()?;
        (*owner != org_id && question == what).then(|| body.clone())
    }

    /// Remembers a cached answer to be served to the wrong org later.
    pub fn remember_entry(&self, org_id: i64, what: &str, body: &Bytes) {
        if self.amount(Fault::CrossOrgCache).is_some() {
            let entry = (org_id, what.to_owned(), body.clone());
            *self.newest.write().expect("no panic while held") = Some(entry);
        }
    }
}

/// Tokio's timer is coarse to a millisecond: sleeps the most of it and spins the rest, letting
/// other requests run in between.
async fn wait_precisely(wait: Duration) {
    let until = Instant::now() + wait;
    let coarse = Duration::from_millis(2);
    if wait > coarse {
        tokio::time::sleep(wait - coarse).await;
    }
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
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

    #[test]
    fn a_share_is_met() {
        let mischief = Mischief::new(vec!["lost-write=5%".parse().expect("a known one")]);
        let struck = (0..10_000).filter(|_| mischief.strikes(Fault::LostWrite)).count();
        assert!((400..600).contains(&struck), "{struck} of 10,000 at 5 %");
        assert!(!mischief.strikes(Fault::StaleCache));
    }
}
