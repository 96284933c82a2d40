//! What a repair may rewrite: never what the application writes to, never much unasked, never a pair that
//! nothing ties.

use std::path::Path;

use cutover::evidence::finding::DiffEvidence;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::diff::{repair, support};

/// A live table, partitioned, with 100 rows of 2026 and 2027.
const LIVE: &str = "
    CREATE TABLE orders (id bigint NOT NULL, org_id bigint NOT NULL, total bigint NOT NULL,
        created_at timestamp NOT NULL, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
    CREATE TABLE orders_p1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE TABLE orders_p2 PARTITION OF orders FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
    INSERT INTO orders SELECT g, 1 + g % 5, g, timestamp '2026-05-01' + g * interval '1 hour'
      FROM generate_series(1, 100) AS g;";

/// Keeps `archive` by a trigger of `orders`, and misses three writes.
fn kept_by_a_trigger(archive: &str) -> String {
    format!(
        "{LIVE}
         CREATE TABLE {archive} (LIKE orders, PRIMARY KEY (id));
         INSERT INTO {archive} SELECT * FROM orders;
         CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF TG_OP <> 'INSERT' THEN DELETE FROM {archive} WHERE id = OLD.id; END IF;
             IF TG_OP <> 'DELETE' THEN INSERT INTO {archive} VALUES (NEW.*); END IF;
             RETURN NULL;
         END $$;
         CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep();
         ALTER TABLE orders DISABLE TRIGGER keep;
         INSERT INTO orders VALUES (101, 1, 1000001, '2026-06-01'), (102, 2, 1000002, '2026-06-01');
         UPDATE orders SET total = 777 WHERE id = 7;
         DELETE FROM orders WHERE id = 8;
         ALTER TABLE orders ENABLE TRIGGER keep;"
    )
}

async fn digest(url: &str, table: &str) -> (i64, Option<String>) {
    let mut connection = cutover::pg::connect(url).await.expect("the server is up");
    let question = format!(
        "SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t"
    );
    sqlx::query_as(AssertSqlSafe(question)).fetch_one(&mut connection).await.expect("a digest")
}

/// What `init` finds, and the exit code of a diff with its configuration.
fn init_and_diff(url: &str, folder: &Path, more: &[&str]) -> (Value, Option<i32>, String) {
    let init = support::cutover()
        .args(["init", "--force", "--format", "json", "--database-url", url, "--out"])
        .arg(folder)
        .output()
        .expect("cutover runs");
    let told = String::from_utf8_lossy(&init.stderr).into_owned();
    let found = serde_json::from_slice(&init.stdout).unwrap_or_else(|e| panic!("{e}: {told}"));
    let diff = diff(url, folder, &folder.join("cutover.toml"), more);
    (found, diff.0, diff.1)
}

fn diff(url: &str, folder: &Path, config: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = support::cutover()
        .args(["diff", "--quiet", "--repair", "--database-url", url, "--config"])
        .arg(config)
        .arg("--out")
        .arg(folder.join("run"))
        .args(more)
        .output()
        .expect("cutover runs");
    let told = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    (output.status.code(), told.concat())
}

/// A configuration that names a pair, as somebody might who trusts the names.
fn configured(folder: &Path, legacy: &str, more: &str) -> std::path::PathBuf {
    let path = folder.join("named.toml");
    let text = format!(
        "[[tables]]\nname = \"orders\"\nlegacy = \"{legacy}\"\npartitioned = \"public.orders\"\n{more}\n"
    );
    std::fs::write(&path, text).expect("our own folder");
    path
}

/// Tables that look like the legacy side of a live table and are not; with what a repair by them would take.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_of_a_live_table_is_touched_for_a_table_that_looks_like_its_legacy_side() {
    let retired = "
        CREATE TABLE orders_retired (LIKE orders, PRIMARY KEY (id));
        INSERT INTO orders_retired SELECT * FROM orders WHERE id <= 96;
        CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO orders_intermediate VALUES (NEW.*); RETURN NULL; END $$;
        CREATE TRIGGER carry AFTER INSERT ON orders_retired FOR EACH ROW EXECUTE FUNCTION carry();";
    let still_carrying = "
        CREATE TABLE orders_old (LIKE orders, PRIMARY KEY (id));
        INSERT INTO orders_old SELECT * FROM orders WHERE id <= 96;
        CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO orders VALUES (NEW.*); RETURN NULL; END $$;
        CREATE TRIGGER carry AFTER INSERT ON orders_old FOR EACH ROW EXECUTE FUNCTION carry();";
    let template = "
        CREATE SCHEMA partman;
        CREATE TABLE partman.template_public_orders (LIKE orders);
        CREATE TABLE partman.part_config (parent_table text, template_table text);
        INSERT INTO partman.part_config VALUES ('public.orders', 'partman.template_public_orders');";
    let blueprint = "
        CREATE SCHEMA partman;
        CREATE TABLE partman.orders (LIKE orders);
        CREATE TABLE partman.part_config (parent_table text, template_table text);
        INSERT INTO partman.part_config VALUES ('public.orders', 'partman.orders');";
    let copy = |name: &str| {
        format!(
            "CREATE TABLE {name} (LIKE orders); INSERT INTO {name} SELECT * FROM orders WHERE id <= 97;"
        )
    };
    let (backup, dated) = (copy("orders_backup"), copy("orders_20261101"));
    let detached = copy("orders_p2025_07");
    for (what, sql, legacy) in [
        ("a template", template, "partman.template_public_orders"),
        ("a template by another name", blueprint, "partman.orders"),
        ("a backup", &*backup, "public.orders_backup"),
        ("a dated copy", &dated, "public.orders_20261101"),
        ("a detached partition", &detached, "public.orders_p2025_07"),
        ("a retired table", retired, "public.orders_retired"),
        ("an old table whose trigger still carries", still_carrying, "public.orders_old"),
    ] {
        let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
        support::execute(&database.url, &format!("{LIVE}{sql}")).await;
        let before = digest(&database.url, "orders").await;
        let (found, ..) = init_and_diff(&database.url, folder.path(), &[]);
        assert_eq!(found["pairs"], serde_json::json!([]), "{what}: {found}");
        // Also somebody who writes the pair down by hand is kept from it.
        let config = configured(folder.path(), legacy, "");
        let (code, told) = diff(&database.url, folder.path(), &config, &[]);
        assert_eq!(code, Some(11), "{what}: {told}");
        assert!(told.contains("not mended") && told.contains("--repair-any"), "{what}: {told}");
        assert!(!folder.path().join("run/repair.sql").exists(), "{what}");
        assert_eq!(digest(&database.url, "orders").await, before, "{what}");
    }
}

/// After the swap the archive is what is mended, under whatever name, also if somebody wrote the pair down
/// without saying which side is written to.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_swap_the_archive_is_mended_and_the_live_table_is_not() {
    for (archive, by_init) in
        [("orders_archived", true), ("plain_orders", true), ("orders_archived", false)]
    {
        let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
        support::execute(&database.url, &kept_by_a_trigger(archive)).await;
        let before = digest(&database.url, "orders").await;
        let config = folder.path().join("cutover.toml");
        let (config, code, told) = if by_init {
            let (found, code, told) = init_and_diff(&database.url, folder.path(), &[]);
            assert_eq!(found["pairs"][0]["writes"], "partitioned", "{found}");
            (config, code, told)
        } else {
            let config = configured(folder.path(), &format!("public.{archive}"), "");
            let (code, told) = diff(&database.url, folder.path(), &config, &[]);
            (config, code, told)
        };
        assert_eq!(code, Some(11), "{told}");
        assert!(told.contains("2 inserts, 1 updates, 1 deletes"), "{told}");
        let file = std::fs::read_to_string(folder.path().join("run/repair.sql")).expect("a repair");
        let head: Vec<&str> = file.lines().take_while(|line| line.starts_with("--")).collect();
        let head = head.join("\n");
        assert!(
            head.contains("rewrites the legacy side")
                && head.contains("2 inserts, 1 updates, 1 deletes"),
            "{head}"
        );
        for _ in 0..2 {
            assert_eq!(repair(&database.url, &folder.path().join("run")), Ok(()));
            assert_eq!(digest(&database.url, "orders").await, before);
            assert_eq!(digest(&database.url, archive).await, before);
        }
        let (code, told) = diff(&database.url, folder.path(), &config, &[]);
        assert_eq!(code, Some(0), "{told}");
    }
}

/// While the application writes the partitioned side the archive is mended, and no write is undone or lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_mended_while_the_live_table_is_written() {
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    let more = "
        ALTER TABLE orders DISABLE TRIGGER keep;
        INSERT INTO orders SELECT g, 1 + g % 40, g, timestamp '2026-07-01' + g * interval '1 minute'
          FROM generate_series(1001, 9000) AS g;
        ALTER TABLE orders ENABLE TRIGGER keep;";
    support::execute(&database.url, &format!("{}{more}", kept_by_a_trigger("plain"))).await;
    let config = configured(folder.path(), "public.plain", "");
    let (code, told) = diff(&database.url, folder.path(), &config, &[]);
    assert_eq!(code, Some(11), "{told}");
    let stop = tokio_util::sync::CancellationToken::new();
    let (url, stopped) = (database.url.clone(), stop.clone());
    let writer = tokio::spawn(async move {
        let mut connection = cutover::pg::connect(&url).await.expect("the server is up");
        let mut writes = 0_i64;
        while !stopped.is_cancelled() {
            writes += 1;
            let statements = format!(
                "INSERT INTO orders VALUES ({id}, 1 + {writes} % 40, 5, '2026-08-01');
                 UPDATE orders SET total = total + 1, org_id = 1 + org_id % 40 WHERE id = 1001 + {writes} % 8000;
                 DELETE FROM orders WHERE id = 1001 + ({writes} * 7) % 8000",
                id = 100_000 + writes
            );
            let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await;
            done.unwrap_or_else(|e| panic!("the application's write failed: {e}"));
        }
        writes
    });
    let (url, run) = (database.url.clone(), folder.path().join("run"));
    let applied = tokio::task::spawn_blocking(move || repair(&url, &run)).await;
    assert_eq!(applied.expect("it does not panic"), Ok(()));
    stop.cancel();
    let writes = writer.await.expect("it does not panic");
    assert!(writes > 20, "only {writes} writes");
    let (code, told) = diff(&database.url, folder.path(), &config, &[]);
    assert_eq!(code, Some(0), "{told}");
}

/// What speaks against a repair, and what `--repair-any` overrides.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_rewrites_much_or_by_doubt_is_written_only_if_that_is_asked_for() {
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, &kept_by_a_trigger("plain")).await;
    let run = folder.path().join("run");
    let config = configured(folder.path(), "public.plain", "");
    let compare = |config: &Path, more: &[&str]| {
        let (_, told) = diff(&database.url, folder.path(), config, more);
        let record = std::fs::read_to_string(run.join("run.json")).expect("a record");
        let record: Value = serde_json::from_str(&record).expect("JSON");
        let evidence: DiffEvidence =
            serde_json::from_value(record["diff"].clone()).expect("evidence");
        assert_eq!(evidence.repair.is_some(), run.join("repair.sql").exists(), "{told}");
        (evidence.repairs[0].clone(), told)
    };
    let (plan, _) = compare(&config, &[]);
    assert_eq!((plan.refused, plan.deletes, plan.updates, plan.inserts), (None, 1, 1, 2));
    // Against what the triggers say.
    let legacy = configured(folder.path(), "public.plain", "writes = \"legacy\"");
    let (plan, told) = compare(&legacy, &[]);
    assert!(plan.refused.as_ref().is_some_and(|why| why.contains("`keep`")), "{told}");
    // More than a tenth; and the file of the comparison before is gone.
    support::execute(
        &database.url,
        "ALTER TABLE orders DISABLE TRIGGER keep; UPDATE orders SET total = -1 WHERE id <= 20",
    )
    .await;
    let declared = configured(folder.path(), "public.plain", "writes = \"partitioned\"");
    let (plan, told) = compare(&declared, &[]);
    assert!(plan.refused.as_ref().is_some_and(|why| why.contains("more than a tenth")), "{told}");
    let (plan, _) = compare(&declared, &["--repair-any"]);
    assert_eq!(plan.refused, None);
    // Each side carries to the other: a repair of one would be carried on to the other.
    support::execute(
        &database.url,
        "ALTER TABLE orders ENABLE TRIGGER keep;
         UPDATE plain SET total = o.total FROM orders o WHERE o.id = plain.id AND o.total <> plain.total;
         CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF pg_trigger_depth() < 2 THEN DELETE FROM orders WHERE id = OLD.id; END IF; RETURN NULL; END $$;
         CREATE TRIGGER back AFTER DELETE ON plain FOR EACH ROW EXECUTE FUNCTION back();",
    )
    .await;
    for config in [&config, &declared] {
        let (plan, told) = compare(config, &[]);
        assert!(plan.refused.as_ref().is_some_and(|why| why.contains("`back`")), "{told}");
    }
}

/// What the server could not run is not offered, whatever is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_cannot_run_is_not_offered() {
    let citus = "CREATE TABLE pg_dist_partition (logicalrelid regclass);
                 INSERT INTO pg_dist_partition VALUES ('plain')";
    let chunks = "CREATE SCHEMA _timescaledb_catalog;
                  CREATE TABLE _timescaledb_catalog.hypertable (id int, schema_name name, table_name name);
                  CREATE TABLE _timescaledb_catalog.chunk (hypertable_id int, compressed_chunk_id int);
                  INSERT INTO _timescaledb_catalog.hypertable VALUES (1, 'public', 'orders');
                  INSERT INTO _timescaledb_catalog.chunk VALUES (1, 7)";
    for (sql, why) in [(citus, "Citus"), (chunks, "compressed chunks")] {
        let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
        support::execute(&database.url, &format!("{} {sql}", kept_by_a_trigger("plain"))).await;
        let config = configured(folder.path(), "public.plain", "");
        let (_, told) = diff(&database.url, folder.path(), &config, &["--repair-any"]);
        assert!(told.contains(why) && told.contains("not mended"), "{told}");
        assert!(!folder.path().join("run/repair.sql").exists());
    }
}

/// Rows that went since the comparison are not deleted by it beyond the tenth.
#[tokio::test(flavor = "multi_thread")]
async fn a_repair_stops_where_it_would_rewrite_more_than_was_found() {
    let (database, folder) = (support::database(), tempfile::tempdir().expect("a folder"));
    support::execute(&database.url, &kept_by_a_trigger("plain")).await;
    let config = configured(folder.path(), "public.plain", "");
    diff(&database.url, folder.path(), &config, &[]);
    let gone =
        "ALTER TABLE orders DISABLE TRIGGER keep; DELETE FROM orders WHERE org_id IN (1, 3, 4)";
    support::execute(&database.url, gone).await;
    let before = digest(&database.url, "plain").await;
    let refused = repair(&database.url, &folder.path().join("run")).expect_err("it stops");
    assert!(refused.contains("more than a tenth"), "{refused}");
    let after = digest(&database.url, "plain").await;
    assert!(before.0 - after.0 <= 10, "{before:?} {after:?}");
}
