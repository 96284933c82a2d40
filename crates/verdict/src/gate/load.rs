//! The criteria about the load: was the target fast enough.

use statrs::distribution::{Binomial, DiscreteCDF};

use super::catalogue::criterion;
use super::text::{NO_LOAD, milliseconds, percent};
use super::{limits, machine, validity};
use crate::gate::statistics::{MIN_PAIRS, MIN_REQUESTS};
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::{Comparison, DriveEvidence, OperationComparison, Side};
use cutover_evidence::limits::LimitId;
use cutover_evidence::run_record::{ActKind, RunRecord};
use cutover_evidence::verdict::{Action, Criterion, State};

/// Share of a window that a p95 may take.
const SHARED: f64 = 0.25;
/// How probable it may be that one side fails so much more often by chance: six pairs of six.
const FAILED_BY_CHANCE: f64 = 0.02;

/// What the load is held against.
#[derive(Debug, Clone, Copy)]
struct Bars {
    /// Ratio of p95 over all operations.
    overall: f64,
    /// Ratio of p95 that asks for a rollback.
    rollback: f64,
    /// Below this difference a ratio is shown and not judged.
    felt_us: i64,
    error_rate: f64,
    error_rate_rollback: f64,
}

/// Criteria about the load.
pub(super) fn judge(record: &RunRecord) -> Vec<Criterion> {
    let drive = record.drive.as_ref().filter(|drive| drive.requests > 0);
    let of = |name| limits::value(record, name);
    let bars = Bars {
        overall: 1.0 + of(LimitId::P95Overall),
        rollback: 1.0 + of(LimitId::P95Rollback),
        felt_us: felt_us(record),
        error_rate: of(LimitId::ErrorRate),
        error_rate_rollback: of(LimitId::ErrorRateRollback),
    };
    let operations = |c: &Comparison| c.operations.clone();
    let org_sizes = |c: &Comparison| c.org_sizes.clone();
    let each = |id, limit, pick: fn(&Comparison) -> Vec<OperationComparison>| {
        p95_each(id, drive, pick, 1.0 + of(limit), bars)
    };
    let mut criteria = validity::judge(drive, bars.overall);
    criteria.extend([
        error_rate(drive, bars),
        p95_overall(drive, bars),
        each(CriterionId::P95Operations, LimitId::P95Operations, operations),
        each(CriterionId::P95OrgSizes, LimitId::P95OrgSizes, org_sizes),
    ]);
    let ours = record.acts.iter().any(|act| act.name == ActKind::Rig);
    machine::explain(&mut criteria, drive, ours);
    criteria
}

/// The least difference of p95 that somebody feels, microseconds.
pub(super) fn felt_us(record: &RunRecord) -> i64 {
    (limits::value(record, LimitId::P95Felt) * 1000.0) as i64
}

fn error_rate(drive: Option<&DriveEvidence>, bars: Bars) -> Criterion {
    let criterion = criterion(CriterionId::ErrorRate);
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    let rates = || {
        drive
            .overall
            .iter()
            .map(|(mode, latency)| (*mode, latency.errors as f64 / latency.requests.max(1) as f64))
    };
    let worst = rates().max_by(|a, b| a.1.total_cmp(&b.1));
    let fewest = drive.overall.values().map(|latency| latency.requests).min().unwrap_or(0);
    let Some((mode, rate)) = worst else {
        return criterion.note("not both modes were measured");
    };
    // The sum and the modes must tell one story; the worse one counts.
    let rate = rate.max(drive.errors as f64 / drive.requests as f64);
    let pass = rate < bars.error_rate;
    // One mode alone can fail, and never pass.
    if pass && drive.overall.len() < Side::BOTH.len() {
        return criterion.note("not both modes were measured");
    }
    if pass && fewest < MIN_REQUESTS {
        return criterion.note(format!("{fewest} requests in a mode are too few to tell"));
    }
    let mut kinds: Vec<String> =
        drive.errors_by_kind.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
    let (beside, all) = (drive.unmeasured_errors, drive.unmeasured_requests);
    if beside as f64 >= bars.error_rate * all as f64 && beside > 0 {
        // Of no mode, and not to be compared; users would have felt it all the same.
        kinds.push(format!("{beside} of {all} failed while warming up or settling"));
    }
    let action = match rate > bars.error_rate_rollback {
        true => Action::StandardRollback,
        false => Action::Hold,
    };
    criterion
        .measured(pass, format!("{:.3} % ({})", rate * 100.0, mode.as_str()))
        .below(rate, bars.error_rate)
        .note(kinds.join(", "))
        .asks_for(action)
}

fn p95_overall(drive: Option<&DriveEvidence>, bars: Bars) -> Criterion {
    let criterion = criterion(CriterionId::P95Overall);
    if drive.is_some_and(|drive| drive.closed_loop || drive.calibration) {
        return criterion
            .note("this load did not compare the sides: it was for capacity or calibration");
    }
    let Some(comparison) = drive.and_then(|drive| drive.comparison.as_ref()) else {
        return criterion.note("there are no two pairs of windows to compare");
    };
    let range = format!(
        "{} ({} to {}, {} pairs)",
        percent(comparison.p95_ratio),
        percent(comparison.p95_ratio_low),
        percent(comparison.p95_ratio_high),
        comparison.pairs
    );
    let limit = bars.overall;
    let criterion = criterion.below(comparison.p95_ratio - 1.0, limit - 1.0);
    let pooled = comparison.pooled_p95_ratio.unwrap_or(f64::INFINITY);
    if (comparison.pairs as usize) < MIN_PAIRS {
        let note = format!("{} pairs are fewer than the {MIN_PAIRS} needed", comparison.pairs);
        return criterion.note(note);
    }
    let action = match comparison.p95_ratio_low > bars.rollback {
        true => Action::StandardRollback,
        false => Action::Hold,
    };
    if comparison.p95_ratio_low > limit {
        criterion.measured(false, range).note(slower_operations(comparison)).asks_for(action)
    } else if let Some(why) = drive.and_then(felt_by_both) {
        Criterion { measured: Some(range), state: State::Unknown, ..criterion }.note(why)
    } else if comparison.p95_ratio_high < limit && pooled < limit {
        let note = match comparison.smallest_detectable_ratio {
            Some(ratio) => {
                format!(
                    "a true {} is called GO at most once in 20 runs, a true {} NO-GO in 9 of 10",
                    percent(limit),
                    percent(ratio)
                )
            }
            None => String::new(),
        };
        criterion.measured(true, range).note(note)
    } else {
        let note = match comparison.p95_ratio_high < limit {
            // Fast enough pair by pair, and not over all requests: a few slow windows decide.
            true => format!("over all requests it is {}", percent(pooled)),
            false => {
                let further = comparison.further_pairs_needed.max(1);
                let longer = drive.and_then(|drive| longer(drive, further)).unwrap_or_default();
                format!(
                    "the interval holds the limit; about {further} further pairs{longer} would decide"
                )
            }
        };
        Criterion { measured: Some(range), state: State::Unknown, ..criterion }.note(note)
    }
}

/// Windows in which requests of one mode are still under way when the other's turn comes: what the
/// slower side leaves behind is felt by both, and their ratio is nearer to one than it should be.
fn felt_by_both(drive: &DriveEvidence) -> Option<String> {
    let slowest_us = drive.overall.values().map(|latency| latency.response_us.p95).max()?;
    let slowest_s = slowest_us as f64 / 1e6;
    (drive.window_s > 0.0 && slowest_s > drive.window_s * SHARED).then(|| {
        let wanted_s = (slowest_s / SHARED * 2.0).ceil();
        format!(
            "p95 is {} where the modes take turns every {:.2} s, so each feels the other; drive with \
             --window {wanted_s:.0}s",
            milliseconds(slowest_us),
            drive.window_s
        )
    })
}

/// How long so many further pairs take, and the longest load that has them.
fn longer(drive: &DriveEvidence, further: u32) -> Option<String> {
    let (first, last) = (drive.windows.first()?, drive.windows.last()?);
    let pairs = f64::from(last.pair.abs_diff(first.pair)) + 1.0;
    let further_s = f64::from(further) * (last.end_s - first.start_s) / pairs;
    let whole_s = further_s + drive.duration_s;
    Some(format!(" ({}; --duration {})", duration(further_s), duration(whole_s).replace(' ', "")))
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..180.0 => format!("{:.0} s", seconds.ceil()),
        180.0..10_800.0 => format!("{:.0} m", (seconds / 60.0).ceil()),
        _ => format!("{:.0} h", (seconds / 3600.0).ceil()),
    }
}

/// The operations that are slower beyond chance, worst first.
fn slower_operations(comparison: &Comparison) -> String {
    let mut slower: Vec<(&str, f64)> = comparison
        .operations
        .iter()
        .filter(|operation| operation.p95_ratio_low.is_some_and(|low| low > 1.0))
        .filter_map(|operation| Some((operation.name.as_str(), operation.p95_ratio?)))
        .collect();
    slower.sort_by(|a, b| b.1.total_cmp(&a.1));
    let named: Vec<String> =
        slower.iter().map(|(name, ratio)| format!("{name} {}", percent(*ratio))).collect();
    match named.is_empty() {
        true => "no single operation stands out".into(),
        false => format!("slower: {}", named.join(", ")),
    }
}

/// Each operation, or each size of org, held against the handbook's alarms.
fn p95_each(
    id: CriterionId,
    drive: Option<&DriveEvidence>,
    pick: fn(&Comparison) -> Vec<OperationComparison>,
    limit: f64,
    bars: Bars,
) -> Criterion {
    let criterion = criterion(id);
    let Some(comparison) = drive.and_then(|drive| drive.comparison.as_ref()) else {
        return criterion.note("there are no two pairs of windows to compare");
    };
    // A class that holds no org has nothing to be measured.
    let empty = |name: &str| {
        let classes = drive.iter().flat_map(|drive| &drive.org_sizes);
        id == CriterionId::P95OrgSizes && classes.into_iter().any(|c| c.name == name && c.orgs == 0)
    };
    let each: Vec<_> = pick(comparison).into_iter().filter(|one| !empty(&one.name)).collect();
    if each.is_empty() {
        return criterion.note("none was measured by itself");
    }
    let mut alarms: Vec<(&str, f64, f64)> = each
        .iter()
        .filter(|one| one.p95_difference_us >= bars.felt_us)
        .filter_map(|one| Some((one.name.as_str(), one.p95_ratio_low?, one.p95_ratio?)))
        .filter(|(_, low, _)| *low > limit)
        .collect();
    alarms.sort_by(|a, b| b.1.total_cmp(&a.1));
    let failing = each.iter().filter(|one| fails_alone(one.failed_pairs));
    let failing = failing.filter(|one| alarms.iter().all(|(name, ..)| *name != one.name));
    let failing: Vec<String> = failing.map(failing_words).collect();
    if !alarms.is_empty() || !failing.is_empty() {
        let action = match alarms.first().is_some_and(|(_, low, _)| *low > bars.rollback) {
            true => Action::StandardRollback,
            false => Action::Hold,
        };
        let slower = alarms.iter().map(|(name, _, ratio)| format!("{name} {}", percent(*ratio)));
        let named: Vec<String> = slower.chain(failing).collect();
        return criterion
            .measured(false, format!("{} of {}", named.len(), each.len()))
            .note(named.join(", "))
            .asks_for(action);
    }
    let seldom = each.iter().filter(|one| (one.pairs as usize) < MIN_PAIRS);
    let seldom: Vec<&str> = seldom.map(|one| one.name.as_str()).collect();
    if !seldom.is_empty() {
        return criterion.note(format!("measured too seldom: {}", seldom.join(", ")));
    }
    criterion.measured(true, format!("0 of {}", each.len())).note(unjudged(&each, limit, bars))
}

/// Whether the partitioned side alone failed in more pairs of windows than chance explains: the sign
/// test. Such pairs have no ratio, and would otherwise say nothing.
fn fails_alone([legacy, partitioned]: [u32; 2]) -> bool {
    let pairs = u64::from(legacy) + u64::from(partitioned);
    let Some(fewer) = u64::from(partitioned).checked_sub(1) else { return false };
    Binomial::new(0.5, pairs).is_ok_and(|chance| chance.sf(fewer) <= FAILED_BY_CHANCE)
}

fn failing_words(one: &OperationComparison) -> String {
    let [_, pairs] = one.failed_pairs;
    format!("{} failed too often for a p95 in {pairs} pairs of windows, there alone", one.name)
}

/// What is slower beyond the limit, by so little that nobody feels it.
fn unjudged(each: &[OperationComparison], limit: f64, bars: Bars) -> String {
    let slower = each.iter().filter(|one| one.p95_ratio_low.is_some_and(|low| low > limit));
    let shown: Vec<String> = slower
        .filter(|one| one.p95_difference_us < bars.felt_us)
        .filter_map(|one| Some(format!("{} {}", one.name, percent(one.p95_ratio?))))
        .collect();
    match shown.is_empty() {
        true => String::new(),
        false => format!("slower by less than anybody feels: {}", shown.join(", ")),
    }
}
