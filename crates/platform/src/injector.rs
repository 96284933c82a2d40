//! When the platform goes wrong.
//!
//! The code that does right asks [`Injector::injects`] at the few places where something can be
//! injected, and knows nothing else of it.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::answer::Failure;
use super::misbehave::{Amount, Fault, Misbehaviour};
use super::side::Side;

/// What is going wrong at present.
#[derive(Debug)]
pub(super) struct Injector {
    active: RwLock<Vec<Misbehaviour>>,
    /// Counts the questions asked, so that a share is met evenly and without a random source.
    asked: AtomicU64,
    started: Instant,
    /// What a fixed part of every request costs outside the handler: reading and writing HTTP over
    /// loopback, in nanoseconds. See [`super::transport`].
    transport_ns: AtomicU64,
    /// The newest cached answer: its org and what it answers, without the org.
    newest: RwLock<Option<(i64, String, Bytes)>>,
}

impl Injector {
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
    pub fn injects(&self, fault: Fault) -> bool {
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
        if self.injects(Fault::ErrorRate) {
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
    }

    /// Another org's cached answer to the same question, if one is to be served.
    pub fn foreign_entry(&self, org_id: i64, what: &str) -> Option<Bytes> {
        if !self.injects(Fault::CrossOrgCache) {
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
    fn a_share_is_met() {
        let injector = Injector::new(vec!["lost-write=5%".parse().expect("a known one")]);
        let injected = (0..10_000).filter(|_| injector.injects(Fault::LostWrite)).count();
        assert!((400..600).contains(&injected), "{injected} of 10,000 at 5 %");
        assert!(!injector.injects(Fault::StaleCache));
    }
}
