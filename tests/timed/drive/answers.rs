//! What answers hold, on the reference platform with a real database: no other org's rows, and the
//! same on both sides.

use cutover::config::{FlagRequest, Probe, RoutingConfig, RoutingKind};
use cutover::evidence::answers::ParityEvidence;
use cutover::evidence::drive::DriveEvidence;

use crate::drive::harness::Load;
use crate::drive::service;
use crate::support::{TestDatabase, database};

/// Lists and sums, over rows that are there before.
const READS: &str = r#"
    name = "reads"
    [[operation]]
    name = "create"
    weight = 1
    method = "POST"
    path = "/finance/revenue"
    body = '{"orgId":{{org}},"amount":{{amount:10..900}},"description":"Booking {{unique}}"}'
    expect = [201]
    own = ["/orgId"]
    remember = "revenue"
    [[operation]]
    name = "list"
    weight = 5
    path = "/finance/revenue?orgId={{org}}"
    own = ["/items/*/orgId"]
    [[operation]]
    name = "get"
    weight = 2
    path = "/finance/revenue/{{row.id}}?orgId={{row.orgId}}"
    row = "revenue"
    own = ["/orgId"]
    [[operation]]
    name = "summary"
    weight = 4
    path = "/finance/revenue/summary?orgId={{org}}&month=2026-01"
    own = ["/orgId"]
"#;

/// Rows of each org in January, several a day.
const ROWS: &str = "INSERT INTO revenue_transactions (org_id, date, amount, category)
    SELECT 1 + n % 10, date '2026-01-01' + n % 28, 10 + n + n * n % 97 * 0.01, (ARRAY['a', 'b'])[1 + n % 2]
      FROM generate_series(1, 600) AS n";

async fn driven(database: &TestDatabase, misbehave: &[&str], mask: &[&str]) -> DriveEvidence {
    let platform = service::start(database, misbehave).await;
    let mut load = prepared(database).await;
    load.config.parity.mask = mask.iter().map(|mask| (*mask).to_owned()).collect();
    load.evidence(&format!("http://{}", platform.address)).await
}

/// A load of reads, mostly, on rows that are there.
async fn prepared(database: &TestDatabase) -> Load {
    service::execute(database, "SELECT ensure_month_partitions('2026-01-01', '2026-01-31')").await;
    service::execute(database, ROWS).await;
    let mut load = Load::new(150.0, 1000);
    load.scenario = READS.replace("?orgId={{org}}\"", "?orgId={{org}}&from=2026-01-01\"");
    load.config.routing = RoutingConfig::default();
    load
}

fn parity(evidence: &DriveEvidence) -> &ParityEvidence {
    evidence.parity.as_ref().expect("both modes were driven")
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_sides_answer_alike_and_each_org_sees_its_own() {
    let database = database();
    let evidence = driven(&database, &[], &[]).await;
    assert_eq!(evidence.errors, 0, "{:?}", evidence.errors_by_kind);
    let isolation = evidence.isolation.as_ref().expect("the scenario says where orgs stand");
    assert!(isolation.answers_checked > 200, "{isolation:?}");
    assert_eq!(isolation.leaks, 0);
    let parity = parity(&evidence);
    assert!(parity.complete && parity.compared >= 190, "{parity:?}");
    assert_eq!((parity.differing, parity.unanswered), (0, 0), "{parity:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_another_orgs_cache_entry_is_a_leak() {
    let database = database();
    let evidence = driven(&database, &["cross-org-cache=20%"], &[]).await;
    let isolation = evidence.isolation.as_ref().expect("the scenario says where orgs stand");
    assert!(isolation.leaks > 5, "{isolation:?}");
    let finding = &isolation.findings[0];
    assert_eq!((finding.class.word(), finding.org_id.is_some()), ("foreign_org", true));
    assert!(evidence.errors_by_kind["foreign_org"] > 0, "{:?}", evidence.errors_by_kind);
    // Rows by id come from no cache.
    assert!(isolation.findings.iter().all(|finding| finding.table != "get"), "{isolation:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sides_that_answer_otherwise_are_told_field_by_field() {
    for (misbehaviour, operation, class, field) in [
        ("twin-rounding", "summary", "answer_value", "/total"),
        ("twin-order", "list", "answer_order", "/items"),
    ] {
        let database = database();
        let evidence = driven(&database, &[misbehaviour], &[]).await;
        let parity = parity(&evidence);
        assert!(parity.complete && parity.differing > 10, "{misbehaviour}: {parity:?}");
        for finding in &parity.findings {
            assert_eq!((finding.table.as_str(), finding.class.word()), (operation, class));
            let named = finding.columns.iter().any(|column| column == field);
            assert!(named, "{misbehaviour}: {finding:?}");
        }
        assert_eq!(evidence.isolation.as_ref().map(|isolation| isolation.leaks), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_noise_is_masked() {
    let database = database();
    let masks = ["/total", "/byCategory/*/total"];
    let evidence = driven(&database, &["twin-rounding"], &masks).await;
    let parity = parity(&evidence);
    assert_eq!((parity.complete, parity.differing), (true, 0), "{:#?}", parity.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_one_side_does_not_find_is_told() {
    let database = database();
    let evidence = driven(&database, &["torn-write=40%"], &[]).await;
    let parity = parity(&evidence);
    assert!(parity.differing > 0, "{parity:?}");
    let classes: std::collections::BTreeSet<&str> =
        parity.findings.iter().map(|finding| finding.class.word()).collect();
    assert!(classes.contains("answer_status") || classes.contains("answer_shape"), "{classes:?}");
}

/// The reference platform's own flag, for everybody.
fn flag(url: &str) -> RoutingConfig {
    let to = |path: &str| format!("{url}{path}").parse().expect("a URL");
    let set = |on: bool| FlagRequest {
        method: "PUT".into(),
        url: to("/admin/flags"),
        body: format!("{{\"USE_PARTITIONED_TABLES\":{on}}}"),
        headers: [].into(),
        headers_env: [].into(),
    };
    RoutingConfig {
        kind: RoutingKind::Http,
        legacy: Some(set(false)),
        partitioned: Some(set(true)),
        probe: Some(Probe {
            url: to("/monitoring/partitions/metrics"),
            header: None,
            pointer: Some("/partitionedTablesEnabled".into()),
            legacy: "false".into(),
            partitioned: "true".into(),
            headers: [].into(),
            headers_env: [].into(),
        }),
        settle_s: 0.5,
        ..RoutingConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sides_behind_a_flag_for_everybody_are_compared_in_turns() {
    for (misbehaviour, class) in [
        (&[][..], None),
        (&["twin-rounding"], Some("answer_value")),
        (&["twin-order"], Some("answer_order")),
    ] {
        let database = database();
        let platform = service::start(&database, misbehaviour).await;
        let mut load = prepared(&database).await;
        let url = format!("http://{}", platform.address);
        load.config.routing = flag(&url);
        load.plan.settle_us = 500_000;
        load.plan.window_us = 1_500_000;
        let evidence = load.evidence(&url).await;
        assert_eq!((evidence.wrong_mode, evidence.unproven_windows), (0, 0), "{misbehaviour:?}");
        assert_eq!(evidence.flag_left_changed, None);
        let parity = parity(&evidence);
        assert!(parity.complete && parity.compared >= 190, "{misbehaviour:?}: {parity:?}");
        assert_eq!((parity.unanswered, parity.unsettled), (0, 0), "{parity:#?}");
        assert_eq!(parity.differing > 10, class.is_some(), "{misbehaviour:?}: {parity:#?}");
        assert!(parity.findings.iter().all(|finding| Some(finding.class.word()) == class));
        let flags = platform.get("/admin/flags").await.body;
        assert_eq!(flags["USE_PARTITIONED_TABLES"], false, "as it was found: {flags}");
    }
}
