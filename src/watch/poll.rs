//! One look: the platform's metrics, and a few reads of our own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use url::Url;

use super::Look;
use crate::config::Config;
use crate::error::Result;
use crate::http::{Site, TrustedRoots};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Reads of our own at each look, and how many of late make a share and a percentile.
const READS: i64 = 25;
const OF_LATE: usize = 500;
/// Reads that make the baseline.
const BASELINE: usize = 100;
/// Looks over which the hit rate is taken, and look-ups below which it says nothing.
const HIT_LOOKS: usize = 12;
const LOOKUPS_ENOUGH: u64 = 200;

/// What is remembered between two looks.
pub(super) struct Poll {
    site: Site,
    header: String,
    test_org: i64,
    /// Of our own reads: microseconds, `None` where it failed.
    reads: VecDeque<Option<u64>>,
    baseline: Vec<u64>,
    /// Hits and look-ups as the platform counts them.
    cache: VecDeque<(u64, u64)>,
}

impl Poll {
    pub(super) fn new(config: &Config, base_url: &Url) -> Result<Self> {
        let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
        Ok(Self {
            site: Site::new(base_url, &roots, PATIENCE)?,
            header: config.routing.served_by_header.clone(),
            test_org: config.preflight.test_org,
            reads: VecDeque::new(),
            baseline: Vec::new(),
            cache: VecDeque::new(),
        })
    }

    pub(super) async fn look(&mut self) -> Look {
        let mut look = match self.site.json("/monitoring/unified/metrics").await {
            Ok(said) => self.interpret(&said),
            Err(why) => Look { error: Some(why), ..Look::default() },
        };
        let (routed, partitioned) = self.read().await;
        (look.routed_requests, look.routed_partitioned) = (Some(routed), Some(partitioned));
        let failed = self.reads.iter().filter(|read| read.is_none()).count();
        if !self.reads.is_empty() {
            look.error_rate_percent = Some(failed as f64 * 100.0 / self.reads.len() as f64);
        }
        let p95_us = p95(self.reads.iter().flatten().copied().collect());
        look.p95_ms = p95_us.map(|us| us as f64 / 1000.0);
        if self.baseline.len() >= BASELINE
            && let (Some(now), Some(then)) = (p95_us, p95(self.baseline.clone()))
        {
            // Below a millisecond a longer answer is the clock of the machine.
            let more = now.saturating_sub(then);
            let felt = if more < 1000 { 0.0 } else { more as f64 * 100.0 / then.max(1) as f64 };
            look.p95_more_percent = Some(felt);
        }
        look
    }

    /// Metrics of any shape: what is not there is `None`, what is no object is an error.
    fn interpret(&mut self, said: &Value) -> Look {
        if said.pointer("/system/status").and_then(Value::as_str).is_none() {
            return Look { error: Some("no /system/status".into()), ..Look::default() };
        }
        let number = |pointer: &str| said.pointer(pointer).and_then(Value::as_f64);
        let count = |pointer: &str| said.pointer(pointer).and_then(Value::as_u64);
        let tables = said.pointer("/partitions/tables").and_then(Value::as_array);
        let deltas =
            tables.into_iter().flatten().filter_map(|table| table["rowCountDelta"].as_f64());
        let (pool_in_use, pool_max) = fullest_pool(said).unzip();
        Look {
            system_status: said["system"]["status"].as_str().map(str::to_owned),
            critical_alerts: count("/alerts/critical"),
            replica_lag_s: number("/database/maxReplicaLag"),
            hit_rate_percent: self.hit_rate(count("/cache/hits"), count("/cache/lookups")),
            row_delta: deltas.map(f64::abs).reduce(f64::max),
            pool_in_use,
            pool_max,
            ..Look::default()
        }
    }

    /// Of the look-ups of late: a rate since the platform's start forgets nothing and sees nothing.
    fn hit_rate(&mut self, hits: Option<u64>, lookups: Option<u64>) -> Option<f64> {
        let newest = (hits?, lookups?);
        if self.cache.back().is_some_and(|last| last.1 > newest.1) {
            // It was restarted.
            self.cache.clear();
        }
        self.cache.push_back(newest);
        if self.cache.len() > HIT_LOOKS {
            self.cache.pop_front();
        }
        let oldest = self.cache.front()?;
        let (hits, lookups) = (newest.0.checked_sub(oldest.0)?, newest.1 - oldest.1);
        (lookups >= LOOKUPS_ENOUGH).then(|| hits as f64 * 100.0 / lookups as f64)
    }

    /// A few reads of our own; how many said which side they came from, and how many of those the
    /// partitioned one.
    async fn read(&mut self) -> (u64, u64) {
        let (mut routed, mut partitioned) = (0, 0);
        for number in 0..READS {
            let path = format!("/finance/revenue?orgId={}&limit=20", self.test_org + number);
            let sent = Instant::now();
            let answer = self.site.send(Method::GET, &path, "", &[]).await.ok();
            let good = answer.filter(|answer| (200..300).contains(&answer.status));
            let took_us = sent.elapsed().as_micros() as u64;
            if let Some(side) = good.as_ref().and_then(|good| good.headers.get(&self.header)) {
                routed += 1;
                partitioned += u64::from(side.as_bytes() == b"partitioned");
            }
            if good.is_some() && self.baseline.len() < BASELINE {
                self.baseline.push(took_us);
            }
            self.reads.push_back(good.map(|_| took_us));
        }
        let surplus = self.reads.len().saturating_sub(OF_LATE);
        self.reads.drain(..surplus);
        (routed, partitioned)
    }
}

/// Of the pools that are named, the one with the largest share in use.
fn fullest_pool(said: &Value) -> Option<(u64, u64)> {
    let pools = said.pointer("/database/pool")?.as_object()?;
    let figures = pools.values().filter_map(|pool| {
        let (in_use, max) = (pool.get("inUse")?.as_u64()?, pool.get("max")?.as_u64()?);
        (max > 0).then_some((in_use, max))
    });
    figures.max_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)))
}

fn p95(mut latencies_us: Vec<u64>) -> Option<u64> {
    latencies_us.sort_unstable();
    latencies_us.get(latencies_us.len() * 95 / 100).copied()
}

/// A look in one line.
pub(super) fn words(look: &Look) -> String {
    if let Some(why) = &look.error {
        return format!("no answer: {why}");
    }
    let figure = |value: Option<f64>, unit: &str| match value {
        Some(value) => format!("{value:.1}{unit}"),
        None => "?".to_owned(),
    };
    format!(
        "{} · row delta {} · hit rate {} · replica lag {} · errors {} · p95 {} · {} alarms",
        look.system_status.as_deref().unwrap_or("?"),
        figure(look.row_delta, ""),
        figure(look.hit_rate_percent, " %"),
        figure(look.replica_lag_s, " s"),
        figure(look.error_rate_percent, " %"),
        figure(look.p95_ms, " ms"),
        look.alarms.len()
    )
}
