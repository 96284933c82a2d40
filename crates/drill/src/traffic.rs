//! Traffic beneath a drill: reads and writes that go on whatever happens, each noted with when it
//! was answered, from which side, and how fast.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use cutover_error::Result;
use cutover_evidence::drive::Side;
use cutover_ground::config::Config;
use cutover_ground::http::{Site, TrustedRoots};
use cutover_ground::routing::ServedBy;

/// Connections that read, and that write.
const READERS: usize = 3;
const WRITERS: usize = 1;
/// Pause between two requests of one connection.
const PAUSE: Duration = Duration::from_millis(15);
/// After this a request counts as failed.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// One request, once it was answered or given up.
#[derive(Debug, Clone)]
struct Event {
    sent: Instant,
    done: Instant,
    /// The row that a write made and the platform acknowledged.
    wrote: Option<i64>,
    org: String,
    side: Option<Side>,
    ok: bool,
}

/// What happened in a stretch of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Stretch {
    /// Requests that were answered or given up.
    pub requests: u64,
    /// Of those, failed.
    pub failed: u64,
    /// Reads from the partitioned side.
    pub partitioned: u64,
    /// Reads from legacy.
    pub legacy: u64,
    /// Longest time without a good answer, seconds.
    pub outage_s: f64,
    /// 95th percentile of the good answers, microseconds.
    pub p95_us: u64,
}

impl Stretch {
    /// In words.
    pub(super) fn seen(&self) -> String {
        format!(
            "{} requests, {} failed, reads {} partitioned and {} legacy, p95 {:.1} ms, longest \
             time without an answer {:.1} s",
            self.requests,
            self.failed,
            self.partitioned,
            self.legacy,
            self.p95_us as f64 / 1000.0,
            self.outage_s
        )
    }
}

/// Running traffic; ends when dropped.
pub(super) struct Traffic {
    events: Arc<Mutex<Vec<Event>>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Traffic {
    /// Starts reading and writing for these orgs, in turn.
    pub(super) fn start(config: &Config, base_url: &Url, orgs: &[String]) -> Result<Self> {
        let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
        let (events, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let mut tasks = Vec::new();
        for number in 0..READERS + WRITERS {
            let worker = Worker {
                site: Site::new(base_url, &roots, READ_TIMEOUT)?,
                orgs: orgs.to_vec(),
                served_by: ServedBy::of(&config.routing)?,
                events: Arc::clone(&events),
            };
            let (stop, writes) = (stop.clone(), number >= READERS);
            let start = number * orgs.len() / (READERS + WRITERS);
            tasks.push(tokio::spawn(worker.work(writes, start, stop)));
        }
        Ok(Self { events, stop, tasks })
    }

    /// Lets what is in flight come to its end, so that all that was acknowledged is known.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
    }

    /// What happened between two moments: requests sent at `from` or later and answered by `to`.
    pub(super) fn between(&self, from: Instant, to: Instant) -> Stretch {
        let events = self.events.lock().expect("no panic while held");
        let inside = events.iter().filter(|event| event.sent >= from && event.done <= to);
        stretch(inside, from, to)
    }

    /// Waits until so many reads were sent and answered after `from`; false if that takes longer
    /// than `limit`.
    pub(super) async fn reads_since(&self, from: Instant, reads: u64, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let seen = self.between(from, Instant::now());
            if seen.partitioned + seen.legacy >= reads {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The rows whose writing was acknowledged before a moment: id and org.
    pub(super) fn acknowledged(&self, before: Instant) -> Vec<(i64, String)> {
        let events = self.events.lock().expect("no panic while held");
        let written = events.iter().filter(|event| event.done <= before);
        written.filter_map(|event| Some((event.wrote?, event.org.clone()))).collect()
    }
}

fn stretch<'a>(events: impl Iterator<Item = &'a Event>, from: Instant, to: Instant) -> Stretch {
    let mut found = Stretch::default();
    let (mut good, mut latencies) = (vec![from, to], Vec::new());
    for event in events {
        found.requests += 1;
        found.failed += u64::from(!event.ok);
        match event.side.filter(|_| event.wrote.is_none()) {
            Some(Side::Partitioned) => found.partitioned += 1,
            Some(Side::Legacy) => found.legacy += 1,
            None => {}
        }
        if event.ok {
            good.push(event.done);
            latencies.push((event.done - event.sent).as_micros() as u64);
        }
    }
    good.sort_unstable();
    latencies.sort_unstable();
    let gaps = good.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
    found.outage_s = gaps.fold(0.0, f64::max);
    found.p95_us = latencies.get(latencies.len() * 95 / 100).copied().unwrap_or(0);
    found
}

struct Worker {
    site: Site,
    orgs: Vec<String>,
    served_by: Option<ServedBy>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Worker {
    async fn work(mut self, writes: bool, start: usize, stop: CancellationToken) {
        let mut turn = start;
        while !stop.is_cancelled() {
            let org = self.orgs[turn % self.orgs.len()].clone();
            turn += 1;
            let event = self.ask(writes, org).await;
            let failed = !event.ok;
            self.events.lock().expect("no panic while held").push(event);
            // A platform that refuses at once would fill the list.
            tokio::time::sleep(if failed { PAUSE * 4 } else { PAUSE }).await;
        }
    }

    async fn ask(&mut self, write: bool, org: String) -> Event {
        let sent = Instant::now();
        let answer = if write {
            let body =
                format!(r#"{{"orgId": {org}, "amount": "1.00", "description": "cutover drill"}}"#);
            self.site.send(Method::POST, "/finance/revenue", body, &[]).await
        } else {
            let path = format!("/finance/revenue?orgId={org}&limit=20");
            self.site.send(Method::GET, &path, "", &[]).await
        };
        let done = Instant::now();
        let good = answer.ok().filter(|answer| (200..300).contains(&answer.status));
        let served_by = good.as_ref().zip(self.served_by.as_ref());
        let side = served_by.and_then(|(answer, served_by)| served_by.side(&answer.headers));
        let wrote = good.as_ref().filter(|_| write).and_then(|answer| {
            serde_json::from_slice::<Value>(&answer.body).ok()?.get("id")?.as_i64()
        });
        // A write that names no row could not be looked for.
        let ok = good.is_some() && (!write || wrote.is_some());
        Event { sent, done, wrote, org, side, ok }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_the_longest_time_without_a_good_answer() {
        let from = Instant::now();
        let at = |ms: u64| from + Duration::from_millis(ms);
        let event = |sent: u64, done: u64, ok: bool| Event {
            sent: at(sent),
            done: at(done),
            wrote: None,
            org: "1".into(),
            side: ok.then_some(Side::Legacy),
            ok,
        };
        let events = [event(0, 10, true), event(100, 200, false), event(900, 1000, true)];
        let found = stretch(events.iter(), from, at(1100));
        assert_eq!((found.requests, found.failed, found.legacy), (3, 1, 2));
        assert!((found.outage_s - 0.99).abs() < 1e-9, "{found:?}");
        // Nobody answered: the whole stretch is an outage.
        assert!((stretch([].iter(), from, at(500)).outage_s - 0.5).abs() < 1e-9);
    }
}
