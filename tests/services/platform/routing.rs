//! Who reads from which side.

use axum::http::StatusCode;
use cutover::platform::{FlagChange, Flags, Side};
use serde_json::json;

use crate::platform::harness::{migrate, options, serve, start};
use crate::support::database;

fn flags(change: &str) -> Flags {
    let change = serde_json::from_str(change).expect("a change");
    Flags::default().changed(change).expect("in range")
}

fn at(percentage: f64) -> Flags {
    let change = FlagChange { percentage: Some(percentage), ..FlagChange::default() };
    Flags::default().changed(change).expect("in range")
}

#[test]
fn an_org_that_is_in_stays_in_as_the_percentage_grows() {
    let steps = [0.0, 0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 99.0, 100.0].map(at);
    for org in 1..=10_000 {
        let sides = steps.each_ref().map(|flags| flags.side(org));
        let first_in = sides.iter().position(|side| *side == Side::Partitioned);
        let first_in = first_in.expect("everybody is in at 100 %");
        assert!(first_in > 0, "org {org} is in at 0 %");
        assert!(sides[first_in..].iter().all(|side| *side == Side::Partitioned), "org {org}");
    }
}

#[test]
fn the_share_is_what_was_asked_for() {
    for percentage in [1.0, 5.0, 10.0, 25.0, 50.0, 75.0] {
        let flags = at(percentage);
        let inside = (1..=10_000).filter(|org| flags.side(*org) == Side::Partitioned).count();
        let share = inside as f64 / 100.0;
        assert!((share - percentage).abs() < 1.0, "{share} % at {percentage} %");
    }
}

#[test]
fn the_switch_means_what_it_says() {
    let partitioned = |flags: &Flags, org| flags.side(org) == Side::Partitioned;
    let everybody = |flags: &Flags| (1..=1000).all(|org| partitioned(flags, org));
    let nobody = |flags: &Flags| (1..=1000).all(|org| !partitioned(flags, org));
    assert!(nobody(&Flags::default()));
    assert!(everybody(&flags(r#"{"USE_PARTITIONED_TABLES":true}"#)));
    let pilots = flags(r#"{"USE_PARTITIONED_TABLES":true,"pilotOrgs":[3,9]}"#);
    let inside: Vec<i64> = (1..=1000).filter(|org| partitioned(&pilots, *org)).collect();
    assert_eq!(inside, [3, 9]);
    // Either way of rolling back leaves nobody behind, pilots included.
    for change in
        [r#"{"USE_PARTITIONED_TABLES":false}"#, r#"{"USE_PARTITIONED_TABLES_PERCENTAGE":0}"#]
    {
        let change = serde_json::from_str(change).expect("a change");
        assert!(nobody(&pilots.changed(change).expect("in range")));
    }
    let more = serde_json::from_str(r#"{"USE_PARTITIONED_TABLES_PERCENTAGE":10}"#).expect("json");
    assert!(partitioned(&pilots.changed(more).expect("in range"), 9), "pilots stay in");
    for percentage in [-0.1, 100.1, f64::NAN] {
        let change = FlagChange { percentage: Some(percentage), ..FlagChange::default() };
        assert!(Flags::default().changed(change).is_err(), "{percentage}");
    }
}

#[tokio::test]
async fn flags_change_at_run_time_and_every_answer_says_where_it_came_from() {
    let database = database();
    let platform = start(&database, &[]).await;
    let routed = async |path: &str| platform.get(path).await.routed_to.expect("the header");
    let list = "/finance/revenue?orgId=5";
    assert_eq!(routed(list).await, "legacy");
    let on = json!({ "USE_PARTITIONED_TABLES": true });
    assert_eq!(platform.put("/admin/flags", on).await.status, StatusCode::OK);
    for path in [
        list,
        "/finance/revenue/1?orgId=5",
        "/finance/cash-balance?orgId=5",
        "/finance/revenue?orgId=5&limit=0",
    ] {
        assert_eq!(routed(path).await, "partitioned", "{path}");
    }
    let write = platform.post("/finance/revenue", json!({ "orgId": 5, "amount": 1 })).await;
    assert_eq!(write.routed_to.as_deref(), Some("partitioned"));
    let enabled = "/monitoring/partitions/metrics";
    assert_eq!(platform.figure(enabled, "/partitionedTablesEnabled").await, true);
    platform.put("/admin/flags", json!({ "USE_PARTITIONED_TABLES_PERCENTAGE": 0 })).await;
    assert_eq!(routed(list).await, "legacy");
    assert_eq!(platform.figure(enabled, "/partitionedTablesEnabled").await, false);
    for wrong in [json!({ "USE_PARTITIONED_TABLES_PERCENTAGE": 101 }), json!({ "percent": 1 })] {
        assert_eq!(platform.put("/admin/flags", wrong).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn the_header_counts_only_where_it_was_asked_for() {
    let database = database();
    migrate(&database).await;
    for mode_header in [true, false] {
        let platform =
            serve(crate::platform::harness::Options { mode_header, ..options(&database.url) })
                .await;
        let reply = platform.get_from("partitioned", "/finance/revenue?orgId=5").await;
        let expected = if mode_header { "partitioned" } else { "legacy" };
        assert_eq!(reply.routed_to.as_deref(), Some(expected));
        let nonsense = platform.get_from("sideways", "/finance/revenue?orgId=5").await.status;
        assert_eq!(nonsense == StatusCode::BAD_REQUEST, mode_header);
    }
}

#[tokio::test]
async fn nothing_is_administered_where_others_can_listen() {
    let database = database();
    migrate(&database).await;
    let listen = "0.0.0.0:0".parse().expect("an address");
    let mut wide = crate::platform::harness::Options { listen, ..options(&database.url) };
    let platform = serve(wide.clone()).await;
    assert_eq!(platform.get("/finance/revenue?orgId=1").await.status, StatusCode::OK);
    for path in ["/admin/flags", "/admin/misbehave"] {
        assert_eq!(platform.get(path).await.status, StatusCode::FORBIDDEN);
    }
    wide.misbehave = vec!["stale-cache".parse().expect("a known one")];
    assert!(matches!(wide.check(), Err(cutover::platform::Error::Usage { .. })));
}
