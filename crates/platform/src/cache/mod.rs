//! Cache-aside: an answer is kept until a write of the same org and kind, or five minutes.
//!
//! What makes it right is the *stamp*. Each org and kind has a generation, replaced by a value
//! never used before when a write has committed and before it is acknowledged. A reader fetches
//! generation and entry in one round trip *before* it asks the database, and stores its answer
//! under the stamp it saw; an entry counts only while its stamp is the present one. So a slow
//! reader may store an old answer, but nobody is ever served it.
//!
//! The stamp also holds an *epoch*, replaced whenever a process gains Redis (at its start, and when
//! Redis comes back): writes that Redis did not hear of in the meantime cannot leave anything
//! behind. While Redis is away the same scheme runs in memory.

mod memory;
mod redis;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use self::memory::MemorySide;
use self::redis::RedisSide;
use crate::error::Result;

/// How long an entry is kept.
const ENTRY_LIFE: Duration = Duration::from_secs(300);
/// How long a generation is kept; longer than any entry that was stamped without one.
const GENERATION_LIFE: Duration = Duration::from_secs(900);

/// Whose answers: of one org and kind.
#[derive(Debug, Clone)]
pub(super) struct Scope(String);

impl Scope {
    pub fn new(kind: &str, org_id: i64) -> Self {
        Self(format!("{kind}:{org_id}"))
    }
}

/// The state under which an answer is computed, to be handed back with it.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    value: String,
    in_redis: bool,
}

/// The cache, and what it counts.
pub(super) struct Cache {
    redis: Option<RedisSide>,
    memory: MemorySide,
    hits: AtomicU64,
    misses: AtomicU64,
    invalidations: AtomicU64,
    failures: AtomicU64,
}

/// Figures since the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheFigures {
    pub hits: u64,
    pub misses: u64,
    pub invalidations: u64,
    pub failures: u64,
    /// Whether the cache that was asked for serves; false while memory stands in for Redis.
    pub available: bool,
    pub backend: &'static str,
}

impl CacheFigures {
    /// In percent; 0 before the first lookup.
    pub fn hit_rate(&self) -> f64 {
        let lookups = self.hits + self.misses;
        if lookups == 0 { 0.0 } else { 100.0 * self.hits as f64 / lookups as f64 }
    }
}

impl Cache {
    /// With Redis if a URL is given; it need not answer yet.
    pub async fn open(redis_url: Option<&str>, stop: CancellationToken) -> Result<Arc<Self>> {
        let redis = redis_url.map(RedisSide::new).transpose()?;
        let cache = Arc::new(Self {
            redis,
            memory: MemorySide::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        if let Some(redis) = &cache.redis {
            redis.probe(|| cache.memory.reset()).await;
            let keeper = cache.clone();
            tokio::spawn(async move {
                let watch = async {
                    let redis = keeper.redis.as_ref().expect("looked at just above");
                    loop {
                        tokio::time::sleep(redis::PROBE_EVERY).await;
                        redis.probe(|| keeper.memory.reset()).await;
                    }
                };
                stop.run_until_cancelled(watch).await;
            });
        }
        Ok(cache)
    }

    /// Looks an answer up; `what` tells it from others of its scope.
    pub async fn read(&self, scope: &Scope, what: &str) -> (Stamp, Option<Bytes>) {
        let (stamp, found) = match self.read_redis(scope, what).await {
            Some(read) => read,
            None => {
                let (value, found) = self.memory.read(&scope.0, what);
                (Stamp { value, in_redis: false }, found)
            }
        };
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        (stamp, found)
    }

    async fn read_redis(&self, scope: &Scope, what: &str) -> Option<(Stamp, Option<Bytes>)> {
        let redis = self.redis.as_ref()?;
        let connection = redis.connection()?;
        match redis.read(connection, &scope.0, what).await {
            Ok((value, found)) => Some((Stamp { value, in_redis: true }, found)),
            Err(_) => {
                self.lost(redis);
                None
            }
        }
    }

    /// Stores an answer that was computed after `stamp` was read; in the background, because
    /// nobody waits for it.
    pub fn fill(self: &Arc<Self>, scope: Scope, what: String, stamp: Stamp, body: Bytes) {
        if !stamp.in_redis {
            self.memory.fill(&scope.0, &what, stamp.value, body);
            return;
        }
        let cache = self.clone();
        tokio::spawn(async move {
            if let Some(redis) = &cache.redis
                && let Some(connection) = redis.connection()
                && redis.fill(connection, &scope.0, &what, &stamp.value, &body).await.is_err()
            {
                cache.lost(redis);
            }
        });
    }

    /// Forgets everything of a scope. To be called after a commit and before it is acknowledged.
    pub async fn invalidate(&self, scope: &Scope) {
        self.invalidations.fetch_add(1, Ordering::Relaxed);
        if let Some(redis) = &self.redis
            && let Some(connection) = redis.connection()
        {
            if redis.renew(connection, &scope.0).await.is_ok() {
                return;
            }
            self.lost(redis);
        }
        self.memory.renew(&scope.0);
    }

    /// Redis failed: everyone goes to memory from here on, which starts empty.
    fn lost(&self, redis: &RedisSide) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        redis.disconnect(|| self.memory.reset());
    }

    pub fn figures(&self) -> CacheFigures {
        let connected = self.redis.as_ref().map(|redis| redis.connection().is_some());
        CacheFigures {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            invalidations: self.invalidations.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            available: connected.unwrap_or(true),
            backend: if connected == Some(true) { "redis" } else { "memory" },
        }
    }
}

/// Whether this is a Redis URL; touches nothing.
pub(super) fn check_url(redis_url: &str) -> Result<()> {
    RedisSide::new(redis_url).map(|_| ())
}

/// A value that no process has used before.
fn never_used() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static PROCESS: std::sync::LazyLock<u64> =
        std::sync::LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    format!("{:x}-{:x}", *PROCESS, COUNT.fetch_add(1, Ordering::Relaxed))
}
