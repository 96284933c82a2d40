//! After 100 %: what the handbook looks at on day 1, in week 1 and in month 1.
//!
//! What takes more than a look is named with the command that measures it, and stays open here.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use url::Url;

use super::{backup, database, item, now, platform, sql, unknown};
use cutover_error::Result;
use cutover_evidence::checklist::{Checklist, Item};
use cutover_evidence::limits::{LimitId, Limits, Phase};
use cutover_evidence::policy::LOOKUPS_ENOUGH;
use cutover_evidence::side::Side;
use cutover_ground::act::{ActContext, Event};
use cutover_ground::config::{Config, TablePair};
use cutover_ground::http::{Site, TrustedRoots};
use cutover_ground::pg::Shared;
use cutover_ground::routing::ServedBy;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Reads of our own, each of another org.
const READS: i64 = 200;
/// Dependants that are named.
const NAMED: usize = 10;

/// Which of the three lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// Integrity, errors, cache.
    Day1,
    /// The same every day, and the partitions.
    Week1,
    /// What stands in the way of a life without legacy.
    Month1,
}

/// Goes through a post-rollout checklist; only reads. What cannot be reached is an item that is
/// unknown or fails, never an error.
///
/// # Errors
/// A usage error if a URL or the configuration cannot be used; [`cutover_error::Error::Interrupted`].
pub async fn post_rollout(
    config: &Config,
    milestone: Milestone,
    database_url: &str,
    base_url: &Url,
    context: &ActContext,
) -> Result<Checklist> {
    context.started("post-rollout", None, "");
    let mut items = database_items(config, milestone, database_url).await;
    context.check_stop()?;
    items.extend(platform_items(config, base_url).await?);
    items.extend(elsewhere(milestone).iter().map(|(id, title, how)| open(id, title, "", how)));
    context.emit(Event::Finished);
    Ok(Checklist { name: "post-rollout".into(), at: now(), items })
}

async fn database_items(config: &Config, milestone: Milestone, database_url: &str) -> Vec<Item> {
    let mut connection = match Shared::connect(database_url, super::QUESTION_LIMIT).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice = error.hint().unwrap_or("is the server running there?").to_owned();
            return vec![item("database", "PostgreSQL answers", false, error.to_string(), &advice)];
        }
    };
    let row_delta = limits(config).value(LimitId::RowDelta);
    let mut items = Vec::new();
    for pair in &config.tables {
        // Without it there is no way back; who has done without by now knows.
        let trigger = database::trigger(&mut connection, pair).await;
        items.push(Item { optional: milestone == Milestone::Month1, ..trigger });
        items.push(database::parity(&mut connection, pair, row_delta).await);
        match milestone {
            Milestone::Day1 => {}
            Milestone::Week1 => items.push(leaves(&mut connection, pair).await),
            Milestone::Month1 => items.push(dependants(&mut connection, pair).await),
        }
    }
    if milestone == Milestone::Month1 {
        items.push(backup::age(config, &mut connection).await);
    }
    connection.close().await;
    items
}

fn limits(config: &Config) -> Limits<'_> {
    Limits { own: &config.limits, phase: Some(Phase::PostRollout) }
}

async fn platform_items(config: &Config, base_url: &Url) -> Result<Vec<Item>> {
    let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
    let mut site = Site::new(base_url, &roots, ANSWER_TIMEOUT)?;
    let limits = limits(config);
    site.limit_to(super::LIST_LIMIT);
    Ok(vec![
        platform::health(&mut site).await,
        platform::partitions(&mut site, limits.value(LimitId::RowDelta)).await,
        // Before our own reads, which are of orgs that nobody may have asked for of late.
        hit_rate(&mut site, limits.value(LimitId::CacheHitRate)).await,
        reads(config, &mut site).await,
        alerts(&mut site).await,
        platform::replicas(&mut site).await,
        platform::endpoints(&mut site).await,
    ])
}

/// What another command measures, or people know: name, what it is about, how it is answered.
fn elsewhere(milestone: Milestone) -> &'static [(&'static str, &'static str, &'static str)] {
    match milestone {
        Milestone::Day1 => &[
            ("every_row", "every row of every org is the same on both sides", "cutover diff"),
            (
                "performance",
                "p95, error rate and cache over a day",
                "cutover watch --for 24h, then cutover gate RUN_DIR --phase post-rollout",
            ),
            ("users", "no issue reported by users", "ask support"),
        ],
        Milestone::Week1 => &[
            ("every_row", "every row of every org is the same on both sides", "cutover diff"),
            ("anomalies", "watched every day", "cutover watch --for 168h"),
            (
                "pruning",
                "reads touch the partitions they are about",
                "the plans in the report of cutover diff",
            ),
            ("documented", "issues and their ends written down", "by people"),
        ],
        Milestone::Month1 => &[
            ("deprecation", "legacy tables can be deprecated", "by people, from the items above"),
            ("dual_write", "a plan for writes without the triggers", "by people"),
            ("recovery", "disaster recovery knows the new tables", "cutover drill restore"),
        ],
    }
}

/// For people to judge.
fn open(id: &str, title: &str, seen: &str, how: &str) -> Item {
    let seen = if seen.is_empty() { "not measured here" } else { seen };
    Item { optional: true, ..unknown(id, title, seen, how) }
}

/// How the twin's rows lie: one partition that holds most of them prunes nothing.
async fn leaves(connection: &mut Shared, pair: &TablePair) -> Item {
    let id = format!("leaves_{}", pair.name);
    let title = format!("{}: partition ranges fit the data", pair.name);
    match sql::sizes(connection, pair).await {
        Ok(sizes) if sizes.leaves > 0 => {
            let share = 100.0 * sizes.largest_bytes as f64 / sizes.twin_bytes.max(1) as f64;
            let seen = format!(
                "{} partitions, {}; the largest, {}, has {share:.0} %",
                sizes.leaves,
                mib(sizes.twin_bytes),
                sizes.largest.unwrap_or_default(),
            );
            open(&id, &title, &seen, "narrower ranges where one partition holds most")
        }
        Ok(_) => item(&id, &title, false, "the twin has no partition", "apply the migrations"),
        Err(why) => unknown(&id, &title, why, "are the tables there?"),
    }
}

/// What would break if legacy were dropped, and what that would free.
async fn dependants(connection: &mut Shared, pair: &TablePair) -> Item {
    let id = format!("dependants_{}", pair.name);
    let title = format!("{}: nothing hangs on the legacy table any more", pair.name);
    let found = match sql::dependants(connection, pair).await {
        Ok(found) => found,
        Err(why) => return unknown(&id, &title, why, "is the table there?"),
    };
    let Ok(sizes) = sql::sizes(connection, pair).await else {
        return unknown(&id, &title, "its size is not known", "is the table there?");
    };
    let (certain, named): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, certain)| *certain);
    if !certain.is_empty() {
        let advice = "move each to the twin before legacy is dropped";
        return item(&id, &title, false, list(&certain), advice);
    }
    let sizes = format!("legacy {}, twin {}", mib(sizes.legacy_bytes), mib(sizes.twin_bytes));
    if named.is_empty() {
        return item(&id, &title, true, sizes, "");
    }
    let seen = format!("{sizes}; named in the text of {}", list(&named));
    open(&id, &title, &seen, "read whether it is the table that they mean")
}

fn list(found: &[(String, bool)]) -> String {
    let names: Vec<&str> = found.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
    let more = match found.len() - names.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    names.join("; ") + &more
}

fn mib(bytes: i64) -> String {
    indicatif::BinaryBytes(bytes.max(0).unsigned_abs()).to_string()
}

/// Reads that name no side: all of them succeed, and all come from the twins.
async fn reads(config: &Config, site: &mut Site) -> Item {
    let (id, title) = ("reads", "reads succeed and come from the partitioned side");
    let Ok(Some(served_by)) = ServedBy::of(&config.routing) else {
        let advice = "name the header of an answer that says its side: [routing] served_by_header";
        return unknown(id, title, "served_by_header names none", advice);
    };
    let (mut failed, mut elsewhere) = (0, 0);
    for number in 0..READS {
        let org = config.preflight.test_org + number;
        let path = format!("/finance/revenue?orgId={org}&limit=20");
        match site.send(Method::GET, &path, "", &[]).await {
            Ok(answer) if (200..300).contains(&answer.status) => {
                let side = served_by.side(&answer.headers);
                elsewhere += u32::from(side != Some(Side::Partitioned));
            }
            _ => failed += 1,
        }
    }
    let seen = format!("of {READS}, {failed} failed and {elsewhere} came from elsewhere");
    item(id, title, failed + elsewhere == 0, seen, "is the flag at 100 %, and no org disabled?")
}

/// `least` is a share of look-ups.
async fn hit_rate(site: &mut Site, least: f64) -> Item {
    let percent = LimitId::CacheHitRate.limit().shown(least);
    let title = format!("cache hit rate > {percent} %, since the platform started");
    let (id, title) = ("hit_rate", title.as_str());
    let said = match site.json("/monitoring/cache/invalidation-metrics").await {
        Ok(said) => said,
        Err(why) => return unknown(id, title, why, "is the platform up?"),
    };
    let count = |name: &str| said["cacheHitStats"][name].as_u64();
    match (count("hits"), count("misses")) {
        (Some(hits), Some(misses)) if hits.saturating_add(misses) >= LOOKUPS_ENOUGH => {
            let lookups = hits.saturating_add(misses);
            let rate = hits as f64 / lookups as f64;
            let seen = format!("{:.1} % of {lookups} look-ups", rate * 100.0);
            item(id, title, rate > least, seen, "investigate the cache's configuration")
        }
        (Some(_), Some(_)) => unknown(id, title, "too few look-ups to tell", "ask again later"),
        _ => unknown(id, title, "the platform does not say", "ask the cache itself"),
    }
}

async fn alerts(site: &mut Site) -> Item {
    let (id, title) = ("alerts", "no critical alert of the platform");
    let advice = "see /monitoring/unified/metrics";
    match site.json("/monitoring/unified/metrics").await {
        Ok(said) => match said.pointer("/alerts/critical").and_then(Value::as_u64) {
            Some(count) => item(id, title, count == 0, count.to_string(), advice),
            None => unknown(id, title, "the platform does not say", advice),
        },
        Err(why) => unknown(id, title, why, "is the platform up?"),
    }
}
