//! What is written arrives on both sides, exactly; what is wrong is refused with a sentence.

use axum::http::StatusCode;
use serde_json::json;

use crate::platform::harness::{Platform, count, execute, start, today};
use crate::support::{TestDatabase, database};

/// Rows of any pair that stand on one side only or differ.
const DIFFERENCES: &str = "
    SELECT (SELECT count(*) FROM (
        (TABLE revenue_transactions EXCEPT ALL TABLE revenue_transactions_partitioned) UNION ALL
        (TABLE revenue_transactions_partitioned EXCEPT ALL TABLE revenue_transactions)) r)
    + (SELECT count(*) FROM (
        (TABLE expense_transactions EXCEPT ALL TABLE expense_transactions_partitioned) UNION ALL
        (TABLE expense_transactions_partitioned EXCEPT ALL TABLE expense_transactions)) e)
    + (SELECT count(*) FROM daily_cash_balances l FULL JOIN daily_cash_balances_partitioned p
        USING (org_id, property_id, balance_date)
       WHERE (l.opening, l.closing, l.note, l.updated_at)
             IS DISTINCT FROM (p.opening, p.closing, p.note, p.updated_at))";

async fn assert_twins_agree(database: &TestDatabase, after: &str) {
    assert_eq!(count(database, DIFFERENCES).await, 0, "after {after}");
}

#[tokio::test]
async fn every_kind_of_write_reaches_both_sides() {
    let database = database();
    let platform = start(&database, &[]).await;
    let a_month_ago = today() - chrono::Months::new(1);
    for kind in ["revenue", "expense"] {
        let path = format!("/finance/{kind}");
        let body = json!({ "orgId": 1, "amount": 100, "description": "Test" });
        let created = platform.post(&path, body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        assert_eq!(created.body["amount"], "100.00");
        assert_twins_agree(&database, "an insert").await;

        let one = format!("{path}/{}", created.body["id"]);
        let change = json!({ "orgId": 1, "amount": "0.10", "approve": true, "description": null });
        let changed = platform.patch(&one, change).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
        assert_eq!(changed.body["amount"], "0.10");
        assert_eq!(changed.body["status"], "approved");
        assert_eq!(changed.body["description"], json!(null));
        assert_twins_agree(&database, "an update").await;

        let moved = platform.patch(&one, json!({ "orgId": 1, "date": a_month_ago })).await;
        assert_eq!(moved.body["date"], json!(a_month_ago));
        assert_eq!(moved.body["amount"], "0.10", "what is not named stays");
        assert_twins_agree(&database, "a changed date").await;
        for side in ["legacy", "partitioned"] {
            let there = format!("{one}?orgId=1&date={a_month_ago}");
            assert_eq!(platform.get_from(side, &there).await.body, moved.body);
            let gone = format!("{one}?orgId=1&date={}", today());
            assert_eq!(platform.get_from(side, &gone).await.status, StatusCode::NOT_FOUND);
        }

        assert_eq!(platform.delete(&format!("{one}?orgId=1")).await.status, StatusCode::NO_CONTENT);
        assert_twins_agree(&database, "a delete").await;
    }
    for closing in ["2.50", "3.75"] {
        let balance = json!({ "orgId": 1, "propertyId": 2, "date": today(), "opening": 1,
            "closing": closing, "note": "till" });
        let put = platform.put("/finance/cash-balance", balance).await;
        assert_eq!((put.status, &put.body["closing"]), (StatusCode::OK, &json!(closing)));
        assert_twins_agree(&database, "an upsert").await;
    }
    assert_eq!(count(&database, "SELECT count(*) FROM daily_cash_balances_partitioned").await, 1);
}

#[tokio::test]
async fn the_check_of_these_tests_sees_a_write_that_is_not_carried_over() {
    let database = database();
    let platform = start(&database, &[]).await;
    execute(&database, "ALTER TABLE revenue_transactions DISABLE TRIGGER USER").await;
    platform.new_revenue("1").await;
    assert_eq!(count(&database, DIFFERENCES).await, 1);
    let tables = "/monitoring/partitions/metrics?fresh=true";
    assert_eq!(platform.figure(tables, "/tables/0/rowCountDelta").await, 1);
    assert_eq!(platform.figure(tables, "/tables/0/status").await, "out_of_sync");
    assert_eq!(platform.figure(tables, "/tables/0/dualWriteTrigger").await, "disabled");
    assert_eq!(platform.figure(tables, "/switchoverReady").await, false);
    assert_eq!(platform.figure(tables, "/tables/1/status").await, "synced");
}

#[tokio::test]
async fn both_sides_answer_the_same_from_what_they_hold() {
    let database = database();
    let platform = start(&database, &[]).await;
    let month = today().format("%Y-%m").to_string();
    for (amount, category) in [("10.10", "food"), ("20.20", "food"), ("5", "bar")] {
        let body = json!({ "orgId": 7, "amount": amount, "category": category });
        platform.post("/finance/expense", body).await;
    }
    platform.post("/finance/expense", json!({ "orgId": 8, "amount": 1 })).await;
    for side in ["legacy", "partitioned"] {
        let list = platform.get_from(side, "/finance/expense?orgId=7").await;
        assert_eq!(list.body["count"], 3);
        let amounts: Vec<_> = (0..3).map(|i| list.body["items"][i]["amount"].clone()).collect();
        assert_eq!(amounts, ["5.00", "20.20", "10.10"], "newest first");
        assert_eq!(list.routed_to.as_deref(), Some(side));
        assert_eq!(list.cache.as_deref(), Some("miss"));

        let path = format!("/finance/expense/summary?orgId=7&month={month}");
        let summary = platform.get_from(side, &path).await.body;
        assert_eq!((&summary["count"], &summary["total"]), (&json!(3), &json!("35.30")));
        assert_eq!(
            summary["byCategory"],
            json!([
                { "category": "bar", "count": 1, "total": "5.00" },
                { "category": "food", "count": 2, "total": "30.30" },
            ])
        );
        let path = format!("/finance/expense/summary?orgId=7&year={}", &month[..4]);
        let year = platform.get_from(side, &path).await.body;
        let months = year["months"].as_array().expect("twelve months");
        assert_eq!(months.len(), 12);
        for entry in months {
            let (count, total) = if entry["month"] == *month { (3, "35.30") } else { (0, "0.00") };
            assert_eq!((&entry["count"], &entry["total"]), (&json!(count), &json!(total)));
        }
    }
}

#[tokio::test]
async fn the_two_sides_are_really_two() {
    let database = database();
    let platform = start(&database, &[]).await;
    let id = platform.new_revenue("1").await["id"].clone();
    execute(&database, "UPDATE revenue_transactions_partitioned SET amount = 2").await;
    for (side, amount) in [("legacy", "1.00"), ("partitioned", "2.00")] {
        let one = platform.get_from(side, &format!("/finance/revenue/{id}?orgId=1")).await;
        assert_eq!(one.body["amount"], amount);
        let list = platform.get_from(side, "/finance/revenue?orgId=1").await;
        assert_eq!(list.body["items"][0]["amount"], amount);
    }
}

#[tokio::test]
async fn hostile_text_comes_back_as_it_was() {
    let database = database();
    let platform = start(&database, &[]).await;
    let long = "ä".repeat(10_000);
    let texts = [
        "'; DROP TABLE revenue_transactions; --",
        "",
        " trailing ",
        "NULL",
        "\\N\\",
        "$1",
        "line\nbreak\ttab\r",
        "\u{202e}rtl \u{1F4B8} \u{feff}",
        "a|b\",\"c\":1}",
        &long,
    ];
    for text in texts {
        let body = json!({ "orgId": 1, "amount": 1, "description": text, "customer": text });
        let created = platform.post("/finance/revenue", body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{text:?}: {created:?}");
        let path = format!("/finance/revenue/{}?orgId=1", created.body["id"]);
        let read = platform.get_from("partitioned", &path).await;
        assert_eq!(read.body["description"], *text);
        assert_eq!(read.body["customer"], *text);
    }
    assert_twins_agree(&database, "hostile text").await;
}

#[tokio::test]
async fn an_idempotency_key_writes_once() {
    let database = database();
    let platform = start(&database, &[]).await;
    let post = async |platform: &Platform, org: i64| {
        let body = json!({ "orgId": org, "amount": 5 });
        platform.send("POST", "/finance/revenue", Some(body), &[("idempotency-key", "k")]).await
    };
    let (first, again) = tokio::join!(post(&platform, 1), post(&platform, 1));
    assert_eq!(first.body, again.body);
    assert_ne!(post(&platform, 2).await.body["id"], first.body["id"], "keys are each org's own");
    assert_eq!(count(&database, "SELECT count(*) FROM revenue_transactions").await, 2);
    platform.delete(&format!("/finance/revenue/{}?orgId=1", first.body["id"])).await;
    assert_eq!(post(&platform, 1).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn wrong_input_is_refused_with_a_sentence() {
    let database = database();
    let platform = start(&database, &[]).await;
    let row = |field: &str, value: serde_json::Value| {
        let mut body = json!({ "orgId": 1, "amount": 1 });
        body[field] = value;
        Some(body)
    };
    let (bad, missing) = (StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND);
    let post = "POST /finance/revenue";
    let cases = [
        (post, None, bad, "body"),
        (post, Some(json!([])), bad, "object"),
        (post, row("orgId", json!(0)), bad, "orgId"),
        (post, row("orgId", json!("1")), bad, "orgId"),
        (post, row("amount", json!(null)), bad, "amount"),
        (post, row("amount", json!("1,5")), bad, "amount"),
        (post, row("amount", json!(1.005)), bad, "two decimals"),
        (post, row("amount", json!("1e15")), bad, "twelve digits"),
        (post, row("amount", json!("NaN")), bad, "amount"),
        (post, row("date", json!("2026-02-30")), bad, "date"),
        (post, row("date", json!(20260230)), bad, "date"),
        (post, row("description", json!(5)), bad, "description"),
        (post, row("description", json!("a\0b")), bad, "NUL"),
        (post, row("date", json!("1999-01-01")), StatusCode::UNPROCESSABLE_ENTITY, "partition"),
        ("GET /finance/revenue", None, bad, "orgId"),
        ("GET /finance/revenue?orgId=1&limit=501", None, bad, "limit"),
        ("GET /finance/revenue?orgId=1&from=2026-02-02&to=2026-02-01", None, bad, "from"),
        ("GET /finance/revenue?orgId=1&from=soon", None, bad, "from"),
        ("GET /finance/revenue/summary?orgId=1", None, bad, "month"),
        ("GET /finance/revenue/summary?orgId=1&month=2026-13", None, bad, "month"),
        ("GET /finance/revenue/x?orgId=1", None, bad, "id"),
        ("GET /finance/revenue/1?orgId=1", None, missing, "no revenue 1"),
        ("GET /finance/profit?orgId=1", None, missing, "/finance/revenue"),
        ("GET /nowhere", None, missing, "nothing"),
        ("PATCH /finance/revenue/1", row("approve", json!("yes")), bad, "approve"),
        ("PATCH /finance/revenue/1", row("amount", json!(1)), missing, "no revenue 1"),
        ("DELETE /finance/revenue/1?orgId=1", None, missing, "no revenue 1"),
        ("PUT /finance/cash-balance", Some(json!({ "orgId": 1 })), bad, "propertyId"),
    ];
    for (what, body, status, says) in cases {
        let (method, path) = what.split_once(' ').expect("method and path");
        let reply = platform.send(method, path, body.clone(), &[]).await;
        assert_eq!(reply.status, status, "{what} {body:?}: {reply:?}");
        let sentence = reply.body["error"].as_str().expect("a sentence");
        assert!(sentence.contains(says), "{what} {body:?}: {sentence}");
    }
}
