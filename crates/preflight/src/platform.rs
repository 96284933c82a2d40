//! What the platform says, and whether a write through it reaches both sides.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use url::Url;

use super::{item, sql, unknown};
use cutover_error::Result;
use cutover_evidence::checklist::Item;
use cutover_evidence::limits::{LimitId, Limits};
use cutover_evidence::policy::REPLICA_LAG_WARNING_S;
use cutover_ground::config::{Config, WritingAct};
use cutover_ground::http::{Site, TrustedRoots};
use cutover_ground::pg::Shared;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the monitoring endpoints may take before the next is not asked any more.
const ENDPOINTS_LIMIT: Duration = Duration::from_secs(15);

pub(super) async fn items(
    config: &Config,
    database_url: &str,
    base_url: &Url,
) -> Result<Vec<Item>> {
    let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
    let mut site = Site::new(base_url, &roots, ANSWER_TIMEOUT)?;
    site.limit_to(super::LIST_LIMIT);
    let row_delta = Limits { own: &config.limits, phase: None }.value(LimitId::RowDelta);
    let mut items = vec![health(&mut site).await, partitions(&mut site, row_delta).await];
    items.push(recent_writes(config, database_url, &mut site).await);
    items.push(cache(&mut site).await);
    items.push(replicas(&mut site).await);
    items.push(pooler(config).await);
    items.push(endpoints(&mut site).await);
    Ok(items)
}

/// The endpoints that have to return data, each with a field that says so.
pub(super) const ENDPOINTS: [(&str, &str); 6] = [
    ("/monitoring/unified/health", "/status"),
    ("/monitoring/unified/metrics", "/system/status"),
    ("/monitoring/partitions/metrics", "/tables/0/name"),
    ("/monitoring/cache/invalidation-metrics", "/cacheHitStats/hitRate"),
    ("/database/replica/lag", "/replicas"),
    ("/database/replica/pool-stats", "/primary"),
];

pub(super) async fn health(site: &mut Site) -> Item {
    let (id, title) = ("health", "the application is healthy");
    match site.json("/monitoring/unified/health").await {
        Ok(said) => {
            let holds = said["status"] == "healthy";
            item(id, title, holds, said.to_string(), "see /monitoring/unified/metrics")
        }
        Err(why) => {
            item(id, title, false, why, "is the platform up, and is --base-url its address?")
        }
    }
}

/// `limit` is the difference of row counts that is too large.
pub(super) async fn partitions(site: &mut Site, limit: f64) -> Item {
    let title = format!("every table synced, row count delta < {limit}");
    let (id, title) = ("partition_metrics", title.as_str());
    match site.json("/monitoring/partitions/metrics").await {
        Ok(said) => {
            let tables = said["tables"].as_array().cloned().unwrap_or_default();
            let off: Vec<String> = tables
                .iter()
                .filter(|table| {
                    let delta = table["rowCountDelta"].as_u64();
                    let apart = delta.is_none_or(|delta| delta as f64 >= limit);
                    table["status"] != "synced" || apart
                })
                .map(Value::to_string)
                .collect();
            let seen = match off.is_empty() {
                true => format!("{} tables", tables.len()),
                false => off.join(", "),
            };
            let holds = !tables.is_empty() && off.is_empty();
            item(
                id,
                title,
                holds,
                seen,
                "check the dual-write triggers; cutover diff says which rows",
            )
        }
        Err(why) => unknown(id, title, why, "is the platform up?"),
    }
}

/// Writes a row through the platform, looks for it on both sides, and takes it away again.
async fn recent_writes(config: &Config, database_url: &str, site: &mut Site) -> Item {
    let (id, title) = ("recent_writes", "a write through the platform stands on both sides");
    let advice = "check the dual-write triggers";
    let Some(pair) = config.tables.iter().find(|pair| pair.name == "revenue") else {
        return unknown(id, title, "no pair is named revenue", "name it so in [[tables]]");
    };
    if !config.environment.allows(WritingAct::Drive) {
        let seen = "not tried: this environment does not allow `drive`";
        return unknown(id, title, seen, "try it where it is allowed");
    }
    let org = config.preflight.test_org;
    let body =
        format!(r#"{{"orgId": {org}, "amount": "1.00", "description": "cutover preflight"}}"#);
    let answer = site.send(Method::POST, "/finance/revenue", body, &[]).await;
    let made = match &answer {
        Ok(answer) if (200..300).contains(&answer.status) => {
            serde_json::from_slice::<Value>(&answer.body).ok().and_then(|row| row["id"].as_i64())
        }
        Ok(answer) => return item(id, title, false, format!("status {}", answer.status), advice),
        Err(failure) => {
            let seen = format!("{}; a row may have been left in org {org}", failure.name());
            return item(id, title, false, seen, "is the platform up?");
        }
    };
    let Some(row) = made else {
        let why = format!("the answer names no row; one may have been left in org {org}");
        return unknown(id, title, why, "look for `cutover preflight` there, and remove it");
    };
    let sides = match Shared::connect(database_url, super::QUESTION_LIMIT).await {
        Ok(mut connection) => {
            let sides = sql::sides(&mut connection, pair, row).await;
            connection.close().await;
            sides
        }
        Err(error) => Err(error.to_string()),
    };
    let path = format!("/finance/revenue/{row}?orgId={org}");
    // Whatever took so long, the row is not left.
    site.allow(ANSWER_TIMEOUT);
    let removed = site.send(Method::DELETE, &path, "", &[]).await;
    let removed = removed.is_ok_and(|answer| (200..300).contains(&answer.status));
    let rest = if removed { "removed again" } else { "NOT removed: do it by hand" };
    match sides {
        Ok((legacy, twin)) => {
            let seen = format!("org {org} id {row}: {legacy} legacy, {twin} partitioned; {rest}");
            item(id, title, (legacy, twin) == (1, 1) && removed, seen, advice)
        }
        Err(why) => unknown(id, title, format!("{why}; {rest}"), advice),
    }
}

async fn cache(site: &mut Site) -> Item {
    let (id, title) = ("redis", "Redis answers (recommended)");
    let found = match site.json("/monitoring/cache/invalidation-metrics").await {
        Ok(said) if said["available"] == true && said["backend"] == "memory" => {
            unknown(id, title, "the platform caches in its own memory", "provision Redis")
        }
        Ok(said) => match said["available"].as_bool() {
            Some(holds) => {
                item(id, title, holds, said.to_string(), "is Redis up, with memory left?")
            }
            None => unknown(id, title, "the platform does not say", "ask Redis: PING"),
        },
        Err(why) => unknown(id, title, why, "is the platform up?"),
    };
    super::Item { optional: true, ..found }
}

pub(super) async fn replicas(site: &mut Site) -> Item {
    let (id, title) = ("replicas", "replicas follow (where there are any)");
    let found = match site.json("/database/replica/lag").await {
        Ok(said) => match said["replicas"].as_array().map(Vec::len) {
            Some(0) => unknown(id, title, "there is none", "nothing, where none is used"),
            Some(_) => {
                let lag_s = said["maxReplicaLag"].as_f64();
                let holds = lag_s.is_some_and(|lag_s| lag_s < REPLICA_LAG_WARNING_S);
                item(id, title, holds, said.to_string(), "fix the replica before you begin")
            }
            None => unknown(id, title, "the platform does not say", "ask the replica for its lag"),
        },
        Err(why) => unknown(id, title, why, "is the platform up?"),
    };
    super::Item { optional: true, ..found }
}

async fn pooler(config: &Config) -> Item {
    let (id, title) = ("pgbouncer", "PgBouncer answers (where it is used)");
    let found = match &config.preflight.pgbouncer_url {
        None => unknown(id, title, "nobody says where it is", "name pgbouncer_url in [preflight]"),
        Some(url) => match log_in(config, url).await {
            Ok(connection) => {
                connection.close().await;
                item(id, title, true, cutover_ground::pg::describe(url), "")
            }
            Err(error) => item(id, title, false, error.to_string(), "is PgBouncer up?"),
        },
    };
    super::Item { optional: true, ..found }
}

/// As `[database]` says how: a pooler's URL has no password of its own.
async fn log_in(config: &Config, url: &str) -> Result<Shared> {
    let resolved = config.database.resolve("[preflight] pgbouncer_url", Some(url), None)?;
    Shared::connect(resolved.as_deref().unwrap_or(url), super::QUESTION_LIMIT).await
}

pub(super) async fn endpoints(site: &mut Site) -> Item {
    let (id, title) = ("monitoring", "monitoring endpoints return data");
    let (mut silent, end) = (Vec::new(), Instant::now() + ENDPOINTS_LIMIT);
    for (path, field) in ENDPOINTS {
        if Instant::now() >= end {
            silent.push(format!("{path}: not asked, the others took too long"));
            continue;
        }
        match site.json(path).await {
            Ok(said) if said.pointer(field).is_some() => {}
            Ok(_) => silent.push(format!("{path}: no {field}")),
            Err(why) => silent.push(format!("{path}: {why}")),
        }
    }
    let seen = match silent.is_empty() {
        true => format!("{} of {}", ENDPOINTS.len(), ENDPOINTS.len()),
        false => silent.join("; "),
    };
    item(id, title, silent.is_empty(), seen, "without them nobody sees a rollout go wrong")
}
