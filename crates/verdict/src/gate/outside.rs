//! The criteria whose evidence comes from outside of the load: drills, hours of watching, plans of
//! queries.

use super::catalogue::criterion;
use super::limits;
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drill::Drill;
use cutover_evidence::fault::PlantedFault;
use cutover_evidence::limits::LimitId;
use cutover_evidence::policy::{EMERGENCY_ROLLBACK_S, LONGEST_GAP_S, STANDARD_ROLLBACK_S};
use cutover_evidence::pruning::Pruning;
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Criterion, State};
use cutover_evidence::watch::RoutedShare;

/// With fewer requests a share says nothing.
const MIN_REQUESTS: u64 = 100;
/// How many standard deviations a share may be off by chance.
const CHANCE: f64 = 3.0;

/// Criteria whose evidence the load does not give.
pub(super) fn judge(record: &RunRecord) -> Vec<Criterion> {
    vec![
        pool_exhaustion(record),
        partition_pruning(record),
        route_share(record),
        drills(&record.drills),
        faults(&record.faults),
        watched(record),
    ]
}

/// Those that a whole rollout has evidence for, its increments aside.
pub(super) fn of_rollout(record: &RunRecord) -> Vec<Criterion> {
    vec![route_share(record), drills(&record.drills), faults(&record.faults), watched(record)]
}

fn pool_exhaustion(record: &RunRecord) -> Criterion {
    let criterion = criterion(CriterionId::PoolExhaustion);
    let limit = limits::value(record, LimitId::PoolExhaustion);
    let pools = record.observations.iter().filter_map(|o| Some((o.pool_in_use?, o.pool_max?)));
    let (mut looks, mut exhausted) = pools.fold((0_u64, 0_u64), |(looks, full), (in_use, max)| {
        (looks + 1, full + u64::from(in_use >= max))
    });
    if let Some(watch) = &record.watch {
        looks = looks.saturating_add(watch.pool_looks);
        exhausted = exhausted.saturating_add(watch.pool_exhausted);
    }
    if looks == 0 {
        return criterion.note("the platform did not say");
    }
    let share = exhausted as f64 / looks as f64;
    criterion
        .measured(share <= limit, format!("at {exhausted} of {looks} looks"))
        .below(share, limit)
}

fn partition_pruning(record: &RunRecord) -> Criterion {
    let criterion = criterion(CriterionId::PartitionPruning);
    let asked: Vec<&Pruning> = record.diff.iter().flat_map(|diff| &diff.pruning).collect();
    if asked.is_empty() {
        let note = "no plan was asked for: no twin is divided by ranges, or none holds a row";
        return criterion.note(note);
    }
    if let Some((look, why)) = asked.iter().find_map(|look| Some((look, look.problem.as_ref()?))) {
        let read = look.read.as_deref().unwrap_or_default();
        return criterion.note(format!("no plan for {}: {read}: {why}", look.table));
    }
    let (judged, shown): (Vec<&Pruning>, Vec<&Pruning>) =
        asked.iter().partition(|look| look.expected.is_some());
    let unpruned: Vec<_> = judged.iter().filter(|look| look.is_right() == Some(false)).collect();
    let mut note: Vec<String> = unpruned.iter().map(|look| look.words()).collect();
    let all = shown.iter().filter(|look| look.reads_all());
    note.extend(all.map(|look| format!("cannot prune: {}", look.words())));
    let pruned = judged.len() - unpruned.len();
    criterion
        .measured(unpruned.is_empty(), format!("{pruned} of {} questions", judged.len()))
        .note(note.join(", "))
}

fn route_share(record: &RunRecord) -> Criterion {
    let criterion = criterion(CriterionId::RouteShare);
    let tolerance = limits::value(record, LimitId::RouteShare);
    let routed = record.watch.iter().flat_map(|watch| &watch.routed);
    let enough: Vec<&RoutedShare> = routed.filter(|s| s.requests >= MIN_REQUESTS).collect();
    let worst = enough.iter().max_by(|a, b| off(a).total_cmp(&off(b)));
    let Some(worst) = worst else {
        return criterion.note(match record.watch.as_ref().is_some_and(|w| !w.routed.is_empty()) {
            true => format!("fewer than {MIN_REQUESTS} requests were watched"),
            false => "nobody looked at a percentage that is known (rehearse --rollout does)".into(),
        });
    };
    let pass = enough.iter().all(|share| {
        let expected = share.percentage / 100.0;
        let deviation = (expected * (1.0 - expected) / share.requests as f64).sqrt();
        off(share) <= tolerance + CHANCE * deviation
    });
    let measured = 100.0 * worst.partitioned as f64 / worst.requests as f64;
    criterion.measured(
        pass,
        format!("{measured:.1} % of {} requests at {} %", worst.requests, worst.percentage),
    )
}

/// How far a share is from its percentage.
fn off(share: &RoutedShare) -> f64 {
    (share.partitioned as f64 / share.requests as f64 - share.percentage / 100.0).abs()
}

fn drills(drills: &[Drill]) -> Criterion {
    let criterion = criterion(CriterionId::Drills);
    if drills.is_empty() {
        return criterion.note("no drill was rehearsed (cutover drill)");
    }
    let mut notes = Vec::new();
    let mut worst = State::Pass;
    if !drills.iter().any(|drill| rollback_limit_s(drill).is_some()) {
        let names: Vec<&str> = drills.iter().map(|drill| drill.name.as_str()).collect();
        return criterion.note(format!("no rollback among them: {}", names.join(", ")));
    }
    for drill in drills {
        let (state, why) = judged(drill);
        if state != State::Pass {
            notes.push(format!("{}: {why}", drill.name));
        }
        worst = match (worst, state) {
            (State::Fail, _) | (_, State::Fail) => State::Fail,
            (State::Unknown, _) | (_, State::Unknown) => State::Unknown,
            _ => State::Pass,
        };
    }
    let passed = drills.len() - notes.len();
    let measured = format!("{passed} of {}", drills.len());
    let criterion = criterion.note(notes.join("; "));
    Criterion { state: worst, measured: Some(measured), ..criterion }
}

/// How long a rollback may take, whatever the drill says of itself; `None` for what is none.
fn rollback_limit_s(drill: &Drill) -> Option<f64> {
    match drill.name.replace('_', "-").as_str() {
        "standard-rollback" => Some(STANDARD_ROLLBACK_S),
        "emergency-rollback" => Some(EMERGENCY_ROLLBACK_S),
        _ => None,
    }
}

fn judged(drill: &Drill) -> (State, String) {
    let seconds = |s: &f64| s.is_finite() && *s >= 0.0;
    let Some(measured_s) = drill.measured_s.filter(seconds) else {
        return (State::Unknown, "did not come to its end".into());
    };
    if !drill.proven {
        return (State::Fail, format!("not proven after {measured_s:.0} s"));
    }
    if drill.limit_s.is_some_and(|limit_s| !limit_s.is_finite()) {
        return (State::Unknown, "its limit is no time".into());
    }
    let limits = [drill.limit_s, rollback_limit_s(drill)].into_iter().flatten();
    match limits.reduce(f64::min) {
        Some(limit_s) if measured_s > limit_s => {
            (State::Fail, format!("took {measured_s:.0} s of {limit_s:.0} s"))
        }
        _ => (State::Pass, String::new()),
    }
}

/// Whether the harness sees what is planted on purpose: one that misses a fault proves nothing.
fn faults(faults: &[PlantedFault]) -> Criterion {
    let criterion = criterion(CriterionId::FaultsSeen);
    if faults.is_empty() {
        return criterion.note("no fault was planted (cutover drill faults)");
    }
    let missed: Vec<String> = faults
        .iter()
        .filter(|fault| !fault.passed())
        .map(|fault| match (fault.broke.as_str(), fault.expected.is_empty()) {
            ("", true) => format!("{}: alarm without a fault", fault.name),
            ("", false) => format!("{}: not seen as it should be", fault.name),
            (why, _) => format!("{}: not played: {why}", fault.name),
        })
        .collect();
    let measured = format!("{} of {}", faults.len() - missed.len(), faults.len());
    if missed.len() < faults.len() || faults.iter().any(|fault| fault.broke.is_empty()) {
        return criterion.measured(missed.is_empty(), measured).note(missed.join("; "));
    }
    criterion.note(missed.join("; "))
}

/// A look takes place a moment after it is due: so much of the time that was asked for may be missing.
const ROUNDING_H: f64 = 1.0 / 60.0;

/// How long the handbook wants a state to be watched before the next step.
fn watched(record: &RunRecord) -> Criterion {
    let wanted_h = limits::value(record, LimitId::Watched);
    let criterion = criterion(CriterionId::Watched);
    let heard = record.observations.iter().filter(|o| o.error.is_none() && o.at_s.is_finite());
    let mut times: Vec<f64> = heard.map(|o| o.at_s).collect();
    times.sort_by(f64::total_cmp);
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let loaded_s: f64 = gaps.filter(|gap| *gap <= LONGEST_GAP_S).sum();
    let loaded_h = (!times.is_empty()).then_some(loaded_s / 3600.0);
    let looked_h = record.watch.as_ref().map(|watch| watch.watched_h).filter(|h| h.is_finite());
    let Some(watched_h) = loaded_h.into_iter().chain(looked_h).reduce(f64::max) else {
        return criterion.note("it was not watched at all");
    };
    if watched_h + ROUNDING_H < wanted_h {
        // Nothing went wrong; there is too little of it.
        let mut note = format!("watched {watched_h:.2} h of {wanted_h} h (cutover watch)");
        if let Some(watch) = record.watch.as_ref().filter(|watch| watch.elsewhere > 0) {
            let looks = watch.elsewhere;
            note.push_str(&format!("; looks at another platform than the run's: {looks}"));
        }
        let criterion = Criterion { measured: Some(format!("{watched_h:.2} h")), ..criterion };
        return criterion.above(watched_h, wanted_h).note(note);
    }
    criterion.measured(true, format!("{watched_h:.2} h")).above(watched_h, wanted_h)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::finding::DiffEvidence;
    use cutover_evidence::limits::Phase;
    use cutover_evidence::observation::Observation;
    use cutover_evidence::watch::WatchEvidence;

    fn drill(limit_s: Option<f64>, measured_s: Option<f64>, proven: bool) -> Drill {
        Drill { name: "standard_rollback".into(), limit_s, measured_s, proven, ..Drill::default() }
    }

    #[test]
    fn a_drill_counts_only_where_it_was_proven_within_its_time() {
        let state = |drill| drills(&[drill]).state;
        assert_eq!(drills(&[]).state, State::Unknown);
        assert_eq!(state(drill(Some(900.0), Some(12.0), true)), State::Pass);
        assert_eq!(state(drill(None, Some(12.0), true)), State::Pass);
        assert_eq!(state(drill(Some(900.0), Some(901.0), true)), State::Fail);
        assert_eq!(state(drill(Some(900.0), Some(12.0), false)), State::Fail);
        assert_eq!(state(drill(Some(900.0), None, true)), State::Unknown);
        assert_eq!(state(drill(Some(900.0), Some(f64::NAN), true)), State::Unknown);
        assert_eq!(state(drill(Some(f64::NAN), Some(1.0), true)), State::Unknown);
        // The handbook's time holds whatever the drill says, and no other drill is a rollback.
        assert_eq!(state(drill(None, Some(901.0), true)), State::Fail);
        assert_eq!(state(drill(Some(1e6), Some(901.0), true)), State::Fail);
        let other = Drill { name: "redis-down".into(), ..drill(Some(900.0), Some(12.0), true) };
        assert_eq!(drills(std::slice::from_ref(&other)).state, State::Unknown);
        assert_eq!(drills(&[other, drill(None, Some(1.0), true)]).state, State::Pass);
        // One that failed outweighs one that is not known, and both one that passed.
        let several =
            [drill(None, Some(1.0), true), drill(None, None, false), drill(None, Some(1.0), false)];
        assert_eq!(drills(&several).state, State::Fail);
        assert_eq!(drills(&several[..2]).state, State::Unknown);
    }

    #[test]
    fn too_few_hours_are_no_failure_and_no_pass() {
        let state = |phase, watched_h| {
            let watch = Some(WatchEvidence { watched_h, ..WatchEvidence::default() });
            watched(&RunRecord { phase, watch, ..RunRecord::default() }).state
        };
        assert_eq!(state(Phase::Pilot, 71.0), State::Unknown);
        assert_eq!(state(Phase::Pilot, 72.0), State::Pass);
        assert_eq!(state(Phase::Increment, 24.0), State::Pass);
        assert_eq!(state(Phase::Increment, f64::NAN), State::Unknown);
        assert_eq!(watched(&RunRecord::default()).state, State::Unknown);
    }

    #[test]
    fn a_share_is_held_against_its_percentage() {
        let state = |percentage, requests, partitioned| {
            let routed = vec![RoutedShare { percentage, requests, partitioned }];
            let watch = Some(WatchEvidence { routed, ..WatchEvidence::default() });
            route_share(&RunRecord { watch, ..RunRecord::default() }).state
        };
        assert_eq!(state(10.0, 1000, 104), State::Pass);
        assert_eq!(state(10.0, 1000, 0), State::Fail);
        assert_eq!(state(10.0, 1000, 300), State::Fail);
        assert_eq!(state(100.0, 1000, 1000), State::Pass);
        assert_eq!(state(10.0, 99, 10), State::Unknown);
    }

    #[test]
    fn a_pool_may_be_full_for_a_moment_and_not_for_long() {
        let state = |full: usize| {
            let look = |n: usize| Observation {
                pool_in_use: Some(if n < full { 20 } else { 3 }),
                pool_max: Some(20),
                ..Observation::default()
            };
            let observations = (0..100).map(look).collect();
            pool_exhaustion(&RunRecord { observations, ..RunRecord::default() }).state
        };
        assert_eq!((state(0), state(5), state(6)), (State::Pass, State::Pass, State::Fail));
        assert_eq!(pool_exhaustion(&RunRecord::default()).state, State::Unknown);
    }

    #[test]
    fn a_question_about_one_range_reads_one_partition() {
        let of = |looks: Vec<Pruning>| {
            let diff = Some(DiffEvidence { pruning: looks, ..DiffEvidence::default() });
            partition_pruning(&RunRecord { diff, ..RunRecord::default() })
        };
        let look = |scanned, expected| Pruning {
            table: "revenue".into(),
            partitions: 24,
            scanned,
            expected,
            ..Pruning::default()
        };
        let state = |scanned| of(vec![look(scanned, Some(1))]).state;
        assert_eq!((state(1), state(24), state(0)), (State::Pass, State::Fail, State::Fail));
        assert_eq!(partition_pruning(&RunRecord::default()).state, State::Unknown);
        // A read that cannot prune is shown; one that has no plan leaves the question open.
        let by_id = Pruning { read: Some("by id".into()), ..look(24, None) };
        let shown = of(vec![look(1, Some(1)), by_id.clone()]);
        assert_eq!(shown.state, State::Pass);
        assert!(shown.note.contains("cannot prune: revenue: by id reads 24 of 24"), "{shown:?}");
        let broken = Pruning { problem: Some("no such column".into()), ..by_id };
        assert_eq!(of(vec![look(1, Some(1)), broken]).state, State::Unknown);
    }
}
