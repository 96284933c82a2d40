//! One look: the platform's metrics, a few reads of our own, the database.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use url::Url;

use super::database::Database;
use super::reads::OwnReads;
use cutover_error::Result;
use cutover_error::foreign::value;
use cutover_evidence::observation::still_filling;
use cutover_evidence::policy::LOOKUPS_ENOUGH;
use cutover_evidence::side::Side;
use cutover_evidence::watch::Sample;
use cutover_ground::config::Config;
use cutover_ground::http::{Failure, Site, TrustedRoots};
use cutover_ground::routing::ServedBy;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long all answers of one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(8);
/// Reads of our own at each look.
const READS: i64 = 25;
/// Looks over which the hit rate is taken, and look-ups below which it says nothing.
const HIT_LOOKS: usize = 12;

/// What is remembered between two looks.
pub(super) struct Poll {
    site: Site,
    served_by: Option<ServedBy>,
    test_org: i64,
    reads: OwnReads,
    database: Option<Database>,
    /// Hits and look-ups as the platform counts them.
    cache: VecDeque<(u64, u64)>,
}

impl Poll {
    pub(super) fn new(config: &Config, base_url: &Url, database_url: Option<&str>) -> Result<Self> {
        let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
        Ok(Self {
            site: Site::new(base_url, &roots, ANSWER_TIMEOUT)?,
            served_by: ServedBy::of(&config.routing)?,
            test_org: config.preflight.test_org,
            reads: OwnReads::default(),
            database: database_url.map(|url| Database::new(config, url)).transpose()?,
            cache: VecDeque::new(),
        })
    }

    pub(super) async fn look(&mut self) -> Sample {
        let database = self.database.as_mut();
        let of_database = async {
            match database {
                Some(database) => Some(database.look().await),
                None => None,
            }
        };
        let (site, served_by) = (&mut self.site, self.served_by.as_ref());
        // However slow the answers, a look is over in time.
        site.limit_to(LOOK_LIMIT);
        let of_platform = async {
            let said = site.json("/monitoring/unified/metrics").await;
            (said, read(site, served_by, self.test_org).await)
        };
        let ((said, read), seen) = tokio::join!(of_platform, of_database);
        let mut look = match said {
            Ok(said) => self.interpret(&said),
            Err(why) => Sample { error: Some(why), ..Sample::default() },
        };
        let Read { routed, partitioned, took } = read;
        self.reads.take(&took);
        (look.routed_requests, look.routed_partitioned) = (Some(routed), Some(partitioned));
        look.error_rate_percent = self.reads.error_rate_percent();
        look.p95_ms = self.reads.p95_us().map(|us| us as f64 / 1000.0);
        look.p95_more_percent = self.reads.p95_more_percent();
        if let Some((database, seen)) = self.database.as_mut().zip(seen) {
            database.add(seen, &mut look);
        }
        look
    }

    /// Metrics of any shape: what is not there is `None`, what is no object is an error.
    fn interpret(&mut self, said: &Value) -> Sample {
        if said.pointer("/system/status").and_then(Value::as_str).is_none() {
            return Sample { error: Some("no /system/status".into()), ..Sample::default() };
        }
        let number = |pointer: &str| said.pointer(pointer).and_then(Value::as_f64);
        let count = |pointer: &str| said.pointer(pointer).and_then(Value::as_u64);
        let tables = said.pointer("/partitions/tables").and_then(Value::as_array);
        let deltas =
            tables.into_iter().flatten().filter_map(|table| table["rowCountDelta"].as_f64());
        let (pool_in_use, pool_max) = fullest_pool(said).unzip();
        Sample {
            system_status: said["system"]["status"].as_str().map(str::to_owned),
            critical_alerts: count("/alerts/critical"),
            replica_lag_s: number("/database/maxReplicaLag"),
            hit_rate_percent: self.hit_rate(count("/cache/hits"), count("/cache/lookups")),
            cache_filling: still_filling(self.cache.make_contiguous()).is_some(),
            row_delta: deltas.map(f64::abs).reduce(f64::max),
            pool_in_use,
            pool_max,
            ..Sample::default()
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
}

/// What a few reads of our own brought.
#[derive(Default)]
struct Read {
    /// Those that said which side they came from.
    routed: u64,
    /// Of these, from the partitioned one.
    partitioned: u64,
    /// Microseconds of each, `None` if it failed.
    took: Vec<Option<u64>>,
}

/// Reads as long as the look lasts.
async fn read(site: &mut Site, served_by: Option<&ServedBy>, first_org: i64) -> Read {
    let mut read = Read::default();
    for org in first_org..first_org + READS {
        if site.is_over() {
            break;
        }
        let path = format!("/finance/revenue?orgId={org}&limit=20");
        let sent = Instant::now();
        let answer = site.send(Method::GET, &path, "", &[]).await;
        if let Err(Failure::Local) = answer {
            // For want of a file handle or port of our own: no word about the platform.
            continue;
        }
        let good = answer.ok().filter(|answer| (200..300).contains(&answer.status));
        let took_us = sent.elapsed().as_micros() as u64;
        let side = good.as_ref().zip(served_by).and_then(|(good, by)| by.side(&good.headers));
        if let Some(side) = side {
            read.routed += 1;
            read.partitioned += u64::from(side == Side::Partitioned);
        }
        read.took.push(good.map(|_| took_us));
    }
    read
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

/// A look in one line.
pub(super) fn words(look: &Sample) -> String {
    if let Some(why) = &look.error {
        return format!("no answer: {}", value(why));
    }
    let status = value(look.system_status.as_deref().unwrap_or("says nothing of its status"));
    let p95 = look.p95_ms.map_or("not known yet".to_owned(), |p95| format!("{p95:.1} ms"));
    format!("{status} · p95 of our reads {p95} · alarms {}", look.alarms.len())
}
