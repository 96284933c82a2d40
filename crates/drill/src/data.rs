//! Drills about the tables: a partition that is not there, and a backup that has to be.

use std::time::Instant;

use chrono::{Datelike, Months, NaiveDate, Utc};
use hyper::Method;
use serde_json::Value;
use sqlx::Connection;

use super::scene::{PROOF_READS, SETTLE_TIMEOUT, Scene};
use super::script::Script;
use super::sql;
use super::target::DrillTarget;
use cutover_error::{Error, Result};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::Finding;
use cutover_ground::http::Failure;
use cutover_ground::pg::connect;

/// Month end: the partition of next month was not made, and the first row of that month comes.
pub(super) async fn missing_partition<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    scene.before(script).await?;
    let (pair, next) = (scene.revenue()?, next_month(Utc::now().date_naive()));
    let mut connection = scene.connect().await?;
    let Some((leaf, bounds)) = sql::leaf_of_day(&mut connection, pair, next).await? else {
        let what = format!("{}: no partition begins on {next}", pair.partitioned);
        return Err(Error::run(what, "this drill wants a twin that is divided by months"));
    };
    let rows = sql::rows(&mut connection, &leaf).await?;
    if rows > 0 {
        let what = format!("{leaf} holds {rows} rows already");
        return Err(Error::run(what, "a partition with rows is never taken away"));
    }
    let back = sql::attach_leaf(pair, &leaf, &bounds)?;
    scene.keep(&back)?;
    sql::run(&mut connection, sql::detach_leaf(pair, &leaf)?).await?;
    script.did("planted: next month's partition is not there", leaf.clone());
    let mended = without_leaf(scene, script, &mut connection, (&leaf, &back), next).await;
    // Whatever was seen, the partition comes back.
    sql::run(&mut connection, back).await?;
    mended?;
    let last = scene.stage.compare(&scene.target.database_url, "partition-parity", false).await?;
    let clean = last.evidence.complete && !last.evidence.has_differences();
    script.prove("parity", clean, format!("{} orgs differ", last.evidence.orgs_diverged));
    scene.prove_nothing_lost(script).await
}

async fn without_leaf<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
    connection: &mut sqlx::postgres::PgConnection,
    (leaf, back): (&str, &str),
    next: NaiveDate,
) -> Result<()> {
    let pair = scene.revenue()?;
    script.start_clock();
    let compared =
        scene.stage.compare(&scene.target.database_url, "partition-missing", false).await?;
    // How bad it is depends on the days that are left.
    let is_it = |finding: &&Finding| finding.class == CatalogClass::PartitionMissing.into();
    let named = compared.evidence.findings.iter().find(is_it);
    let detail = named.and_then(|finding| finding.detail.clone()).unwrap_or_default();
    script.prove("the comparison warns before the month begins", named.is_some(), detail);
    let org = scene.orgs[0].clone();
    let (refused, _) = post(scene, &org, next).await;
    let says = refused.as_ref().map_or_else(|why| why.clone(), |status| status.to_string());
    let holds = refused.is_ok_and(|status| status >= 400);
    script.prove("a row of next month is refused, not written to one side", holds, says);
    let from = Instant::now();
    let enough = scene.traffic.reads_since(from, PROOF_READS, SETTLE_TIMEOUT).await;
    let seen = scene.traffic.between(from, Instant::now());
    script.prove("rows of this month are written", enough && seen.failed == 0, seen.seen());
    sql::run(connection, back.to_owned()).await?;
    script.did("partition back", leaf);
    let (accepted, id) = post(scene, &org, next).await;
    let says = accepted.as_ref().map_or_else(|why| why.clone(), |status| status.to_string());
    let sides = match id {
        Some(id) => sql::present(connection, pair, &[id]).await?,
        None => (0, 0),
    };
    let seen = format!("status {says}, {} in legacy, {} in the twin", sides.0, sides.1);
    script.prove("the row of next month stands on both sides", sides == (1, 1), seen);
    script.stop_clock();
    if let Some(id) = id {
        let path = format!("/finance/revenue/{id}?orgId={org}");
        let _ = scene.site.send(Method::DELETE, &path, "", &[]).await;
    }
    Ok(())
}

/// The first day of the month after a day's.
fn next_month(day: NaiveDate) -> NaiveDate {
    let first = day.with_day(1).unwrap_or(day);
    first.checked_add_months(Months::new(1)).unwrap_or(first)
}

/// Writes a row of a day: the status, or why there is none, and the row's id.
async fn post<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    org: &str,
    day: NaiveDate,
) -> (Result<u16, String>, Option<i64>) {
    let body = format!(
        r#"{{"orgId": {org}, "amount": "1.00", "date": "{day}", "description": "cutover drill"}}"#
    );
    let answer = scene.site.send(Method::POST, "/finance/revenue", body, &[]).await;
    let id = answer
        .as_ref()
        .ok()
        .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok()?.get("id")?.as_i64());
    (answer.map(|answer| answer.status).map_err(|f: Failure| f.name().to_owned()), id)
}

/// Handbook, data loss detected: the backup restored beside the database, and held against what was
/// acknowledged before it.
pub(super) async fn restore<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    scene.before(script).await?;
    let pairs = scene.target.config.tables.clone();
    let mut connection = scene.connect().await?;
    let mut before = Vec::new();
    for pair in &pairs {
        before.push(sql::counts(&mut connection, pair).await?);
    }
    let acknowledged = scene.traffic.acknowledged(Instant::now());
    script.start_clock();
    let backup = scene.stage.back_up().await?;
    let size = std::fs::metadata(&backup).map_or(0, |meta| meta.len());
    let seen = format!("{:.1} MB, while requests went on", size as f64 / 1e6);
    script.prove("a backup was taken", size > 0, seen);
    let url = scene.stage.restore(&backup).await?;
    script.did("restored into a second database", cutover_ground::pg::describe(&url));
    let compared = scene.stage.compare(&url, "restored", false).await?;
    let clean = compared.evidence.complete && !compared.evidence.has_differences();
    let (orgs, differ) = (compared.evidence.orgs_checked, compared.evidence.orgs_diverged);
    script.prove("in it both sides are equal", clean, format!("{differ} of {orgs} orgs differ"));
    let mut restored = connect(&url).await?;
    let ids: Vec<i64> = acknowledged.iter().map(|(id, _)| *id).collect();
    let (legacy, twin) = sql::present(&mut restored, scene.revenue()?, &ids).await?;
    let all = ids.len() as i64;
    let holds = all > 0 && legacy == all && twin == all;
    let seen = format!("{all} acknowledged, {legacy} in legacy, {twin} in the twin");
    script.prove("every write acknowledged before the backup is in it", holds, seen);
    script.stop_clock();
    for (pair, before) in pairs.iter().zip(&before) {
        let there = sql::counts(&mut restored, pair).await?;
        // Traffic only adds rows while a drill runs.
        let holds = there.0 >= before.0 && there.1 >= before.1;
        let seen = format!("{} legacy, {} partitioned; {} before", there.0, there.1, before.0);
        script.prove(&format!("no row of {} is missing", pair.name), holds, seen);
    }
    let _ = restored.close().await;
    scene.prove_nothing_lost(script).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_month_after_december_is_january() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        assert_eq!(next_month(day("2026-12-31")), day("2027-01-01"));
        assert_eq!(next_month(day("2026-01-31")), day("2026-02-01"));
    }
}
