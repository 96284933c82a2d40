//! The seed act against a real server: what it says it loaded is what is there, whatever happens.

use crate::support;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::TestDatabase;
use chrono::NaiveDate;
use cutover::act::{ActContext, Event};
use cutover::config::TablePair;
use cutover::error::Error;
use cutover::evidence::manifest::Manifest;
use cutover::seed::{self, Existing, Options, Profile, Replicate};
use cutover::{pg, platform};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio_util::sync::CancellationToken;

const PAIRS: [(&str, &str, &str, &str); 3] = [
    ("revenue", "revenue_transactions", "revenue_transactions_partitioned", "amount"),
    ("expense", "expense_transactions", "expense_transactions_partitioned", "amount"),
    ("cash_balance", "daily_cash_balances", "daily_cash_balances_partitioned", "closing"),
];

fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 6, 30).expect("a valid day")
}

fn options(orgs: u64) -> Options {
    Options { orgs, as_of: as_of(), ..Options::default() }
}

async fn connect(database: &TestDatabase) -> PgConnection {
    pg::connect(&database.url).await.expect("the database was just made")
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
}

async fn text(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// A database with the reference schema.
async fn reference_database() -> TestDatabase {
    let database = support::database();
    platform::migrate(&database.url, as_of()).await.expect("the database is empty");
    database
}

async fn load(database: &TestDatabase, options: &Options) -> Manifest {
    let loaded =
        seed::run(&database.url, &Profile::reference(), options, &ActContext::silent()).await;
    loaded.unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()))
}

fn digests(manifest: &Manifest) -> Vec<(String, u64, String, String)> {
    let of = |t: &cutover::evidence::manifest::TableManifest| {
        (t.name.clone(), t.rows, t.amount_sum.clone(), t.digest.clone())
    };
    manifest.tables.iter().map(of).collect()
}

/// Every trigger with its state, index, constraint and column default of the public schema.
async fn catalog(connection: &mut PgConnection) -> String {
    text(
        connection,
        "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
             SELECT format('trigger %s %s %s', tgrelid::regclass, tgname, tgenabled) AS line
               FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL
             SELECT format('index %s valid %s of %s', pg_get_indexdef(i.indexrelid), i.indisvalid,
                           (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = i.indexrelid))
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
              WHERE c.relnamespace = 'public'::regnamespace
             UNION ALL
             SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
               FROM pg_constraint WHERE connamespace = 'public'::regnamespace) AS everything",
    )
    .await
}

async fn assert_both_sides_hold(connection: &mut PgConnection, manifest: &Manifest) {
    for (name, legacy, twin, amount) in PAIRS {
        let table =
            manifest.tables.iter().find(|table| table.name == name).expect("in the manifest");
        for side in [legacy, twin] {
            let found =
                text(connection, &format!("SELECT count(*) || ' ' || sum({amount}) FROM {side}"))
                    .await;
            assert_eq!(found, format!("{} {}", table.rows, table.amount_sum), "{side}");
        }
        let differing = text(
            connection,
            &format!(
                "SELECT count(*)::text FROM (
                    (SELECT ROW(l.*)::text FROM {legacy} l EXCEPT ALL SELECT ROW(p.*)::text FROM {twin} p)
                    UNION ALL
                    (SELECT ROW(p.*)::text FROM {twin} p EXCEPT ALL SELECT ROW(l.*)::text FROM {legacy} l)) d"
            ),
        )
        .await;
        assert_eq!(differing, "0", "{name}");
    }
}

#[test]
fn the_content_is_pinned() {
    let manifest = seed::manifest(&Profile::reference(), &options(1000)).expect("a valid run");
    let found = digests(&manifest);
    let found: Vec<_> =
        found.iter().map(|(n, r, s, d)| (n.as_str(), *r, s.as_str(), d.as_str())).collect();
    assert_eq!(found, GOLDEN);
}

/// Pinned: a change here is a change of every user's data, and wants a line in the changelog.
const GOLDEN: [(&str, u64, &str, &str); 3] = [
    ("revenue", 4870, "2624354.66", "54b57f9448f5d580e3e9596c301c69d8"),
    ("expense", 4152, "8600808.14", "8094fbbfbb122f47f512a0222388827e"),
    ("cash_balance", 1203, "17280217.29", "84cb84b5b467c40c7d17dfacf79c9bf1"),
];

#[test]
fn another_seed_or_day_is_other_content() {
    let profile = Profile::reference();
    let digest =
        |options: &Options| digests(&seed::manifest(&profile, options).expect("a valid run"));
    let base = digest(&options(50));
    assert_ne!(base, digest(&Options { rng_seed: 43, ..options(50) }));
    let next_day = as_of().succ_opt().expect("not the last day");
    assert_ne!(base, digest(&Options { as_of: next_day, ..options(50) }));
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_indexes_are_as_before_and_ids_go_on() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    execute(&mut connection, "ALTER TABLE expense_transactions ENABLE REPLICA TRIGGER expense_transactions_dual_write_trigger").await;
    execute(
        &mut connection,
        "ALTER TABLE daily_cash_balances DISABLE TRIGGER daily_cash_balances_dual_write_trigger",
    )
    .await;
    execute(&mut connection, "ALTER TABLE revenue_transactions ADD CONSTRAINT revenue_org FOREIGN KEY (org_id) REFERENCES organizations (id) DEFERRABLE").await;
    execute(&mut connection, "ALTER TABLE expense_transactions ADD CONSTRAINT unique_later UNIQUE (org_id, id) DEFERRABLE INITIALLY DEFERRED").await;
    let before = catalog(&mut connection).await;
    let manifest = load(&database, &options(300)).await;
    assert_eq!(catalog(&mut connection).await, before);
    assert_both_sides_hold(&mut connection, &manifest).await;

    let next = text(&mut connection, "INSERT INTO revenue_transactions (org_id, date, amount) VALUES (1, '2025-06-30', 1) RETURNING id::text").await;
    let largest = text(
        &mut connection,
        "SELECT max(id)::text FROM revenue_transactions WHERE org_id <> 1 OR amount <> 1",
    )
    .await;
    let number = |text: String| text.parse::<i64>().expect("a number");
    assert!(number(next) > number(largest));
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_say_how_many_transactions_they_have() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    load(&database, &options(2000)).await;
    let wrong = text(
        &mut connection,
        "SELECT count(*)::text FROM organizations o WHERE transaction_count <>
             (SELECT count(*) FROM revenue_transactions WHERE org_id = o.id)
           + (SELECT count(*) FROM expense_transactions WHERE org_id = o.id)
           + (SELECT count(*) FROM daily_cash_balances WHERE org_id = o.id)",
    )
    .await;
    assert_eq!(wrong, "0");
    assert_eq!(text(&mut connection, "SELECT count(*)::text FROM organizations").await, "2000");
    assert_eq!(
        text(
            &mut connection,
            "SELECT (min(transaction_count) >= 1 AND max(transaction_count) > 200)::text FROM organizations"
        )
        .await,
        "true"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_postgresql_reads() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    load(&database, &options(400)).await;
    let tables = [
        ("organizations", "organizations", "id"),
        ("revenue", "revenue_transactions", "org_id"),
        ("expense", "expense_transactions", "org_id"),
        ("cash_balance", "daily_cash_balances", "org_id"),
    ];
    let mut compared = 0;
    for org in 1..=400 {
        let shown =
            seed::show_org(&Profile::reference(), &options(400), org).expect("one of the orgs");
        for (name, table, key) in tables {
            let columns: Vec<String> = match shown.iter().find(|row| row.table == name) {
                Some(row) => row.values.keys().cloned().collect(),
                None => continue,
            };
            let list = columns.join("::text, ");
            let sql =
                format!("SELECT ARRAY[{list}::text] FROM {table} WHERE {key} = {org} ORDER BY id");
            let found: Vec<Vec<Option<String>>> = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_all(&mut connection)
                .await
                .expect("reads");
            let values = |row: &seed::ShownRow| -> Vec<Option<String>> {
                row.values.values().map(|value| value.as_str().map(str::to_owned)).collect()
            };
            let promised: Vec<_> =
                shown.iter().filter(|row| row.table == name).map(values).collect();
            assert_eq!(found, promised, "org {org}, {name}");
            compared += found.len();
        }
    }
    assert!(compared > 2000, "{compared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_empty_is_refused() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    load(&database, &options(20)).await;
    let rows = text(&mut connection, "SELECT count(*)::text FROM organizations").await;
    let again =
        seed::run(&database.url, &Profile::reference(), &options(20), &ActContext::silent()).await;
    let Err(error @ Error::Usage { .. }) = again else { panic!("{again:?}") };
    let message = error.to_string();
    assert!(message.contains("organizations") && message.contains(&rows), "{message}");

    let append = Options { existing: Existing::Append, ..options(20) };
    load(&database, &append).await;
    assert_eq!(
        text(&mut connection, "SELECT count(*) || ' ' || max(id) FROM organizations").await,
        "40 40"
    );

    let fresh = load(&database, &Options { existing: Existing::Reset, ..options(30) }).await;
    assert_both_sides_hold(&mut connection, &fresh).await;
    assert_eq!(fresh.orgs, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_puts_things_back_and_is_resumed() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    let before = catalog(&mut connection).await;
    let promised =
        digests(&seed::manifest(&Profile::reference(), &options(20_000)).expect("valid"));

    let stop = CancellationToken::new();
    let (stopping, told) = (stop.clone(), Arc::new(AtomicU64::new(0)));
    let context = ActContext::new(
        move |event| {
            // Every table sends once per chunk: stop within the second chunk.
            if matches!(event, Event::Advanced(rows) if rows > 1 && told.fetch_add(1, Ordering::SeqCst) == 9)
            {
                stopping.cancel();
            }
        },
        stop,
    );
    let options = Options { connections: 1, ..options(20_000) };
    let outcome = seed::run(&database.url, &Profile::reference(), &options, &context).await;
    assert!(matches!(outcome, Err(Error::Interrupted)), "{outcome:?}");
    assert_eq!(catalog(&mut connection).await, before);
    assert!(support::says_unfinished(&database.url).await);
    let orgs: i64 = text(&mut connection, "SELECT count(*)::text FROM organizations")
        .await
        .parse()
        .expect("a number");
    assert!((1..20_000).contains(&orgs), "{orgs}");

    let append = Options { existing: Existing::Append, ..options.clone() };
    let refused =
        seed::run(&database.url, &Profile::reference(), &append, &ActContext::silent()).await;
    assert!(
        matches!(&refused, Err(Error::Usage { what, .. }) if what.contains("--append")),
        "{refused:?}"
    );
    let other = Options { rng_seed: 7, existing: Existing::Resume, ..options.clone() };
    let refused =
        seed::run(&database.url, &Profile::reference(), &other, &ActContext::silent()).await;
    assert!(
        matches!(&refused, Err(Error::Usage { what, .. }) if what.contains("--rng-seed")),
        "{refused:?}"
    );

    let resumed = load(&database, &Options { existing: Existing::Resume, ..options }).await;
    assert_eq!(digests(&resumed), promised);
    assert_both_sides_hold(&mut connection, &resumed).await;
    assert_eq!(catalog(&mut connection).await, before);
    assert!(!support::says_unfinished(&database.url).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_pairs_can_be_seeded_alone() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    let mut expense = TablePair::reference().swap_remove(1);
    expense.name = "costs".into();
    let profile =
        Profile::reference().only(std::slice::from_ref(&expense)).expect("one of its pairs");
    let loaded = seed::run(&database.url, &profile, &options(50), &ActContext::silent()).await;
    let manifest = loaded.unwrap_or_else(|error| panic!("{error}"));
    let [table] = manifest.tables.as_slice() else { panic!("{manifest:?}") };
    assert_eq!(table.name, "costs");
    let rows = text(
        &mut connection,
        "SELECT concat_ws(' ', (SELECT count(*) FROM organizations),
             (SELECT count(*) FROM expense_transactions),
             (SELECT count(*) FROM expense_transactions_partitioned),
             (SELECT count(*) FROM revenue_transactions), (SELECT count(*) FROM daily_cash_balances))",
    );
    assert_eq!(rows.await, format!("50 {0} {0} 0 0", table.rows));

    expense.partitioned = "public.costs".into();
    let refused = Profile::reference().only(&[expense]);
    assert!(
        matches!(&refused, Err(Error::Usage { what, .. }) if what.contains("public.costs")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_triggers_carry_the_same_rows() {
    let database = reference_database().await;
    let mut connection = connect(&database).await;
    let manifest =
        load(&database, &Options { replicate: Replicate::Trigger, ..options(100) }).await;
    for (name, _, twin, amount) in PAIRS {
        let table =
            manifest.tables.iter().find(|table| table.name == name).expect("in the manifest");
        let found =
            text(&mut connection, &format!("SELECT count(*) || ' ' || sum({amount}) FROM {twin}"))
                .await;
        assert_eq!(found, format!("{} {}", table.rows, table.amount_sum), "{twin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_does_not_fit_is_refused_before_the_first_row() {
    let cases = [
        ("DROP TABLE revenue_transactions_p2024_02", "2024-02-01"),
        ("ALTER TABLE expense_transactions RENAME vendor TO supplier", "vendor"),
        ("ALTER TABLE revenue_transactions ADD COLUMN channel text NOT NULL", "channel"),
        ("ALTER TABLE revenue_transactions ALTER COLUMN customer SET NOT NULL", "customer"),
        ("ALTER TABLE revenue_transactions ALTER COLUMN property_id TYPE integer", "property_id"),
        ("ALTER TABLE revenue_transactions ALTER COLUMN amount TYPE numeric(14, 4)", "amount"),
        ("DROP TABLE daily_cash_balances_p3", "daily_cash_balances_partitioned"),
        ("DROP TABLE daily_cash_balances_partitioned", "daily_cash_balances_partitioned"),
    ];
    for (change, named) in cases {
        let database = reference_database().await;
        let mut connection = connect(&database).await;
        execute(&mut connection, change).await;
        let outcome =
            seed::run(&database.url, &Profile::reference(), &options(500), &ActContext::silent())
                .await;
        let Err(error @ Error::Usage { .. }) = outcome else { panic!("{change}: {outcome:?}") };
        assert!(error.to_string().contains(named), "{change}: {error}");
        assert_eq!(text(&mut connection, "SELECT count(*)::text FROM organizations").await, "0");
        assert_eq!(
            text(&mut connection, "SELECT (to_regnamespace('cutover_seed') IS NULL)::text").await,
            "true"
        );
    }
}

/// Another platform's tables: other names, cents, timestamps without zone, jsonb, a text key.
const OTHER_SCHEMA: &str = r#"
    CREATE TYPE channel AS ENUM ('web', 'desk');
    CREATE TABLE tenants (tenant_no integer PRIMARY KEY, label varchar(400) NOT NULL);
    CREATE TABLE ledger (
        tenant integer NOT NULL REFERENCES tenants,
        entry_no text NOT NULL,
        amount_cents integer NOT NULL,
        occurred_at timestamp NOT NULL,
        booked date NOT NULL,
        extra jsonb,
        via channel NOT NULL,
        rate numeric(9, 4) NOT NULL,
        token uuid NOT NULL,
        flag boolean,
        weight double precision,
        PRIMARY KEY (tenant, entry_no)
    );
    CREATE TABLE ledger_parts (
        tenant integer NOT NULL, entry text NOT NULL, amount_cents integer NOT NULL,
        occurred_at timestamp NOT NULL, booked date NOT NULL, extra jsonb, via channel NOT NULL,
        rate numeric(9, 4) NOT NULL, token uuid NOT NULL, flag boolean, weight double precision,
        PRIMARY KEY (tenant, entry, booked)
    ) PARTITION BY RANGE (booked);
    CREATE TABLE ledger_parts_old PARTITION OF ledger_parts FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
    CREATE TABLE ledger_parts_new PARTITION OF ledger_parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
"#;

const OTHER_PROFILE: &str = r#"
name = "other"
[calendar]
months = 12
[[tables]]
name = "tenants"
legacy = "tenants"
columns = [
    { name = "tenant_no", type = "integer", generator = "org" },
    { name = "label", generator = { fake = { kind = "company", edge_share = 0.3 } } },
]
[[tables]]
name = "ledger"
legacy = "ledger"
partitioned = "ledger_parts"
share = 1.0
amount = "amount_cents"
columns = [
    { name = "tenant", type = "integer", generator = { foreign_key = { table = "tenants" } } },
    { name = "entry_no", partitioned = "entry", generator = { label = { prefix = "E" } } },
    { name = "amount_cents", type = "integer", generator = { money = { percentiles = ["0.01", "12.00", "300.00", "9000.00"], negative_share = 0.1 } } },
    { name = "booked", generator = "date" },
    { name = "occurred_at", type = "timestamp", generator = { moment = { on = "booked", edge_share = 0.2 } } },
    { name = "extra", type = "jsonb", generator = { choice = { from = "extras.csv" } }, null_share = 0.3 },
    { name = "via", generator = { choice = { from = "channels.csv" } } },
    { name = "rate", generator = { decimal = { min = "-3.0000", max = "12345.6789" } } },
    { name = "token", type = "uuid", generator = { sequence = {} } },
    { name = "flag", type = "boolean", generator = { constant = "true" }, null_share = 0.0 },
    { name = "weight", type = "double", generator = { int = { min = -5, max = 5 } } },
]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_needs_a_profile_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    write("other.seed.toml", OTHER_PROFILE);
    write(
        "extras.csv",
        "value,weight\n\"{\"\"a\"\":1}\",3\n[],1\n\"{\"\"b\"\":[\"\"é🙂\"\"]}\",1\n",
    );
    write("channels.csv", "value,weight\nweb,3\ndesk,1\n");
    let profile = Profile::read(&folder.path().join("other.seed.toml")).expect("a valid profile");
    let database = support::database();
    let mut connection = connect(&database).await;
    execute(&mut connection, OTHER_SCHEMA).await;
    let before = catalog(&mut connection).await;

    let outcome = seed::run(&database.url, &profile, &options(300), &ActContext::silent()).await;
    let manifest = outcome.unwrap_or_else(|error| panic!("{error}"));
    let table = &manifest.tables[0];
    for side in ["ledger", "ledger_parts"] {
        let found = text(
            &mut connection,
            &format!("SELECT count(*) || ' ' || sum(amount_cents) FROM {side}"),
        )
        .await;
        assert_eq!(found, format!("{} {}", table.rows, table.amount_sum), "{side}");
    }
    let differing = "SELECT count(*)::text FROM (SELECT ROW(l.*)::text FROM ledger l
                     EXCEPT ALL SELECT ROW(p.tenant, p.entry, p.amount_cents, p.occurred_at, p.booked,
                     p.extra, p.via, p.rate, p.token, p.flag, p.weight)::text FROM ledger_parts p) d";
    assert_eq!(text(&mut connection, differing).await, "0");
    assert_eq!(catalog(&mut connection).await, before);

    let list = "tenant, entry_no, amount_cents, booked, occurred_at, extra, via, rate, token, flag, weight";
    let casts = list.replace(',', "::text,");
    let sql = format!("SELECT ARRAY[{casts}::text] FROM ledger WHERE tenant = 7 ORDER BY token");
    let found: Vec<Vec<Option<String>>> =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("reads");
    let shown = seed::show_org(&profile, &options(300), 7).expect("one of the orgs");
    assert_eq!(found.len(), shown.len() - 1, "and one row of the tenant itself");
    for (found, shown) in found.iter().zip(shown.iter().filter(|row| row.table == "ledger")) {
        for (name, value) in list.split(", ").zip(found) {
            let shown = shown.values[name]
                .as_str()
                .map(|text| if name == "extra" { text.replace(":", ": ") } else { text.into() });
            assert_eq!(*value, shown, "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_profile_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.toml");
    let cases = [
        (OTHER_PROFILE.replace("months = 12", "mouths = 12"), "mouths"),
        (OTHER_PROFILE.replace("share = 1.0", "share = 0.0"), "share"),
        (OTHER_PROFILE.replace("on = \"booked\"", "on = \"later\""), "ledger.occurred_at"),
        (OTHER_PROFILE.replace("extras.csv", "nowhere.csv"), "nowhere.csv"),
        (OTHER_PROFILE.replace("constant = \"true\"", "constant = \"maybe\""), "ledger.flag"),
        (OTHER_PROFILE.replace("table = \"tenants\"", "table = \"nobody\""), "nobody"),
        (OTHER_PROFILE.replace("9000.00", "90000000.00"), "ledger.amount_cents"),
    ];
    std::fs::write(folder.path().join("extras.csv"), "value,weight\n{},1\n").expect("writes");
    std::fs::write(folder.path().join("channels.csv"), "value,weight\nweb,1\n").expect("writes");
    for (profile, named) in cases {
        std::fs::write(&path, profile).expect("writes");
        let made = Profile::read(&path).and_then(|profile| seed::manifest(&profile, &options(5)));
        let Err(Error::Usage { what, .. }) = &made else { panic!("{named}: {made:?}") };
        assert!(what.contains(named), "{named}: {what}");
    }
}
