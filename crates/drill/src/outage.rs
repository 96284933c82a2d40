//! Servers that fail under the platform: it goes on without them, or comes back by itself.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::scene::{PROOF_READS, SETTLE_TIMEOUT, Scene};
use super::script::Script;
use super::sql;
use super::target::{DrillTarget, Part};
use cutover_error::{Error, Result};
use cutover_evidence::limits::{LimitId, Limits};
use cutover_evidence::policy::REPLICA_LAG_WARNING_S;

/// A replica that is this near counts as there again, seconds.
const LAG_OVER_S: f64 = 1.0;

const CACHE: &str = "/monitoring/cache/invalidation-metrics";
const LAG: &str = "/database/replica/lag";

/// Decision matrix, cache unavailable: continue, it has a fallback.
pub(super) async fn redis_down<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    let there = |said: &Value| said["available"] == true && said["backend"] == "redis";
    let (holds, said) = scene.until(CACHE, SETTLE_TIMEOUT, there).await;
    script.prove("before: Redis answers", holds, said.to_string());
    scene.before(script).await?;
    script.start_clock();
    let from = Instant::now();
    scene.stage.kill(Part::Redis)?;
    script.did("Redis killed", "");
    let gone = |said: &Value| said["available"] == false && said["backend"] == "memory";
    let (holds, said) = scene.until(CACHE, SETTLE_TIMEOUT, gone).await;
    script.prove("the platform says that Redis is gone", holds, said.to_string());
    let degraded = |said: &Value| said["status"] == "degraded";
    let (holds, said) = scene.until("/monitoring/unified/health", SETTLE_TIMEOUT, degraded).await;
    script.prove("and that it is degraded, not unhealthy", holds, said.to_string());
    goes_on(scene, script, from).await;
    scene.stage.start(Part::Redis).await?;
    let (holds, said) = scene.until(CACHE, SETTLE_TIMEOUT, there).await;
    script.prove("Redis is back in use", holds, said.to_string());
    scene.prove_healthy(script).await;
    script.stop_clock();
    own_writes(scene, script).await;
    scene.prove_nothing_lost(script).await
}

/// Decision matrix, replica lag: continue, it has a fallback; fix the replica.
pub(super) async fn replica_lag<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    let Some(replica_url) = scene.target.replica_url.clone() else {
        return Err(Error::run("the target has no replica", "start the rig --with replica"));
    };
    let near = |said: &Value| said["maxReplicaLag"].as_f64().is_some_and(|lag| lag < LAG_OVER_S);
    let (holds, said) = scene.until(LAG, SETTLE_TIMEOUT, near).await;
    script.prove("before: the replica follows", holds, said.to_string());
    scene.before(script).await?;
    script.start_clock();
    let from = Instant::now();
    sql::replay(&replica_url, true).await?;
    script.did("replay paused on the replica", "");
    let far = |said: &Value| {
        said["maxReplicaLag"].as_f64().is_some_and(|lag| lag > REPLICA_LAG_WARNING_S)
    };
    let (holds, said) = scene.until(LAG, SETTLE_TIMEOUT, far).await;
    script.prove("the lag is seen, beyond the warning of 10 s", holds, said.to_string());
    let warned = |said: &Value| said["alerts"]["warning"].as_u64().is_some_and(|count| count > 0);
    let (holds, said) = scene.until("/monitoring/unified/metrics", SETTLE_TIMEOUT, warned).await;
    script.prove("the platform warns", holds, said["alerts"].to_string());
    own_writes(scene, script).await;
    goes_on(scene, script, from).await;
    sql::replay(&replica_url, false).await?;
    let (holds, said) = scene.until(LAG, SETTLE_TIMEOUT, near).await;
    script.prove("the replica has caught up", holds, said.to_string());
    scene.prove_healthy(script).await;
    script.stop_clock();
    scene.prove_nothing_lost(script).await
}

/// A server that everybody needs, killed and started: requests fail meanwhile and never after.
pub(super) async fn restart<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
    part: Part,
) -> Result<()> {
    scene.before(script).await?;
    script.start_clock();
    let from = Instant::now();
    scene.stage.kill(part)?;
    script.did("killed", part.as_str());
    let down =
        scene.until("/monitoring/unified/health", SETTLE_TIMEOUT, |s| s["status"] == "unhealthy");
    let (holds, said) = down.await;
    script.prove("the platform says that it is unhealthy", holds, said.to_string());
    scene.stage.start(part).await?;
    script.did("started", part.as_str());
    scene.prove_healthy(script).await;
    // Sessions that broke with the server are found one by one; from then on nothing may fail.
    let quiet = requests_are_good(scene).await;
    script.stop_clock();
    let outage = scene.traffic.between(from, Instant::now());
    script.prove("requests are answered again", quiet.is_some(), outage.seen());
    if part == Part::Primary && scene.target.replica_url.is_some() {
        let near = |said: &Value| said["replicas"][0]["healthy"] == true;
        let (holds, said) = scene.until(LAG, SETTLE_TIMEOUT, near).await;
        script.prove("the replica follows again", holds, said.to_string());
    }
    own_writes(scene, script).await;
    scene.prove_nothing_lost(script).await
}

/// Waits for a stretch of requests none of which fails; since when, if it comes.
async fn requests_are_good<S: DrillTarget>(scene: &Scene<'_, S>) -> Option<Instant> {
    let end = Instant::now() + SETTLE_TIMEOUT;
    while Instant::now() < end {
        let from = Instant::now();
        let enough = scene.traffic.reads_since(from, PROOF_READS, SETTLE_TIMEOUT).await;
        if enough && scene.traffic.between(from, Instant::now()).failed == 0 {
            return Some(from);
        }
    }
    None
}

/// Requests are answered although something is missing.
async fn goes_on<S: DrillTarget>(scene: &Scene<'_, S>, script: &mut Script<'_>, from: Instant) {
    let since = Instant::now();
    let enough = scene.traffic.reads_since(since, PROOF_READS, SETTLE_TIMEOUT).await;
    let seen = scene.traffic.between(from, Instant::now());
    let limits = Limits { own: &scene.target.config.limits, phase: None };
    // What has a fallback is held to the success criterion.
    let most = limits.value(LimitId::ErrorRate) * seen.requests as f64;
    let holds = enough && seen.failed as f64 <= most;
    script.prove("requests go on without it", holds, seen.seen());
}

/// An org sees what it has just written, wherever its reads come from.
async fn own_writes<S: DrillTarget>(scene: &mut Scene<'_, S>, script: &mut Script<'_>) {
    let mut unseen = Vec::new();
    let written = scene.traffic.acknowledged(Instant::now());
    let newest: Vec<(i64, String)> = written.iter().rev().take(20).cloned().collect();
    for (id, org) in &newest {
        let said = scene.site.json(&format!("/finance/revenue?orgId={org}&limit=50")).await;
        let items = said.as_ref().ok().and_then(|said| said["items"].as_array());
        let found = items.is_some_and(|items| items.iter().any(|item| item["id"] == *id));
        if !found {
            unseen.push(format!("org {org} id {id}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let holds = !newest.is_empty() && unseen.is_empty();
    let seen = match unseen.is_empty() {
        true => format!("{} of {}", newest.len(), newest.len()),
        false => format!("not seen: {}", unseen.join(", ")),
    };
    script.prove("orgs see their own newest writes", holds, seen);
}
