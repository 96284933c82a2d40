//! Worst state decides: the precedence of the contract, the action of the handbook's matrix.

use super::statistics::{compare, look};
use super::{
    answers, catalogue, criteria, history, ledger, limits, load, observed, outside, rollout, steps,
};
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::{Comparison, DriveEvidence, Look};
use cutover_evidence::exit::Exit;
use cutover_evidence::limits::{LimitId, OtherLimit, Phase};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Action, Criterion, Decision, Kind, State, Verdict};

/// Judges a record: fills in the comparison, the criteria and the verdict.
pub fn judge(record: &mut RunRecord) {
    let limit = 1.0 + limits::value(record, LimitId::P95Overall);
    let judged_from_us = load::felt_us(record);
    if let Some(drive) = &mut record.drive {
        let comparison = compare(drive, limit);
        drive.comparison = comparison.map(|c| Comparison { judged_from_us, ..c });
    }
    record.level_changed_with = history::level_change(record);
    let mut criteria = match &record.rollout {
        Some(rollout) => rollout::judge(record, rollout),
        None => of_one_load(record),
    };
    criteria.iter_mut().for_each(|criterion| catalogue::finish(record, criterion));
    record.criteria = criteria;
    record.verdict = decide(record);
}

fn of_one_load(record: &RunRecord) -> Vec<Criterion> {
    let mut all = criteria::judge(record);
    all.extend(ledger::judge(record));
    all.extend(answers::judge(record));
    all.extend(load::judge(record));
    all.extend(observed::judge(record));
    all.extend(outside::judge(record));
    all.extend(history::against_earlier_runs(record));
    all
}

/// Who looks at a load that runs under these limits: are more pairs needed?
pub fn judge_of_looks(
    changed: &[OtherLimit],
    phase: Phase,
) -> impl Fn(&DriveEvidence) -> Option<Look> + Send + Sync + use<> {
    let record = RunRecord { limits: changed.to_vec(), phase, ..RunRecord::default() };
    let limit = 1.0 + limits::value(&record, LimitId::P95Overall);
    move |drive| look(drive, limit)
}

/// Whether nothing speaks against the measurement itself.
pub fn is_trustworthy(criteria: &[Criterion]) -> bool {
    criteria
        .iter()
        .filter(|c| matches!(c.kind, Kind::Record | Kind::Validity))
        .all(|c| c.state == State::Pass)
}

/// Whether a row or a write is known not to be as it must be.
pub fn fails_integrity(criteria: &[Criterion]) -> bool {
    criteria.iter().any(|c| c.kind == Kind::Integrity && c.state == State::Fail)
}

/// Whether more requests failed than may.
pub fn fails_requests(criteria: &[Criterion]) -> bool {
    criteria.iter().any(|c| c.id == CriterionId::ErrorRate && c.state == State::Fail)
}

fn decide(record: &RunRecord) -> Verdict {
    let of = |kind: Kind, state: State| -> Vec<&Criterion> {
        record.criteria.iter().filter(|c| c.kind == kind && c.state == state).collect()
    };
    let unknown: Vec<&Criterion> = record
        .criteria
        .iter()
        .filter(|c| c.state == State::Unknown && c.kind != Kind::Advice)
        .collect();
    let precedence = [
        (of(Kind::Record, State::Fail), Decision::Invalid, Exit::INVALID),
        (of(Kind::Integrity, State::Fail), Decision::NoGo, Exit::NO_GO_INTEGRITY),
        (of(Kind::Validity, State::Fail), Decision::Invalid, Exit::INVALID),
        (of(Kind::Performance, State::Fail), Decision::NoGo, Exit::NO_GO_PERFORMANCE),
        (unknown, Decision::Inconclusive, Exit::INCONCLUSIVE),
    ];
    let Some((_, decision, exit_code)) =
        precedence.iter().find(|(criteria, ..)| !criteria.is_empty())
    else {
        return go(record);
    };
    // What decided stands first; what else is wrong follows, so that nobody has to dig for it.
    let all = precedence.iter().flat_map(|(criteria, ..)| criteria.iter().copied());
    let mut reasons = reasons(all.collect());
    reasons.extend(not_tested(record));
    let action = match decision {
        Decision::NoGo => precedence
            .iter()
            .take(4)
            .flat_map(|(criteria, ..)| criteria.iter())
            .map(|criterion| criterion.action)
            .max_by_key(|action| action.urgency())
            .unwrap_or(Action::Hold),
        _ => Action::Hold,
    };
    let (decision, exit_code) = (*decision, *exit_code);
    Verdict { decision, action, exit_code, reasons, steps: steps::after(decision, action, record) }
}

/// What nobody may take for tested, whatever the verdict.
fn not_tested(record: &RunRecord) -> impl Iterator<Item = String> {
    criteria::untested(record).into_iter().map(|what| format!("Not tested: {what}"))
}

/// Of a GO, what is told.
const PROOFS: [CriterionId; 5] = [
    CriterionId::ContentIdentical,
    CriterionId::P95Overall,
    CriterionId::ErrorRate,
    CriterionId::IncrementsReached,
    CriterionId::IncrementsIntact,
];

fn go(record: &RunRecord) -> Verdict {
    let proven = record
        .criteria
        .iter()
        .filter(|c| c.state == State::Pass && c.kind != Kind::Advice)
        .filter(|c| PROOFS.contains(&c.id))
        .map(reason)
        .chain(not_tested(record))
        .collect();
    Verdict {
        decision: Decision::Go,
        action: Action::Proceed,
        exit_code: Exit::OK,
        reasons: proven,
        steps: steps::after(Decision::Go, Action::Proceed, record),
    }
}

/// One sentence for each criterion; those that lack evidence for one and the same reason share it.
fn reasons(criteria: Vec<&Criterion>) -> Vec<String> {
    let lacking = |c: &Criterion| c.measured.is_none() && !c.note.is_empty();
    let mut reasons: Vec<String> = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for criterion in &criteria {
        if !lacking(criterion) {
            reasons.push(reason(criterion));
        } else if !told.contains(&criterion.note.as_str()) {
            told.push(&criterion.note);
            let same = criteria.iter().filter(|c| lacking(c) && c.note == criterion.note);
            let titles: Vec<&str> = same.map(|c| c.title.as_str()).collect();
            reasons.push(match titles.as_slice() {
                [_] => reason(criterion),
                _ => format!("Not measured, because {}: {}", criterion.note, titles.join("; ")),
            });
        }
    }
    reasons
}

fn reason(criterion: &Criterion) -> String {
    let measured = criterion.measured.as_deref().unwrap_or("not measured");
    let note = match criterion.note.is_empty() {
        true => String::new(),
        false => format!("; {}", criterion.note),
    };
    format!("{}: {measured} (limit {}){note}", criterion.title, criterion.limit)
}

#[cfg(test)]
mod tests {
    use super::super::consistency;
    use super::*;
    use cutover_evidence::answers::{IsolationEvidence, ParityEvidence};
    use cutover_evidence::drill::Drill;
    use cutover_evidence::drive::{
        DriveEvidence, ModeLatency, OperationEvidence, OrgClass, Percentiles, Side, Slice, Window,
        WindowLatency,
    };
    use cutover_evidence::finding::{DiffEvidence, DiffPhase, TableDiff};
    use cutover_evidence::observation::Observation;
    use cutover_evidence::run_record::{Act, ActKind, ActState};
    use cutover_evidence::shard::Shard;
    use cutover_evidence::watch::WatchEvidence;
    use std::collections::BTreeMap;

    /// A record in which everything is as it should be, with partitioned `ratio` times as slow.
    fn healthy(ratio: f64) -> RunRecord {
        let latency = |p95: u64| ModeLatency {
            requests: 10_800,
            response_us: Percentiles { p50: p95, p90: p95, p95, p99: p95, p999: p95, max: p95 },
            ..ModeLatency::default()
        };
        let slow = |us: f64| (us * ratio) as u64;
        let latency_of = |p95: u64| WindowLatency { arrivals: 900, errors: 0, p95_us: Some(p95) };
        let window = |pair: u32, mode, p95: u64| Window {
            pair,
            mode: Some(mode),
            candidate: mode == Side::Partitioned,
            start_s: f64::from(2 * pair) + if mode == Side::Legacy { 0.0 } else { 1.0 },
            end_s: f64::from(2 * pair) + if mode == Side::Legacy { 1.0 } else { 2.0 },
            all: latency_of(p95),
            without_own_lag: latency_of(p95),
            operations: [("list".to_owned(), latency_of(p95))].into(),
            org_sizes: [("small".to_owned(), latency_of(p95))].into(),
        };
        let noise = [0.99, 1.02, 1.0, 0.98, 1.01, 1.0, 1.0, 0.99, 1.01, 1.02, 0.98, 1.0];
        let windows = (0..12).flat_map(|pair| {
            let us = 5000.0 * noise[pair as usize];
            [window(pair, Side::Legacy, 5000), window(pair, Side::Partitioned, slow(us))]
        });
        let overall: BTreeMap<Side, ModeLatency> =
            [(Side::Legacy, latency(5000)), (Side::Partitioned, latency(slow(5000.0)))].into();
        let tables = vec![TableDiff {
            name: "revenue".into(),
            legacy_rows: 10,
            partitioned_rows: 10,
            ..TableDiff::default()
        }];
        let acts = [ActKind::DiffBefore, ActKind::Drive, ActKind::DiffAfter];
        RunRecord {
            acts: acts.map(|kind| Act::done(kind, 1.0)).to_vec(),
            drive: Some(DriveEvidence {
                complete: true,
                mode_proven: true,
                operations: vec![OperationEvidence {
                    name: "list".into(),
                    modes: overall.clone(),
                    ..OperationEvidence::default()
                }],
                org_sizes: vec![OrgClass { name: "small".into(), orgs: 10, ..OrgClass::default() }],
                requests: 21_600,
                arrivals_planned: 21_600,
                isolation: Some(IsolationEvidence { answers_checked: 9, ..Default::default() }),
                parity: Some(ParityEvidence {
                    asked: 9,
                    compared: 9,
                    complete: true,
                    ..ParityEvidence::default()
                }),
                overall,
                windows: windows.collect(),
                ..DriveEvidence::default()
            }),
            diff: Some(DiffEvidence {
                complete: true,
                orgs_checked: 10,
                snapshots: 1,
                tables: tables.clone(),
                ..DiffEvidence::default()
            }),
            observations: (0..10)
                .map(|second| Observation {
                    at_s: f64::from(second) * 2.5,
                    cache_hits: Some(u64::from(second as u32) * 90),
                    cache_lookups: Some(u64::from(second as u32) * 100),
                    critical_alerts: Some(0),
                    cache_available: Some(true),
                    ..Observation::default()
                })
                .collect(),
            diff_before: Some(DiffEvidence {
                phase: DiffPhase::Before,
                complete: true,
                orgs_checked: 10,
                snapshots: 1,
                tables,
                ..DiffEvidence::default()
            }),
            ..consistency::bare_record()
        }
    }

    fn verdict(mut record: RunRecord) -> (Decision, u8, Action) {
        judge(&mut record);
        (record.verdict.decision, record.verdict.exit_code.code(), record.verdict.action)
    }

    #[test]
    fn a_healthy_record_is_go() {
        assert_eq!(verdict(healthy(1.0)), (Decision::Go, 0, Action::Proceed));
    }

    #[test]
    fn a_quarter_slower_is_no_go_and_at_the_limit_undecided() {
        assert_eq!(verdict(healthy(1.25)), (Decision::NoGo, 10, Action::Hold));
        assert_eq!(verdict(healthy(1.6)), (Decision::NoGo, 10, Action::StandardRollback));
        assert_eq!(verdict(healthy(1.10)), (Decision::Inconclusive, 20, Action::Hold));
    }

    #[test]
    fn modes_that_feel_each_other_are_never_go_and_a_slow_side_stays_one() {
        let in_turns = |ratio, window_s| {
            let mut record = healthy(ratio);
            record.drive.as_mut().expect("there").window_s = window_s;
            verdict(record).0
        };
        // Answers of 5 ms in windows of 100 and of 10 ms.
        assert_eq!(in_turns(1.0, 0.1), Decision::Go);
        assert_eq!(in_turns(1.0, 0.01), Decision::Inconclusive);
        assert_eq!(in_turns(1.25, 0.01), Decision::NoGo);
    }

    #[test]
    fn missing_evidence_is_never_go() {
        let cuts: [fn(&mut RunRecord); 18] = [
            |record| record.diff.as_mut().expect("there").scope = "3 listed orgs".into(),
            |record| record.diff.as_mut().expect("there").shard = Some(Shard { index: 1, of: 2 }),
            |record| record.drive.as_mut().expect("there").org_sizes.clear(),
            |record| record.diff_before = None,
            |record| record.diff = record.diff_before.clone(),
            |record| record.acts[0].state = ActState::Failed,
            |record| record.acts[0].state = ActState::Skipped,
            |record| record.acts[0].name = ActKind::Seed.into(),
            |record| record.drive.as_mut().expect("there").complete = false,
            |record| record.drive.as_mut().expect("there").mode_proven = false,
            |record| record.drive.as_mut().expect("there").operations.clear(),
            |record| drop(record.drive.as_mut().expect("there").overall.remove(&Side::Legacy)),
            |record| record.drive = None,
            |record| record.diff = None,
            |record| record.observations.clear(),
            |record| record.drive.as_mut().expect("there").windows.clear(),
            |record| record.diff.as_mut().expect("there").complete = false,
            |record| record.diff.as_mut().expect("there").orgs_checked = 0,
        ];
        // What is cut out of the middle contradicts what is left.
        let contradicting = [3, 7, 10, 11, 12, 13, 15];
        for (index, cut) in cuts.into_iter().enumerate() {
            let mut record = healthy(1.0);
            cut(&mut record);
            let expected = match contradicting.contains(&index) {
                true => Decision::Invalid,
                false => Decision::Inconclusive,
            };
            assert_eq!(verdict(record).0, expected, "cut {index}");
        }
        let empty = RunRecord { ended: true, ..RunRecord::default() };
        assert_eq!(verdict(empty).0, Decision::Inconclusive);
        assert_eq!(verdict(RunRecord { ended: false, ..healthy(1.0) }).1, 30);
    }

    #[test]
    fn precedence_follows_the_contract() {
        let mut record = healthy(1.6);
        let diff = record.diff.as_mut().expect("there");
        diff.orgs_diverged = 2;
        diff.tables[0].counts.missing = 3;
        assert_eq!(verdict(record.clone()), (Decision::NoGo, 11, Action::EmergencyRollback));
        // An untrustworthy measurement does not hide an integrity failure …
        record.drive.as_mut().expect("there").wrong_mode = 1;
        assert_eq!(verdict(record.clone()).1, 11);
        // … but a record that was cut short does.
        record.acts[0].state = ActState::Interrupted;
        assert_eq!(verdict(record).1, 30);
        // An untrustworthy measurement outweighs a slow one.
        let mut untrusted = healthy(1.6);
        untrusted.drive.as_mut().expect("there").wrong_mode = 1;
        assert_eq!(verdict(untrusted).1, 30);
    }

    #[test]
    fn a_size_of_org_that_fails_on_one_side_alone_is_seen_though_it_has_no_p95() {
        let failing_in = |pairs: u32| {
            let mut record = healthy(1.0);
            let drive = record.drive.as_mut().expect("there");
            for window in drive.windows.iter_mut() {
                let failed = window.candidate && window.pair < pairs;
                let latency = WindowLatency {
                    arrivals: 9,
                    errors: if failed { 9 } else { 0 },
                    p95_us: (!failed).then_some(5000),
                };
                window.org_sizes.insert("small".into(), latency);
            }
            verdict(record)
        };
        assert_eq!(failing_in(6), (Decision::NoGo, 10, Action::Hold));
        // A window or two may fail by chance.
        assert_eq!(failing_in(2).0, Decision::Go);
    }

    #[test]
    fn a_size_of_org_that_suffers_alone_is_seen() {
        let mut record = healthy(1.0);
        let drive = record.drive.as_mut().expect("there");
        for window in drive.windows.iter_mut().filter(|window| window.candidate) {
            let slow = WindowLatency { arrivals: 9, errors: 0, p95_us: Some(8000) };
            window.org_sizes.insert("small".into(), slow);
        }
        let of = |p95| ModeLatency {
            response_us: Percentiles { p95, ..Percentiles::default() },
            ..ModeLatency::default()
        };
        drive.slices = vec![Slice {
            by: "org_size".into(),
            class: "small".into(),
            modes: [(Side::Legacy, of(5000)), (Side::Partitioned, of(8000))].into(),
            ..Slice::default()
        }];
        assert_eq!(verdict(record.clone()), (Decision::NoGo, 10, Action::StandardRollback));
        // The owner of the target may say that nobody there feels three milliseconds.
        record.limits = vec![OtherLimit {
            criterion: LimitId::P95Felt,
            limit: 5.0,
            reason: "a batch interface".into(),
            phase: None,
        }];
        judge(&mut record);
        assert_eq!(record.verdict.decision, Decision::Go, "{:?}", record.verdict.reasons);
        let stated =
            record.criteria.iter().find(|c| c.id == CriterionId::P95Operations).expect("there");
        assert!(stated.source.contains("a batch interface"), "{}", stated.source);
        assert!(stated.limit.contains("under 5 ms"), "{}", stated.limit);
    }

    #[test]
    fn each_phase_asks_for_what_the_handbook_names() {
        let decision = |phase, change: fn(&mut RunRecord)| {
            let mut record = RunRecord { phase, ..healthy(1.0) };
            change(&mut record);
            verdict(record).0
        };
        let watched = |record: &mut RunRecord, watched_h| {
            record.watch = Some(WatchEvidence { watched_h, ..WatchEvidence::default() });
        };
        let day: fn(&mut RunRecord) = |record| {
            record.watch = Some(WatchEvidence { watched_h: 24.0, ..WatchEvidence::default() })
        };
        assert_eq!(decision(Phase::Dev, |_| ()), Decision::Go);
        assert_eq!(decision(Phase::Staging, |_| ()), Decision::Go);
        for phase in [Phase::Pilot, Phase::Increment, Phase::PostRollout] {
            assert_eq!(decision(phase, |_| ()), Decision::Inconclusive, "{phase:?}");
        }
        assert_eq!(decision(Phase::Increment, day), Decision::Go);
        assert_eq!(decision(Phase::PostRollout, day), Decision::Go);
        // Before the first org in production, a rollback has to be rehearsed, too.
        let mut pilot = RunRecord { phase: Phase::Pilot, ..healthy(1.0) };
        watched(&mut pilot, 72.0);
        assert_eq!(verdict(pilot.clone()).0, Decision::Inconclusive);
        let rehearsed = |proven| Drill {
            name: "standard_rollback".into(),
            limit_s: Some(900.0),
            measured_s: Some(12.0),
            proven,
            ..Drill::default()
        };
        pilot.drills = vec![rehearsed(true)];
        assert_eq!(verdict(pilot.clone()).0, Decision::Go);
        pilot.drills = vec![rehearsed(false)];
        assert_eq!(verdict(pilot).1, 10);
        // A slow partitioned side is shown in development, and decides everywhere else.
        let slow = RunRecord { phase: Phase::Dev, ..healthy(1.6) };
        assert_eq!(verdict(slow).0, Decision::Go);
    }

    #[test]
    fn a_single_org_is_disabled_alone() {
        let mut record = healthy(1.0);
        let diff = record.diff.as_mut().expect("there");
        diff.orgs_diverged = 1;
        diff.tables[0].counts.mismatched = 1;
        assert_eq!(verdict(record), (Decision::NoGo, 11, Action::DisableOrgs));
    }
}
