//! The rollbacks: of everybody, with the data assessed and mended, and of one org.

use std::time::Instant;

use super::scene::{PERCENT, PROOF_READS, SETTLE_TIMEOUT, Scene};
use super::script::Script;
use super::sql;
use super::target::DrillTarget;
use cutover_error::{Context, Result};
use cutover_evidence::drive::Side;
use cutover_ground::own_file;
use cutover_ground::routing::survey;

/// p95 after a rollback against that before: the handbook's critical alarm.
const SLOWEST: f64 = 1.5;
/// Below this, a longer p95 is the clock of the machine and not the platform.
const FELT_US: u64 = 20_000;

/// If a read of one org comes from.
const READ: &str = "/finance/revenue?orgId={{org}}&limit=10";

/// Handbook, standard rollback: flag off, configuration verified, metrics normal.
pub(super) async fn standard<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    let p95_us = scene.before(script).await?;
    script.start_clock();
    let off = flag_off(scene, script).await?;
    scene.prove_healthy(script).await;
    let limit_us = ((p95_us as f64 * SLOWEST) as u64).max(FELT_US);
    let (normal, seen) = settled(scene, off, limit_us).await;
    script.stop_clock();
    let seen = format!("{seen}; p95 before {:.1} ms", p95_us as f64 / 1000.0);
    script.prove("error rate and latency are normal", normal, seen);
    scene.prove_nothing_lost(script).await
}

/// Watches one stretch of requests after the other until none fails and p95 is as it was; a stretch
/// that was slow for once is waited out, as the handbook's half hour would.
async fn settled<S: DrillTarget>(
    scene: &Scene<'_, S>,
    mut from: Instant,
    limit_us: u64,
) -> (bool, String) {
    let end = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let enough = scene.traffic.reads_since(from, PROOF_READS, SETTLE_TIMEOUT).await;
        let stretch = scene.traffic.between(from, Instant::now());
        let normal = enough && stretch.failed == 0 && stretch.p95_us <= limit_us;
        if normal || Instant::now() >= end {
            return (normal, stretch.seen());
        }
        from = Instant::now();
    }
}

/// Switches the flag off, and proves by the platform's word and by its answers that it is; returns
/// since when.
async fn flag_off<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<Instant> {
    scene.flag.set(0.0).await?;
    script.did("flag set to 0 %", "accepted");
    let path = "/monitoring/partitions/metrics";
    let off = |said: &serde_json::Value| said["partitionedTablesEnabled"] == false;
    let (holds, said) = scene.until(path, SETTLE_TIMEOUT, off).await;
    let seen = format!("partitionedTablesEnabled is {}", said["partitionedTablesEnabled"]);
    script.prove("the platform says that the flag is off", holds, seen);
    let from = Instant::now();
    let enough = scene.traffic.reads_since(from, PROOF_READS, SETTLE_TIMEOUT).await;
    let seen = scene.traffic.between(from, Instant::now());
    let proven = enough && seen.partitioned == 0;
    script.prove("reads come from legacy", proven, seen.seen());
    Ok(from)
}

/// Handbook, emergency rollback: rows of the twin are wrong; writes go on meanwhile.
pub(super) async fn emergency<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    scene.before(script).await?;
    let pairs = scene.target.config.tables.clone();
    let mut connection = scene.connect().await?;
    let spoilt = sql::spoil(&mut connection, scene.revenue()?, None).await?;
    script.did("planted: rows of the twin lost and changed", format!("{spoilt} rows"));
    script.start_clock();
    flag_off(scene, script).await?;
    for pair in &pairs {
        sql::disable_trigger(&mut connection, pair).await?;
    }
    let from = Instant::now();
    script.did("dual-write triggers disabled", format!("{} pairs", pairs.len()));
    for pair in &pairs {
        let (legacy, twin) = sql::counts(&mut connection, pair).await?;
        let seen = format!("{legacy} legacy, {twin} partitioned, delta {}", legacy - twin);
        script.did(&format!("rows of {}", pair.name), seen);
    }
    // Writes of this time reach legacy alone, and have to be found as well.
    scene.traffic.reads_since(from, PROOF_READS, SETTLE_TIMEOUT).await;
    let assessed = mend(scene, "emergency-assessed").await?;
    let found = assessed.orgs_diverged;
    let seen = format!("{found} orgs of {} differ", assessed.orgs_checked);
    script.prove("the assessment sees the damage", found > 0 && spoilt > 0, seen);
    scene.put_triggers_back(&mut connection).await?;
    scene.prove_triggers(script, &mut connection).await?;
    let between = mend(scene, "emergency-mended").await?;
    let seen = format!("{} orgs", between.orgs_diverged);
    script.did("mended what was written between the first repair and the triggers", seen);
    let last = scene.stage.compare(&scene.target.database_url, "emergency-parity", false).await?;
    let clean = last.evidence.complete && !last.evidence.has_differences();
    let (orgs, differ) = (last.evidence.orgs_checked, last.evidence.orgs_diverged);
    script.prove("parity", clean, format!("{differ} of {orgs} orgs differ"));
    script.stop_clock();
    scene.prove_healthy(script).await;
    scene.prove_nothing_lost(script).await
}

/// Compares, and applies what mends what was found.
async fn mend<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    name: &str,
) -> Result<cutover_evidence::finding::DiffEvidence> {
    let compared = scene.stage.compare(&scene.target.database_url, name, true).await?;
    if let Some(path) = &compared.repair {
        let place = format!("cannot read {}", path.display());
        let statements = own_file::read(path).or_run(place, "")?;
        // The functions of the file last as long as its session.
        sql::apply(&mut scene.connect().await?, statements).await?;
    }
    Ok(compared.evidence)
}

/// Decision matrix, single org affected: off for that org, on for the others.
pub(super) async fn disable_org<S: DrillTarget>(
    scene: &mut Scene<'_, S>,
    script: &mut Script<'_>,
) -> Result<()> {
    scene.before(script).await?;
    let (config, base_url) = (&scene.target.config, &scene.target.base_url);
    let all = survey(config, base_url, READ, &scene.orgs).await?;
    let mut on = all.partitioned.iter().cloned();
    let (Some(affected), Some(_)) = (on.next(), on.next()) else {
        script.prove("two orgs read from the partitioned side", false, format!("{all:?}"));
        return Ok(());
    };
    let mut connection = scene.connect().await?;
    let spoilt = sql::spoil(&mut connection, scene.revenue()?, Some(&affected)).await?;
    script
        .did("planted: rows of one org lost in the twin", format!("org {affected}, {spoilt} rows"));
    script.start_clock();
    let assessed = scene.stage.compare(&scene.target.database_url, "disable-org", true).await?;
    let mut orgs = assessed.evidence.orgs.iter().map(|org| org.org_id.as_str());
    let only = spoilt > 0 && assessed.evidence.orgs_diverged == 1 && orgs.all(|o| o == affected);
    let seen = format!("{} orgs differ", assessed.evidence.orgs_diverged);
    script.prove("the comparison names that org and no other", only, seen);
    scene.flag.disable(std::slice::from_ref(&affected)).await?;
    let after = survey(config, base_url, READ, &scene.orgs).await?;
    let mut expected = all.partitioned.clone();
    expected.remove(&affected);
    let holds = after.partitioned == expected && after.legacy.contains(&affected);
    let seen = format!(
        "org {affected} from {}; {} others still partitioned, {} before",
        if after.legacy.contains(&affected) { Side::Legacy } else { Side::Partitioned }.as_str(),
        after.partitioned.len(),
        all.partitioned.len() - 1
    );
    script.prove("that org reads from legacy, the others from where they did", holds, seen);
    script.stop_clock();
    let mended = mend(scene, "disable-org-mended").await?;
    script.did("repair.sql applied", format!("{} orgs", mended.orgs_diverged));
    scene.flag.disable(&[]).await?;
    let back = survey(config, base_url, READ, &scene.orgs).await?;
    let seen = format!("{} orgs at {PERCENT} %", back.partitioned.len());
    script.prove("after the repair the org is back", back.partitioned == all.partitioned, seen);
    let last = scene.stage.compare(&scene.target.database_url, "disable-org-parity", false).await?;
    let clean = last.evidence.complete && !last.evidence.has_differences();
    script.prove("parity", clean, format!("{} orgs differ", last.evidence.orgs_diverged));
    scene.prove_nothing_lost(script).await
}
