//! What `--wal` makes of every way to write, and of tables whose changes the log does not hold.

use cutover::config::TablePair;
use cutover::diff::{WAL_KEEP_BYTES, follow};
use cutover::evidence::finding::WalEvidence;

use crate::diff::{revenue, support};
use crate::support::reference_database;

/// What the log tells of statements.
async fn told(url: &str, tables: &[TablePair], statements: &str) -> WalEvidence {
    told_of(url, tables, &[statements]).await
}

/// The same of statements that cannot be sent together.
async fn told_of(url: &str, tables: &[TablePair], statements: &[&str]) -> WalEvidence {
    let oracle = follow(url, tables, WAL_KEEP_BYTES).await.expect("it can be followed");
    for statements in statements {
        support::execute(url, statements).await;
    }
    oracle.finish().await.expect("it is read")
}

fn pair(name: &str) -> Vec<TablePair> {
    let pair = TablePair {
        name: name.into(),
        legacy: name.into(),
        partitioned: format!("{name}_p"),
        key: vec!["id".into()],
        trigger: None,
        changed_at: None,
        ..TablePair::reference().remove(0)
    };
    vec![pair]
}

/// A trigger function that carries each write of `notes` to `notes_p`.
const CARRY: &str = "
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM notes_p WHERE id = OLD.id; END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO notes_p SELECT NEW.*; END IF;
    RETURN NULL; END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON notes FOR EACH ROW EXECUTE FUNCTION carry();";

const NOTES: &str =
    "CREATE TABLE notes (id bigint PRIMARY KEY, org_id bigint NOT NULL, body text);";

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_by_inheritance_is_followed_to_its_root() {
    let database = support::database();
    let sql = format!(
        "{NOTES} CREATE TABLE notes_p (LIKE notes);
         CREATE TABLE notes_low (CHECK (id < 100)) INHERITS (notes_p);
         CREATE TABLE notes_high (CHECK (id >= 100)) INHERITS (notes_p);
         CREATE TABLE notes_highest () INHERITS (notes_high);
         CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.id < 100 THEN INSERT INTO notes_low VALUES (NEW.*);
             ELSIF NEW.id < 1000 THEN INSERT INTO notes_high VALUES (NEW.*);
             ELSE INSERT INTO notes_highest VALUES (NEW.*); END IF;
             RETURN NULL; END $$;
         CREATE TRIGGER route BEFORE INSERT ON notes_p FOR EACH ROW EXECUTE FUNCTION route();
         {CARRY}"
    );
    support::execute(&database.url, &sql).await;
    let healthy = "INSERT INTO notes SELECT i * 7, i % 3, 'x' FROM generate_series(1, 300) AS i;
        UPDATE notes SET body = 'y' WHERE id < 500; DELETE FROM notes WHERE id = 7";
    let clean = told(&database.url, &pair("notes"), healthy).await;
    assert_eq!((clean.diverged, &clean.divergences), (0, &vec![]), "{clean:?}");
    assert!(clean.transactions > 0 && clean.changes > 600, "{clean:?}");
    let rogue = "UPDATE notes_highest SET body = 'z' WHERE id = 1400";
    let seen = told(&database.url, &pair("notes"), rogue).await;
    assert_eq!(seen.diverged, 1, "{seen:?}");
    assert_eq!(seen.divergences[0].detail, "1 written in the twin alone (id=1400)");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_changes_are_not_in_the_log_are_not_known() {
    let database = support::database();
    let sql = format!(
        "{NOTES} CREATE TABLE notes_p (LIKE notes) PARTITION BY RANGE (id);
         CREATE UNLOGGED TABLE notes_low PARTITION OF notes_p FOR VALUES FROM (0) TO (100);
         CREATE TABLE notes_high PARTITION OF notes_p FOR VALUES FROM (100) TO (1000); {CARRY}"
    );
    support::execute(&database.url, &sql).await;
    let seen = told(&database.url, &pair("notes"), "INSERT INTO notes VALUES (7, 1, 'x')").await;
    assert_eq!(seen.diverged, 0, "{seen:?}");
    assert!(seen.incomplete_reason.contains("notes_low"), "{seen:?}");
    let far = "ALTER TABLE notes_low SET LOGGED;
        CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
        CREATE FOREIGN TABLE notes_far PARTITION OF notes_p FOR VALUES FROM (1000) TO (2000) SERVER far";
    support::execute(&database.url, far).await;
    let seen = told(&database.url, &pair("notes"), "INSERT INTO notes VALUES (8, 1, 'x')").await;
    assert_eq!(seen.diverged, 0, "{seen:?}");
    assert!(seen.incomplete_reason.contains("notes_far"), "{seen:?}");
    let near = "DROP FOREIGN TABLE notes_far";
    support::execute(&database.url, near).await;
    let seen = told(&database.url, &pair("notes"), "INSERT INTO notes VALUES (9, 1, 'x')").await;
    assert_eq!((seen.diverged, seen.transactions), (0, 1), "{seen:?}");
    assert_eq!(seen.incomplete_reason, "", "{seen:?}");
}

/// A trigger that carries only what changes leaves the twin alone where nothing does.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_nothing_is_no_divergence() {
    let database = support::database();
    let sql = format!(
        "{NOTES} CREATE TABLE notes_p (LIKE notes, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE notes_all PARTITION OF notes_p FOR VALUES FROM (0) TO (1000); {CARRY}
         INSERT INTO notes SELECT i, i % 3, 'x''y' FROM generate_series(1, 9) AS i;
         INSERT INTO notes VALUES (10, 1, NULL);
         DROP TRIGGER carry ON notes;
         CREATE TRIGGER carry AFTER UPDATE ON notes FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
             EXECUTE FUNCTION carry()"
    );
    support::execute(&database.url, &sql).await;
    for identity in ["DEFAULT", "FULL"] {
        let set = format!("ALTER TABLE notes REPLICA IDENTITY {identity}");
        support::execute(&database.url, &set).await;
        let same = "UPDATE notes SET body = body";
        let seen = told(&database.url, &pair("notes"), same).await;
        assert_eq!(seen.diverged, 0, "{identity}: {seen:?}");
        let other = "UPDATE notes SET body = body || 'z' WHERE id = 4";
        let seen = told(&database.url, &pair("notes"), other).await;
        assert_eq!(seen.diverged, 0, "{identity}: {seen:?}");
        let rogue = format!(
            "ALTER TABLE notes DISABLE TRIGGER carry; UPDATE notes SET body = 'rogue {identity}' WHERE id = 5"
        );
        let seen = told(&database.url, &pair("notes"), &rogue).await;
        assert_eq!(seen.diverged, 1, "{identity}: {seen:?}");
        let mend = format!(
            "UPDATE notes_p SET body = 'rogue {identity}' WHERE id = 5; ALTER TABLE notes ENABLE TRIGGER carry"
        );
        support::execute(&database.url, &mend).await;
    }
}

/// Writes of every kind, each in a transaction of its own; carried by the reference triggers.
const WAYS: [(&str, &str); 6] = [
    (
        "MERGE",
        "MERGE INTO revenue_transactions AS t USING (VALUES (1, 5.0), (777001, 6.0)) AS s (id, amount) ON t.id = s.id
         WHEN MATCHED THEN UPDATE SET amount = s.amount, date = t.date + 40
         WHEN NOT MATCHED THEN INSERT (id, org_id, date, amount) VALUES (s.id, 1, current_date, s.amount)",
    ),
    ("COPY", "COPY revenue_transactions (id, org_id, date, amount) FROM PROGRAM 'printf \"777002\\t1\\t2026-11-01\\t5\\n\"'"),
    ("another partition", "UPDATE revenue_transactions SET date = date - 45 WHERE id IN (2, 3)"),
    (
        "subtransactions",
        "BEGIN; UPDATE revenue_transactions SET amount = 1 WHERE id = 4; SAVEPOINT a;
         DELETE FROM revenue_transactions WHERE id = 5; ROLLBACK TO a; SAVEPOINT b;
         UPDATE revenue_transactions SET amount = 2 WHERE id = 6; RELEASE b; COMMIT",
    ),
    (
        "a block with an error",
        "DO $$ BEGIN BEGIN DELETE FROM revenue_transactions WHERE id = 7; RAISE 'no'; EXCEPTION WHEN raise_exception THEN
            UPDATE revenue_transactions SET amount = 3 WHERE id = 7; END; END $$",
    ),
    ("TRUNCATE", "TRUNCATE revenue_transactions"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_write_is_followed() {
    let database = reference_database().await;
    for (way, statement) in WAYS {
        let seen = told(&database.url, &revenue(), statement).await;
        assert_eq!((seen.diverged, seen.transactions), (0, 1), "{way}: {seen:?}");
    }
    // The same, with nothing that carries it.
    let database = reference_database().await;
    let off = "ALTER TABLE revenue_transactions DISABLE TRIGGER USER";
    support::execute(&database.url, off).await;
    for (way, statement) in WAYS {
        let seen = told(&database.url, &revenue(), statement).await;
        assert_eq!(seen.diverged, 1, "{way}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_transaction_counts_when_it_is_committed() {
    let server = tokio::task::spawn_blocking(support::start_server).await.expect("a server");
    let url = server.database_url().to_owned();
    support::fill(&url).await;
    let mut connection = cutover::pg::connect(&url).await.expect("it answers");
    let allowed: i32 =
        sqlx::query_scalar("SELECT current_setting('max_prepared_transactions')::int")
            .fetch_one(&mut connection)
            .await
            .expect("a number");
    assert!(allowed > 0, "the rig's server takes no prepared transactions");
    let carried = [
        "BEGIN; UPDATE revenue_transactions SET amount = 1 WHERE id = 4; PREPARE TRANSACTION 'one'",
        "BEGIN; UPDATE revenue_transactions SET amount = 2 WHERE id = 5; PREPARE TRANSACTION 'two'",
        "COMMIT PREPARED 'one'",
        "ROLLBACK PREPARED 'two'",
    ];
    let seen = told_of(&url, &revenue(), &carried).await;
    assert_eq!((seen.diverged, seen.transactions), (0, 1), "{seen:?}");
    let rogue = [
        "BEGIN; UPDATE revenue_transactions_partitioned SET amount = 9 WHERE id = 4; PREPARE TRANSACTION 'one'",
        "COMMIT PREPARED 'one'",
    ];
    let seen = told_of(&url, &revenue(), &rogue).await;
    assert_eq!(seen.diverged, 1, "{seen:?}");
}
