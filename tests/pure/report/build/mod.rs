//! A tiny builder: records of every state, so that each test reads as what it wants.

mod data;
mod hostile;
mod load;

use std::collections::BTreeMap;
use std::path::Path;

use cutover::evidence::SCHEMA_VERSION;
use cutover::evidence::drill::Drill;
use cutover::evidence::drive::*;
use cutover::evidence::history::{IncomparableRun, PastRun};
use cutover::evidence::limits::Phase;
use cutover::evidence::run_record::*;
use cutover::evidence::verdict::*;
use cutover::evidence::watch::{RoutedShare, WatchEvidence};
use cutover::run_folder::write_record;
use sha2::Digest as _;

use cutover::evidence::criterion::CriterionId;
use cutover::evidence::exit::Exit;
use cutover::evidence::finding::DiffPhase;
use data::{clean_diff, dirty_diff, manifest, pairs};
pub use hostile::{EVIL, hostile};
pub use load::fail_requests;
use load::{cache_lost, drive, observations};

/// The evidence beside a record, each file with its own name in it.
pub const FILES: [&str; 4] = ["findings.jsonl", "ledger.jsonl", "orgs.csv", "samples.bin"];

fn files() -> Vec<EvidenceFile> {
    let file = |name: &str| EvidenceFile {
        name: name.into(),
        size_bytes: name.len() as u64,
        sha256: sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    FILES.map(file).to_vec()
}

/// Writes a record and the files that it names into a folder.
pub fn save(folder: &Path, record: &RunRecord) {
    for file in &record.files {
        std::fs::write(folder.join(&file.name), &file.name).expect("writable");
    }
    write_record(folder, record).expect("writable");
}

/// A run in which everything went well.
pub fn go() -> RunRecord {
    RunRecord {
        left_out: Vec::new(),
        ended_at: "2026-03-01T10:24:45Z".into(),
        schema_version: SCHEMA_VERSION,
        record_sha256: String::new(),
        history: nights(),
        incomparable: vec![IncomparableRun {
            run_id: "20260214-020000-laptop".into(),
            why: "another machine: Apple M3, 8 cores, 16 GiB; here AMD EPYC 7763, 2 cores, 24 GiB"
                .into(),
        }],
        level_changed_with: None,
        scenario_sha256: "4b3f0c1de5a2b64d5e0a1c6f0d9b7a83a2c55e0f4d1c9b8e7f6a5d4c3b2a1908".into(),
        files: files(),
        altered: Vec::new(),
        run_id: "20260301-101502-a1b2".into(),
        rng_seed: 42,
        started_at: "2026-03-01T10:15:02Z".into(),
        duration_s: 583.4,
        cutover_version: "0.1.0".into(),
        ended: true,
        command: "cutover rehearse --orgs 100000 --duration 5m --rng-seed 42".into(),
        config_sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
        phase: Phase::Staging,
        limits: Vec::new(),
        increment_percent: None,
        made_for: None,
        target: Target {
            database: Some("127.0.0.1:5432/hospitality_platform".into()),
            base_url: Some("http://127.0.0.1:4000".into()),
            environment: None,
            rig: true,
            postgres_version: Some("PostgreSQL 15.8 on x86_64-pc-linux-gnu".into()),
            triggers_enabled: BTreeMap::new(),
            pairs: pairs(),
        },
        environment: Environment {
            os: "Linux 6.1 x86_64".into(),
            cpu: "AMD EPYC 7763".into(),
            cores: 2,
            memory_bytes: 24 << 30,
        },
        acts: [
            (ActKind::Rig, 6.2),
            (ActKind::Seed, 71.9),
            (ActKind::DiffBefore, 34.0),
            (ActKind::Drive, 420.5),
            (ActKind::DiffAfter, 35.1),
        ]
        .map(|(name, duration_s)| Act::done(name, duration_s))
        .to_vec(),
        manifest: Some(manifest()),
        drive: Some(drive(1.0)),
        diff_before: Some(clean_diff(DiffPhase::Before)),
        diff: Some(clean_diff(DiffPhase::After)),
        observations: observations(),
        drills: drills(),
        faults: Vec::new(),
        watch: Some(watch()),
        rollout: None,
        criteria: criteria(),
        verdict: Verdict {
            decision: Decision::Go,
            action: Action::Proceed,
            exit_code: Exit::OK,
            reasons: vec![
                "0 of 1,067,600 rows differ in 100,000 orgs, before and after the load".into(),
                "p95 is +1.4 % (at most +4.2 %), the limit is +10 %".into(),
                "0.00 % of 75,600 requests failed, the limit is 0.1 %".into(),
            ],
            steps: vec![
                "Deploy staging with USE_PARTITIONED_TABLES=true".into(),
                "Watch for 24 hours: cutover watch --config staging.toml".into(),
                "Then pilot: cutover pilot --count 100".into(),
            ],
        },
    }
}

/// The partitioned side is slower.
pub fn no_go_performance() -> RunRecord {
    let mut record = go();
    record.run_id = "20260301-120000-slow".into();
    record.level_changed_with = Some(record.history[9].run_id.clone());
    record.drills[1].proven = false;
    record.drills[1].note = "a trigger could not be disabled".into();
    record.drive = Some(drive(1.27));
    let drive = record.drive.as_mut().expect("set on the line above");
    drive.errors_by_kind = BTreeMap::from([("http_503".into(), 17), ("timeout".into(), 4)]);
    fail_requests(drive, 21);
    record.observations = cache_lost();
    fail(
        &mut record,
        CriterionId::P95Overall,
        "+27.9 %",
        "year_report, get_revenue_by_id and month_summary suffered most",
    );
    fail(
        &mut record,
        CriterionId::P95Operations,
        "+37.2 %",
        "year_report: +37.2 % is above the alarm of +20 %",
    );
    fail(&mut record, CriterionId::CacheHitRate, "41.3 %", "the external cache was lost for 60 s");
    record.verdict = Verdict {
        decision: Decision::NoGo,
        action: Action::StandardRollback,
        exit_code: Exit::NO_GO_PERFORMANCE,
        reasons: vec![
            "p95 is +27.9 % (at least +24.0 %), the limit is +10 %".into(),
            "year_report is +37.2 %, the alarm is +20 %".into(),
        ],
        steps: vec![
            "USE_PARTITIONED_TABLES=false, USE_PARTITIONED_TABLES_PERCENTAGE=0, within 15 minutes"
                .into(),
            "Check: GET /monitoring/partitions/metrics says partitionedTablesEnabled=false".into(),
            "Watch error rate and latency for 30 minutes".into(),
        ],
    };
    record
}

/// Rows were lost while the load ran.
pub fn no_go_integrity() -> RunRecord {
    let mut record = go();
    record.run_id = "20260301-130000-lost".into();
    record.diff = Some(dirty_diff());
    let drive = record.drive.as_mut().expect("a good run has a load");
    drive.ledger = drive.ledger.take().map(load::overwritten);
    fail(
        &mut record,
        CriterionId::ContentIdentical,
        "14 rows",
        "expense: 11 missing, 2 mismatched, 1 extra in 3 orgs",
    );
    fail(
        &mut record,
        CriterionId::RowDelta,
        "10",
        "expense: 301,117 rows in legacy, 301,107 in the twin",
    );
    record.verdict = Verdict {
        decision: Decision::NoGo,
        action: Action::EmergencyRollback,
        exit_code: Exit::NO_GO_INTEGRITY,
        reasons: vec!["14 rows differ in 3 of 100,000 orgs; table expense".into()],
        steps: vec![
            "At once: USE_PARTITIONED_TABLES=false, USE_PARTITIONED_TABLES_PERCENTAGE=0".into(),
            "Page the database administrator, tell #incidents".into(),
            "ALTER TABLE expense_transactions DISABLE TRIGGER expense_transactions_dual_write_trigger;".into(),
        ],
    };
    record
}

/// Too few pairs to decide.
pub fn inconclusive() -> RunRecord {
    let mut record = go();
    record.run_id = "20260301-140000-short".into();
    let drive = record.drive.as_mut().expect("a good run has a load");
    drive.windows.truncate(2);
    drive.comparison =
        Some(Comparison { pairs: 1, further_pairs_needed: 7, ..Comparison::default() });
    record.observations.clear();
    unknown(
        &mut record,
        CriterionId::P95Overall,
        "1 pair of windows is not enough: 7 more are needed",
    );
    unknown(&mut record, CriterionId::CacheHitRate, "the platform was not observed");
    record.verdict = Verdict {
        decision: Decision::Inconclusive,
        action: Action::Hold,
        exit_code: Exit::INCONCLUSIVE,
        reasons: vec!["p95 is undecided: 1 pair of windows, 7 more are needed".into()],
        steps: vec!["Run again with --pairs 8 or more".into()],
    };
    record
}

/// A signal ended the run while it seeded.
pub fn interrupted() -> RunRecord {
    let good = go();
    let mut acts = good.acts;
    acts[1].state = ActState::Interrupted;
    acts[1].note = "stopped by a signal after 412,000 rows".into();
    for act in &mut acts[2..] {
        *act = Act { state: ActState::Skipped, ..Act::done(act.name, 0.0) };
    }
    RunRecord {
        acts,
        manifest: None,
        drive: None,
        diff_before: None,
        diff: None,
        observations: Vec::new(),
        criteria: Vec::new(),
        verdict: Verdict {
            decision: Decision::Invalid,
            action: Action::Hold,
            exit_code: Exit::INVALID,
            reasons: vec!["the run was interrupted: seed did not end".into()],
            steps: vec!["Run again".into()],
        },
        ..good
    }
}

/// Every state that a report can meet, by name.
pub fn states() -> Vec<(&'static str, RunRecord)> {
    vec![
        ("go", go()),
        ("no_go_performance", no_go_performance()),
        ("no_go_integrity", no_go_integrity()),
        ("inconclusive", inconclusive()),
        ("interrupted", interrupted()),
        ("empty", RunRecord::default()),
    ]
}

/// Twelve nights on the same machine.
fn nights() -> Vec<PastRun> {
    const WOBBLE: [u64; 12] = [0, 310, 120, 260, 40, 380, 220, 90, 330, 150, 280, 60];
    let night = |(day, us): (usize, u64)| PastRun {
        run_id: format!("202602{:02}-020000-night", day + 17),
        started_at: format!("2026-02-{:02}T02:00:00Z", day + 17),
        legacy_p95_us: 6_700 + us,
        partitioned_p95_us: 6_800 + us * 11 / 10,
        operations_p95_us: BTreeMap::new(),
    };
    WOBBLE.into_iter().enumerate().map(night).collect()
}

fn drills() -> Vec<Drill> {
    let drill = |name: &str, limit_s, measured_s, note: &str| Drill {
        name: name.into(),
        limit_s: Some(limit_s),
        measured_s: Some(measured_s),
        proven: true,
        note: note.into(),
        ..Drill::default()
    };
    vec![
        drill("standard_rollback", 900.0, 4.2, "reads came from legacy 4.2 s after the flag"),
        drill("emergency_rollback", 1800.0, 61.8, "flag off, triggers off, both sides counted"),
    ]
}

fn watch() -> WatchEvidence {
    WatchEvidence {
        from: "2026-02-27T09:00:00Z".into(),
        to: "2026-02-28T10:00:00Z".into(),
        watched_h: 25.0,
        looks: 301,
        elsewhere: 0,
        answered: 300,
        critical_alerts: Some(0),
        critical_alarms: Vec::new(),
        replica_lag_s: Some(0.4),
        pool_looks: 300,
        pool_exhausted: 0,
        routed: vec![RoutedShare { percentage: 5.0, requests: 3_000, partitioned: 153 }],
    }
}

fn criteria() -> Vec<Criterion> {
    let each = [
        (CriterionId::RecordWhole, "Every act ran to its end", Kind::Record, "all", "5 of 5"),
        (
            CriterionId::ContentIdentical,
            "Not one row differs after the load",
            Kind::Integrity,
            "0 rows",
            "0 rows",
        ),
        (CriterionId::RowDelta, "Row count delta per table", Kind::Integrity, "< 10", "0"),
        (
            CriterionId::ServedAsAsked,
            "Every answer came from the mode asked for",
            Kind::Validity,
            "0",
            "0",
        ),
        (
            CriterionId::SchedulingLag,
            "The load was sent when it was due (p99)",
            Kind::Validity,
            "< 50 ms",
            "0.9 ms",
        ),
        (CriterionId::ErrorRate, "Error rate", Kind::Performance, "< 0.1 %", "0.00 %"),
        (
            CriterionId::P95Overall,
            "p95 against legacy, all operations",
            Kind::Performance,
            "< +10 %",
            "+1.4 %",
        ),
        (
            CriterionId::P95Operations,
            "p95 against legacy, worst operation",
            Kind::Performance,
            "< +20 %",
            "+8.0 %",
        ),
        (CriterionId::CacheHitRate, "Cache hit rate", Kind::Performance, "> 70 %", "82.2 %"),
        (CriterionId::CriticalAlerts, "No critical alert", Kind::Performance, "0", "0"),
        (CriterionId::ReplicaLag, "Replica lag", Kind::Advice, "< 10 s", "0.0 s"),
    ];
    each.map(|(id, title, kind, limit, measured)| Criterion {
        id,
        title: title.into(),
        source: "handbook: Phase 2, success criteria".into(),
        kind,
        evidence: "run.json".into(),
        limit: limit.into(),
        measured: Some(measured.into()),
        margin: None,
        state: State::Pass,
        action: Action::Hold,
        note: String::new(),
    })
    .to_vec()
}

fn fail(record: &mut RunRecord, id: CriterionId, measured: &str, note: &str) {
    let criterion = find(record, id);
    criterion.state = State::Fail;
    criterion.measured = Some(measured.into());
    criterion.note = note.into();
    criterion.action = match criterion.kind {
        Kind::Integrity => Action::EmergencyRollback,
        _ => Action::StandardRollback,
    };
}

fn unknown(record: &mut RunRecord, id: CriterionId, note: &str) {
    let criterion = find(record, id);
    criterion.state = State::Unknown;
    criterion.measured = None;
    criterion.note = note.into();
}

fn find(record: &mut RunRecord, id: CriterionId) -> &mut Criterion {
    record.criteria.iter_mut().find(|c| c.id == id).expect("the builder knows this criterion")
}
