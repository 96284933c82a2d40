//! This run against earlier ones: is the partitioned side slower than it used to be?
//!
//! Two runs differ by more than their windows do: another day, another neighbour on the machine. So
//! a new run is held against the spread *between* earlier runs. With d = ln p95(now) − mean of
//! ln p95(then), the regression is at least exp(d − t · s · √(1 + 1/n)): a one-sided bound of the
//! prediction for one further run.

use std::collections::BTreeMap;

use super::catalogue::criterion;
use super::interval::t_quantile;
use super::limits;
use super::load::felt_us;
use super::statistics::CONFIDENCE;
use super::text::percent;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::Side;
use cutover_evidence::history::PastRun;
use cutover_evidence::limits::LimitId;
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Criterion, Decision};

/// With fewer earlier runs their own spread says too little.
const MIN_RUNS: usize = 5;
/// The spread between runs that is assumed until then: standard deviation of ln p95.
const ASSUMED_SPREAD: f64 = 0.10;

/// What an earlier run says, if it may be compared with this one.
///
/// # Errors
/// Why not, in words: another machine, scenario or amount of data, or a run that is no measure.
pub fn past_run(now: &RunRecord, past: &RunRecord) -> Result<PastRun, String> {
    if !past.altered.is_empty() {
        return Err(format!("its evidence is not as it was left: {}", past.altered.join("; ")));
    }
    if (&now.run_id, &now.started_at) == (&past.run_id, &past.started_at) {
        return Err("it is this very run".into());
    }
    let target = |record: &RunRecord| match &record.target {
        target if target.rig => "a rig".to_owned(),
        target => {
            let named = [&target.environment, &target.database, &target.base_url];
            named.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        }
    };
    if target(now) != target(past) {
        return Err(format!("another target: {}; here {}", target(past), target(now)));
    }
    if past.verdict.decision == Decision::Invalid {
        return Err("its own verdict is INVALID".into());
    }
    let (Some(drive), Some(before)) = (&now.drive, &past.drive) else {
        return Err("one of the two has no load".into());
    };
    let machine = |record: &RunRecord| {
        let machine = &record.environment;
        let memory_gib = (machine.memory_bytes as f64 / f64::from(1 << 30)).round();
        format!("{}, {} cores, {memory_gib} GiB", machine.cpu, machine.cores)
    };
    let scenario = |record: &RunRecord| record.scenario_sha256.clone();
    if ![now, past].map(scenario).iter().any(String::is_empty) && scenario(now) != scenario(past) {
        return Err("another scenario: its file has another content".into());
    }
    let data = |record: &RunRecord| {
        let (orgs, rows) = size(record);
        format!("{orgs} orgs, {rows} rows")
    };
    if !same_size(now, past) {
        return Err(format!("another amount of data: {}; here {}", data(past), data(now)));
    }
    let load = |drive: &cutover_evidence::drive::DriveEvidence| {
        format!(
            "{} at {} req/s, {} connections",
            drive.scenario, drive.rate_per_s, drive.connections
        )
    };
    for (what, here, there) in
        [("machine", machine(now), machine(past)), ("load", load(drive), load(before))]
    {
        if here != there {
            return Err(format!("another {what}: {there}; here {here}"));
        }
    }
    let p95 = |mode| before.overall.get(&mode).map_or(0, |latency| latency.response_us.p95);
    let operations = before.operations.iter().filter_map(|operation| {
        let latency = operation.modes.get(&Side::Partitioned)?;
        Some((operation.name.clone(), latency.response_us.p95))
    });
    Ok(PastRun {
        run_id: past.run_id.clone(),
        started_at: past.started_at.clone(),
        legacy_p95_us: p95(Side::Legacy),
        partitioned_p95_us: p95(Side::Partitioned),
        operations_p95_us: operations.collect(),
    })
}

/// Orgs and rows: as they were seeded, or as they were compared if the data was there already.
fn size(record: &RunRecord) -> (u64, u64) {
    match (&record.manifest, &record.diff) {
        (Some(manifest), _) => {
            (manifest.orgs, manifest.tables.iter().map(|table| table.rows).sum())
        }
        (None, Some(diff)) => {
            (diff.orgs_checked, diff.tables.iter().map(|table| table.legacy_rows).sum())
        }
        (None, None) => (0, 0),
    }
}

/// Whether both had the same orgs, and rows that differ by no more than another seed makes them; or
/// data of about one size, if it was there and grows.
fn same_size(now: &RunRecord, past: &RunRecord) -> bool {
    const SEEDS: f64 = 0.02;
    const GROWTH: f64 = 0.10;
    let ((orgs, rows), (orgs_then, rows_then)) = (size(now), size(past));
    let near = |one: u64, other: u64, share: f64| {
        one.abs_diff(other) as f64 <= share * one.max(other) as f64
    };
    match (now.manifest.is_some(), past.manifest.is_some()) {
        (true, true) => orgs == orgs_then && near(rows, rows_then, SEEDS),
        (false, false) => near(orgs, orgs_then, GROWTH) && near(rows, rows_then, GROWTH),
        _ => false,
    }
}

/// The least by which a value is worse than earlier ones, as a ratio, with the ratio to their
/// mean: (ratio, lower bound). `None` if there is nothing to compare.
fn regression(now_us: u64, then_us: &[u64]) -> Option<(f64, f64)> {
    if then_us.is_empty() || now_us == 0 || then_us.contains(&0) {
        return None;
    }
    let n = then_us.len() as f64;
    let logs: Vec<f64> = then_us.iter().map(|us| (*us as f64).ln()).collect();
    let mean = logs.iter().sum::<f64>() / n;
    let (spread, freedom) = if then_us.len() < MIN_RUNS {
        (ASSUMED_SPREAD, f64::INFINITY)
    } else {
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        ((squares / (n - 1.0)).sqrt(), n - 1.0)
    };
    let t = t_quantile(CONFIDENCE, freedom.min(1e6));
    let difference = (now_us as f64).ln() - mean;
    let margin = t * spread * (1.0 + 1.0 / n).sqrt();
    Some((difference.exp(), (difference - margin).exp()))
}

/// The criterion, if earlier runs were named.
pub(super) fn against_earlier_runs(record: &RunRecord) -> Option<Criterion> {
    if record.history.is_empty() && record.incomparable.is_empty() {
        return None;
    }
    let limit = limits::value(record, LimitId::P95History);
    let criterion = criterion(CriterionId::P95History);
    if record.history.is_empty() {
        let first = record.incomparable.first();
        let first = first.map_or(String::new(), |run| format!("; {}: {}", run.run_id, run.why));
        return Some(
            criterion.note(format!("no earlier run can be compared with this one{first}")),
        );
    }
    let runs = record.history.len();
    let Some(drive) = &record.drive else {
        return Some(criterion.note("no request was measured"));
    };
    let now_us = drive.overall.get(&Side::Partitioned).map_or(0, |l| l.response_us.p95);
    let then_us: Vec<u64> = record.history.iter().map(|past| past.partitioned_p95_us).collect();
    let Some((ratio, low)) = regression(now_us, &then_us) else {
        return Some(criterion.note("a run without a p95 cannot be compared"));
    };
    let slower = slower_operations(record, limit);
    let pass = low <= 1.0 + limit && slower.is_empty();
    let mut notes: Vec<String> =
        slower.iter().map(|(name, ratio)| format!("{name} {}", percent(*ratio))).collect();
    if let Some(since) = level_change(record) {
        notes.push(format!("the level changed with run {since}"));
    }
    let measured = format!("{} (at least {}) over {runs} runs", percent(ratio), percent(low));
    Some(criterion.measured(pass, measured).below(low - 1.0, limit).note(notes.join(", ")))
}

/// The run with which the level of p95 changed, if it did.
pub(super) fn level_change(record: &RunRecord) -> Option<String> {
    let now_us = record.drive.as_ref()?.overall.get(&Side::Partitioned)?.response_us.p95;
    let then_us = record.history.iter().map(|past| past.partitioned_p95_us);
    let values: Vec<f64> = then_us.chain([now_us]).map(|us| (us as f64).ln()).collect();
    let at = change_point(&values)?;
    Some(record.history.get(at).map_or_else(|| record.run_id.clone(), |run| run.run_id.clone()))
}

/// Operations slower than they used to be, worst first.
fn slower_operations(record: &RunRecord, limit: f64) -> Vec<(String, f64)> {
    let mut then_us: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (name, us) in record.history.iter().flat_map(|past| &past.operations_p95_us) {
        then_us.entry(name).or_default().push(*us);
    }
    let felt_us = felt_us(record);
    let operations = record.drive.iter().flat_map(|drive| &drive.operations);
    let mut slower: Vec<(String, f64)> = operations
        .filter_map(|operation| {
            let now_us = operation.modes.get(&Side::Partitioned)?.response_us.p95;
            let then_us = then_us.get(operation.name.as_str())?;
            let felt = then_us.iter().all(|then| now_us as i64 >= *then as i64 + felt_us);
            let (ratio, low) = regression(now_us, then_us)?;
            (felt && low > 1.0 + limit).then(|| (operation.name.clone(), ratio))
        })
        .collect();
    slower.sort_by(|a, b| b.1.total_cmp(&a.1));
    slower
}

/// Where the level of a series changed, as the index of the first value of the new level; `None`
/// if nothing stands out from chance.
///
/// The split with the largest standardised difference of means on its two sides, held against the
/// same statistic of the series in other orders (a permutation test at 1 in 100).
fn change_point(values: &[f64]) -> Option<usize> {
    const SHUFFLES: u64 = 2000;
    if values.len() < 2 * MIN_RUNS {
        return None;
    }
    let (at, found) = largest_step(values)?;
    let mut shuffled = values.to_vec();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut as_large = 0;
    for _ in 0..SHUFFLES {
        for last in (1..shuffled.len()).rev() {
            // A fixed sequence: the same record gives the same verdict on every machine.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(last, ((state >> 33) % (last as u64 + 1)) as usize);
        }
        as_large += u64::from(largest_step(&shuffled).is_some_and(|(_, step)| step >= found));
    }
    (as_large * 100 < SHUFFLES).then_some(at)
}

/// The split with the largest difference of means in units of its standard error.
fn largest_step(values: &[f64]) -> Option<(usize, f64)> {
    let (all, n) = (values.iter().sum::<f64>(), values.len() as f64);
    let mut sum = 0.0;
    let steps = values.iter().enumerate().map(|(at, value)| {
        let before = (at as f64, sum);
        sum += value;
        (at, before)
    });
    let steps = steps.filter(|(at, _)| (2..values.len().saturating_sub(1)).contains(at));
    let steps = steps.map(|(at, (k, sum))| {
        let difference = (all - sum) / (n - k) - sum / k;
        (at, difference.abs() * (k * (n - k) / n).sqrt())
    });
    steps.filter(|(_, step)| step.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: f64 = 1.10;

    #[test]
    fn a_night_like_the_others_is_no_regression_and_one_far_above_is() {
        let nights = [5000, 5200, 4900, 5100, 5050, 4950, 5150];
        let (ratio, low) = regression(5300, &nights).expect("comparable");
        assert!(ratio > 1.0 && low < LIMIT, "{ratio} {low}");
        let (_, low) = regression(6500, &nights).expect("comparable");
        assert!(low > LIMIT, "{low}");
    }

    #[test]
    fn few_runs_are_given_room() {
        assert!(regression(6000, &[5000]).expect("comparable").1 < LIMIT);
        assert!(regression(8000, &[5000]).expect("comparable").1 > LIMIT);
        assert_eq!(regression(5000, &[]), None);
        assert_eq!(regression(0, &[5000]), None);
    }

    #[test]
    fn the_night_of_a_change_is_found_and_none_where_there_was_none() {
        let wobble = |n: usize| [0.0, 0.03, -0.02, 0.01, -0.03, 0.02][n % 6];
        let steady: Vec<f64> = (0..24).map(|n| 8.5 + wobble(n)).collect();
        assert_eq!(change_point(&steady), None);
        let step: Vec<f64> =
            (0..24).map(|n| 8.5 + wobble(n) + if n < 15 { 0.0 } else { 0.2 }).collect();
        assert_eq!(change_point(&step), Some(15));
        assert_eq!(change_point(&step[..6]), None);
    }
}
