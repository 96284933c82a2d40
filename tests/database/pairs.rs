//! Which tables `init` takes for pairs: those that a trigger ties, whatever they are called, and no others.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{self, cutover};

/// A plain table `{a}` and a partitioned one `{b}` with the same columns and ten rows in the first.
fn tables(a: &str, b: &str) -> String {
    format!(
        "CREATE TABLE {a} (id bigint PRIMARY KEY, org_id bigint NOT NULL, day date NOT NULL, total numeric);
         CREATE TABLE {b} (id bigint, org_id bigint NOT NULL, day date NOT NULL, total numeric,
             PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
         CREATE TABLE part_of_it PARTITION OF {b} FOR VALUES FROM ('2020-01-01') TO ('2060-01-01');
         INSERT INTO {a} SELECT g, g % 3, '2026-11-01', g FROM generate_series(1, 10) AS g;"
    )
}

/// A trigger function with this body, and a trigger of `table` that calls it.
fn trigger(table: &str, body: &str, arguments: &str) -> String {
    format!(
        "CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN {body} RETURN NULL; END $body$;
         CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW
             EXECUTE FUNCTION carry({arguments});"
    )
}

const COPY: &str = "IF TG_OP <> 'INSERT' THEN DELETE FROM b WHERE id = OLD.id; END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO b VALUES (NEW.*); END IF;";

fn init(url: &str, folder: &Path, more: &[&str]) -> (Value, String) {
    let output = cutover()
        .args(["init", "--force", "--format", "json", "--database-url", url, "--out"])
        .arg(folder)
        .args(more)
        .output()
        .expect("cutover runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {told}"));
    let text = std::fs::read_to_string(folder.join("cutover.toml")).expect("it was written");
    (found, text)
}

async fn found(sql: &str, more: &[&str]) -> (Value, String) {
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, sql).await;
    init(&database.url, folder.path(), more)
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_tie_whatever_the_names_are() {
    let named = |a: &str, b: &str, sql: String| (a.to_owned(), b.to_owned(), sql);
    let copy = |to: &str| COPY.replace(" b ", &format!(" {to} "));
    let by_name = "EXECUTE format('DELETE FROM %I WHERE id = $1', TG_TABLE_NAME || '_pt') USING coalesce(NEW.id, OLD.id);
         IF TG_OP <> 'DELETE' THEN EXECUTE format('INSERT INTO %I SELECT $1.*', TG_TABLE_NAME || '_pt') USING NEW; END IF;";
    let by_argument = by_name.replace("TG_TABLE_NAME || '_pt'", "TG_ARGV[0]");
    let callee = "CREATE PROCEDURE hand_on(r bookings) LANGUAGE sql BEGIN ATOMIC
             INSERT INTO elsewhere VALUES (r.id, r.org_id, r.day, r.total)
             ON CONFLICT (id, day) DO UPDATE SET total = excluded.total; END;
         ALTER TABLE elsewhere RENAME TO by_day;";
    let whole = [
        named("bookings", "archive_of_days", trigger("bookings", &copy("archive_of_days"), "")),
        named("\"A b\"", "\"C d\"", trigger("\"A b\"", &copy("public.\"C d\""), "")),
        named("bookings", "bookings_pt", trigger("bookings", by_name, "")),
        named("bookings", "elsewhere", trigger("bookings", &by_argument, "'elsewhere'")),
        named(
            "bookings",
            "elsewhere",
            format!("{callee}{}", trigger("bookings", "CALL hand_on(NEW);", "")),
        ),
        named(
            "bookings",
            "elsewhere",
            format!(
                "CREATE VIEW shown AS SELECT * FROM elsewhere; {}",
                trigger("bookings", &copy("shown"), "")
            ),
        ),
        named("bookings", "elsewhere", trigger("bookings", &copy("part_of_it"), "")),
    ];
    for (a, b, sql) in whole {
        let (found, text) = found(&format!("{}{sql}", tables(&a, &b)), &[]).await;
        assert_eq!(found["pairs"].as_array().map(Vec::len), Some(1), "{sql}: {found}");
        assert_eq!(found["pairs"][0]["writes"], "legacy", "{found}");
        assert!(text.contains("\n[[tables]]\n"), "{text}");
    }
    let reverse = trigger("b", &COPY.replace(" b ", " kept "), "");
    let (found, text) = found(&format!("{}{reverse}", tables("kept", "b")), &[]).await;
    assert_eq!(found["pairs"][0]["legacy"], "\"public\".\"kept\"", "{found}");
    assert!(text.contains("\nwrites = \"partitioned\"\n"), "{text}");
}

/// No body says which table is written: it is seen by trying, and nothing of that stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_trigger_makes_up_is_tried() {
    let made_up = "EXECUTE (SELECT 'DELETE FROM ' || t FROM targets) || ' WHERE id = $1' USING coalesce(NEW.id, OLD.id);
        IF TG_OP <> 'DELETE' THEN
            EXECUTE (SELECT 'INSERT INTO ' || t FROM targets) || ' SELECT $1.*' USING NEW; END IF;";
    let sql = format!(
        "{}CREATE TABLE targets AS SELECT 'orders_by_day' AS t; {}",
        tables("orders", "orders_by_day"),
        trigger("orders", made_up, "")
    );
    let (tried, text) = found(&sql, &[]).await;
    assert_eq!(tried["pairs"].as_array().map(Vec::len), Some(1), "{tried}");
    assert!(text.contains("\n[[tables]]\n"), "{text}");
    let (untried, _) = found(&sql, &["--no-probe"]).await;
    assert_eq!(
        (untried["pairs"].as_array().map(Vec::len), untried["untied"].as_array().map(Vec::len)),
        (Some(0), Some(1))
    );
    // What would take a number is not tried, and the reason is told.
    let numbers = format!(
        "{sql} CREATE SEQUENCE s; {}",
        trigger("orders", "PERFORM nextval('s');", "").replace("carry", "c2")
    );
    let (left, text) = found(&numbers, &[]).await;
    assert_eq!(left["pairs"].as_array().map(Vec::len), Some(0), "{left}");
    assert!(text.contains("could not be tried") && text.contains("takes a number"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_trigger_carries_stands_in_comments_with_the_reason() {
    let alike = tables("orders", "orders_partitioned");
    let mentions = trigger(
        "orders",
        "-- INSERT INTO orders_partitioned
         PERFORM 1 FROM orders_partitioned WHERE id = NEW.id; RAISE NOTICE 'no UPDATE of orders_partitioned';",
        "",
    );
    let journal =
        trigger("orders", "INSERT INTO orders_partitioned VALUES (coalesce(NEW.id, OLD.id));", "");
    for (sql, why) in [
        (alike.clone(), "only their names are alike"),
        (format!("{alike}{mentions}"), "only their names are alike"),
        (format!("{alike}{journal}"), "looks like a journal"),
    ] {
        let (found, text) = found(&sql, &[]).await;
        assert_eq!(found["pairs"], json!([]), "{found}");
        assert_eq!(found["untied"].as_array().map(Vec::len), Some(1), "{found}");
        assert!(
            text.contains(why)
                && text.contains("\n# [[tables]]\n")
                && !text.contains("\n[[tables]]"),
            "{text}"
        );
    }
    // A table that only writes something else is no pair of what it resembles.
    let others = format!(
        "{}CREATE TABLE audit (what text); {}",
        alike,
        trigger("orders", "INSERT INTO audit VALUES ('x');", "")
    );
    assert_eq!(found(&others, &[]).await.0["pairs"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_leave_the_written_side_open() {
    let there = trigger("orders", &COPY.replace(" b ", " orders_p "), "");
    let back =
        trigger("orders_p", &COPY.replace(" b ", " orders "), "").replace("carry", "carry_back");
    let guarded = |sql: String| {
        sql.replace("BEGIN ", "BEGIN IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF; ")
    };
    let sql = format!("{}{}{}", tables("orders", "orders_p"), guarded(there), guarded(back));
    let (both, text) = found(&sql, &[]).await;
    assert_eq!(both["pairs"][0]["writes"], Value::Null, "{both}");
    assert!(text.contains("# CHECK: each side carries to the other"), "{text}");
    let off = format!("{sql} ALTER TABLE orders DISABLE TRIGGER carry");
    assert_eq!(found(&off, &[]).await.0["pairs"][0]["writes"], "partitioned");
    let off = format!("{sql} ALTER TABLE orders_p DISABLE TRIGGER carry_back");
    assert_eq!(found(&off, &[]).await.0["pairs"][0]["writes"], "legacy");
}

/// What is computed by another formula on each side differs; and what a trigger hands on is compared though the
/// twin could number it itself.
#[tokio::test(flavor = "multi_thread")]
async fn no_column_is_ignored_that_may_differ() {
    let sql = "
        CREATE TABLE sales (id bigint PRIMARY KEY, org_id bigint NOT NULL, day date NOT NULL, net numeric NOT NULL,
            vat numeric GENERATED ALWAYS AS (net * 0.18) STORED, number bigint GENERATED BY DEFAULT AS IDENTITY);
        CREATE TABLE sales_p (id bigint, org_id bigint NOT NULL, day date NOT NULL, net numeric NOT NULL,
            vat numeric GENERATED ALWAYS AS (net * 0.19) STORED, number bigint GENERATED BY DEFAULT AS IDENTITY,
            PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE sales_1 PARTITION OF sales_p DEFAULT;
        CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP <> 'INSERT' THEN DELETE FROM sales_p WHERE id = OLD.id; END IF;
            IF TG_OP <> 'DELETE' THEN INSERT INTO sales_p (id, org_id, day, net, number)
                VALUES (NEW.id, NEW.org_id, NEW.day, NEW.net, NEW.number); END IF;
            RETURN NULL; END $$;
        CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON sales FOR EACH ROW EXECUTE FUNCTION carry();
        INSERT INTO sales (id, org_id, day, net) SELECT g, g % 3, '2026-11-01', g FROM generate_series(1, 200) AS g;";
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, sql).await;
    let (found, _) = init(&database.url, folder.path(), &[]);
    assert_eq!(found["pairs"][0]["ignore"], json!([]), "{found}");
    let diff = cutover()
        .args(["diff", "--quiet", "--format", "json", "--database-url", &database.url, "--config"])
        .arg(folder.path().join("cutover.toml"))
        .arg("--out")
        .arg(folder.path().join("run"))
        .output()
        .expect("cutover runs");
    assert_eq!(diff.status.code(), Some(11));
    let evidence: Value = serde_json::from_slice(&diff.stdout).expect("one object");
    assert_eq!(evidence["tables"][0]["mismatched"], 200, "{}", evidence["tables"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_org_is_the_column_that_was_named() {
    let sql = format!("{}{}", tables("orders", "b"), trigger("orders", COPY, ""));
    let (by_name, _) = found(&sql, &["--org", "total"]).await;
    assert_eq!(by_name["pairs"][0]["org"], "total", "{by_name}");
    let (by_key, text) = found(&sql, &["--org", "id"]).await;
    assert_eq!(by_key["pairs"][0]["org"], "id", "{by_key}");
    assert!(text.contains("\n[[tables]]\n"), "{text}");
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, &sql).await;
    let refused = cutover()
        .args(["init", "--org", "nowhere", "--database-url", &database.url, "--out"])
        .arg(folder.path().join("new"))
        .output()
        .expect("cutover runs");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("--org nowhere") && told.contains("org_id"), "{told}");
    assert!(!folder.path().join("new").exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_may_be_renamed_if_a_trigger_ties_tables_of_related_names() {
    let copy = "IF TG_OP <> 'INSERT' THEN DELETE FROM trips_parts WHERE id = OLD.id; END IF;
         IF TG_OP <> 'DELETE' THEN INSERT INTO trips_parts VALUES (NEW.id, NEW.org_id, NEW.day, NEW.total); END IF;";
    let renamed = "ALTER TABLE trips_parts RENAME day TO departed; ALTER TABLE trips_parts RENAME total TO fare;";
    let sql = format!("{}{}{renamed}", tables("trips", "trips_parts"), trigger("trips", copy, ""));
    let (tied, text) = found(&sql, &[]).await;
    assert_eq!(tied["pairs"][0]["partitioned"], "\"public\".\"trips_parts\"", "{tied}");
    assert!(text.contains("map = { \"day\" = \"departed\", \"total\" = \"fare\" }"), "{text}");
    // A table of sums that a trigger keeps has as many columns in common, and is no twin.
    let (sums, _) = found(&sql.replace("trips_parts", "sums"), &[]).await;
    assert_eq!(sums["pairs"], json!([]), "{sums}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wider_on_purpose_is_proposed_to_be_compared_by_value() {
    let wider = "ALTER TABLE b ALTER id TYPE numeric, ALTER total TYPE text;";
    let sql = format!("{}{}{wider}", tables("a", "b"), trigger("a", COPY, ""));
    let (_, text) = found(&sql, &[]).await;
    assert!(text.contains("compare = { \"id\" = \"value\", \"total\" = \"value\" }"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_nobody_are_compared_in_groups() {
    let sql = format!("{}{}", tables("a", "b"), trigger("a", COPY, ""));
    let sql = sql.replace("org_id", "weight");
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, &format!("{sql} INSERT INTO b SELECT * FROM a WHERE id <> 7"))
        .await;
    let (found, text) = init(&database.url, folder.path(), &[]);
    assert_eq!(found["pairs"][0]["groups"], 4096, "{found}");
    assert!(text.contains("\n[[tables]]\n") && text.contains("\ngroups = 4096\n"), "{text}");
    let check = ["check-config", "--database-url", &database.url];
    let checked = cutover().args(check).current_dir(folder.path()).output().expect("cutover runs");
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let diff = ["diff", "--format", "json", "--database-url", &database.url, "--out", "run"];
    let diff = cutover().args(diff).current_dir(folder.path()).output().expect("cutover runs");
    assert_eq!(diff.status.code(), Some(11), "{}", String::from_utf8_lossy(&diff.stderr));
    let evidence: Value = serde_json::from_slice(&diff.stdout).expect("one object");
    let row =
        evidence["findings"].as_array().into_iter().flatten().find(|f| f["class"] == "missing");
    let row = row.unwrap_or_else(|| panic!("{evidence}"));
    assert_eq!((&row["key"]["id"], &row["org_id"]), (&json!("7"), &Value::Null), "{row}");
    assert!(row["group"].is_number(), "{row}");
}

/// Somebody who has not named the reference schema's tables does not read of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_reference_schema_is_named_to_nobody_else() {
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, &tables("orders", "orders_partitioned")).await;
    let (_, text) = init(&database.url, folder.path(), &[]);
    let mut said = vec![text];
    for config in [None, Some(folder.path().join("cutover.toml"))] {
        let mut diff = cutover();
        diff.args(["diff", "--database-url", &database.url, "--out"])
            .arg(folder.path().join("run"));
        diff.current_dir(folder.path());
        if let Some(config) = config {
            diff.arg("--config").arg(config);
        }
        let output = diff.output().expect("cutover runs");
        assert_eq!(output.status.code(), Some(2));
        said.extend(
            [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).into_owned()),
        );
    }
    let said = said.join("\n");
    assert!(said.contains("cutover init"), "{said}");
    for word in ["revenue", "expense", "cash_balance", "reference schema"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
}
