//! What seed and diff leave behind.

use std::collections::BTreeMap;

use cutover::evidence::class::{CatalogClass, RowClass};
use cutover::evidence::finding::*;
use cutover::evidence::manifest::*;
use cutover::evidence::pruning::Pruning;
use cutover::evidence::run_record::TargetPair;

const TABLES: [(&str, u64); 3] =
    [("revenue", 612_480), ("expense", 301_117), ("daily_cash_balances", 154_003)];

/// The pairs that the tables belong to.
pub fn pairs() -> Vec<TargetPair> {
    let pair = |(name, _): (&str, u64)| TargetPair {
        name: name.into(),
        legacy: format!("\"public\".\"{name}_transactions\""),
        partitioned: format!("\"public\".\"{name}_transactions_partitioned\""),
        trigger: None,
        key: vec!["id".into()],
        ignore: Vec::new(),
    };
    TABLES.map(pair).to_vec()
}

pub fn manifest() -> Manifest {
    Manifest {
        rng_seed: 42,
        as_of: "2026-03-01".into(),
        orgs: 100_000,
        tables: TABLES
            .map(|(name, rows)| TableManifest {
                name: name.into(),
                rows,
                amount_sum: format!("{}.17", rows * 83),
                digest: "5f0c1e0a7d3b4a5f8c9e1b2d3c4f5a6b".into(),
            })
            .to_vec(),
        org_sizes: [
            (0, 0, 2_113),
            (1, 9, 71_204),
            (10, 99, 25_801),
            (100, 999, 870),
            (1_000, 9_999, 12),
        ]
        .map(|(from, to, orgs)| OrgSizeClass { from, to, orgs })
        .to_vec(),
        duration_s: 71.9,
    }
}

pub fn clean_diff(phase: DiffPhase) -> DiffEvidence {
    DiffEvidence {
        phase,
        complete: true,
        orgs_checked: 100_000,
        snapshots: 1,
        tables: TABLES
            .map(|(name, rows)| TableDiff {
                name: name.into(),
                legacy_rows: rows,
                partitioned_rows: rows,
                counts: Counts::default(),
            })
            .to_vec(),
        duration_s: 34.0,
        ..DiffEvidence::default()
    }
}

/// A plan of every state.
fn plans() -> Vec<Pruning> {
    let look = |read: Option<&str>, scanned, expected| Pruning {
        table: "expense".into(),
        read: read.map(str::to_owned),
        partitions: 37,
        scanned,
        expected,
        legacy_cost: read.map(|_| 8.44),
        partitioned_cost: read.map(|_| 8.31 * scanned as f64),
        problem: None,
    };
    vec![
        look(None, 1, Some(1)),
        look(Some("list a month"), 37, Some(2)),
        look(Some("a row by id"), 37, None),
        Pruning {
            problem: Some("column \"paid\" does not exist".into()),
            ..look(Some("unpaid"), 0, Some(1))
        },
    ]
}

pub fn dirty_diff() -> DiffEvidence {
    let counts = Counts { missing: 11, extra: 1, mismatched: 2, ..Counts::default() };
    let mut diff = clean_diff(DiffPhase::After);
    diff.tables[1].counts = counts;
    diff.tables[1].partitioned_rows -= 10;
    diff.orgs_diverged = 3;
    diff.findings_total = 5;
    diff.differences_total = 4;
    diff.integrity_errors = 1;
    diff.orgs = [(4_711, 9, 0, 1), (17, 2, 1, 0), (90_210, 0, 0, 1)]
        .map(|(org, missing, extra, mismatched)| OrgDiff {
            org_id: org.to_string(),
            table: "expense".into(),
            legacy_rows: 80,
            partitioned_rows: 80 - missing + extra,
            counts: Counts { missing, extra, mismatched, ..Counts::default() },
        })
        .to_vec();
    diff.pruning = plans();
    diff.findings = vec![
        Finding {
            severity: Some(Severity::Error),
            detail: Some(
                "expense_transactions_dual_write_trigger is disabled: new rows never reach the \
                 twin. ALTER TABLE expense_transactions ENABLE TRIGGER \
                 expense_transactions_dual_write_trigger;"
                    .into(),
            ),
            ..Finding::new("expense", CatalogClass::TriggerDisabled)
        },
        Finding {
            severity: Some(Severity::Advice),
            detail: Some("legacy has an index on (org_id, category), the twin has none".into()),
            ..Finding::new("expense", CatalogClass::InvalidIndex)
        },
        row(
            RowClass::Mismatched,
            "4711",
            "881201",
            Some(("12.50", "2026-02-11")),
            Some(("12.05", "2026-02-11")),
        ),
        row(RowClass::Missing, "4711", "881207", Some(("99.00", "2026-02-12")), None),
        row(RowClass::Extra, "17", "700001", None, Some(("3.00", "2026-01-30"))),
    ];
    diff
}

fn row(
    class: RowClass,
    org: &str,
    id: &str,
    legacy: Option<(&str, &str)>,
    partitioned: Option<(&str, &str)>,
) -> Finding {
    let values = |(amount, date): (&str, &str)| {
        BTreeMap::from([
            ("amount".to_owned(), Some(amount.to_owned())),
            ("category".to_owned(), None),
            ("date".to_owned(), Some(date.to_owned())),
            ("description".to_owned(), Some("Taxi, airport to hotel ".to_owned())),
        ])
    };
    Finding {
        org_id: Some(org.into()),
        key: BTreeMap::from([("id".into(), Some(id.into()))]),
        legacy: legacy.map(values),
        partitioned: partitioned.map(values),
        columns: if class == RowClass::Mismatched { vec!["amount".into()] } else { Vec::new() },
        partition: partitioned.map(|_| "expense_transactions_p2026_02".into()),
        ..Finding::new("expense", class)
    }
}
