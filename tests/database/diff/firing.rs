//! Triggers of a legacy table that is itself divided: each partition has its own, and each may be switched.

use cutover::diff::Options;
use cutover::evidence::finding::Finding;

use crate::diff::{BOTH, errors, pair};
use crate::support::{self, compare};

/// A legacy side in three partitions, and a twin in two; a trigger for each row.
const DIVIDED: &str = "
CREATE TABLE ledger (id bigint NOT NULL, org_id int NOT NULL, day date NOT NULL, amount numeric NOT NULL, note text,
    PRIMARY KEY (id, org_id)) PARTITION BY HASH (org_id);
CREATE TABLE ledger_0 PARTITION OF ledger FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE ledger_2 PARTITION OF ledger FOR VALUES WITH (MODULUS 3, REMAINDER 2);
CREATE TABLE twin (id bigint NOT NULL, org_id int NOT NULL, day date NOT NULL, amount numeric NOT NULL, note text,
    PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE twin_0 PARTITION OF twin FOR VALUES FROM (MINVALUE) TO ('2030-01-01');
CREATE TABLE twin_1 PARTITION OF twin FOR VALUES FROM ('2030-01-01') TO (MAXVALUE);
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM twin WHERE id = OLD.id AND day = OLD.day; END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO twin (id, org_id, day, amount, note) VALUES (NEW.id, NEW.org_id, NEW.day, NEW.amount, NEW.note);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION carry_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM twin WHERE id IN (SELECT id FROM gone); END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO twin SELECT * FROM come; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION carry();
ALTER TABLE ledger ENABLE ALWAYS TRIGGER carry;
INSERT INTO ledger SELECT i, i % 9, '2026-01-01'::date + i, i, 'n' || i FROM generate_series(1, 60) AS i;";

/// Statement triggers with transition tables in place of the row trigger.
const STATEMENTS: &str = "
DROP TRIGGER carry ON ledger;
CREATE TRIGGER carry_i AFTER INSERT ON ledger REFERENCING NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION carry_all();
CREATE TRIGGER carry_u AFTER UPDATE ON ledger REFERENCING OLD TABLE AS gone NEW TABLE AS come
    FOR EACH STATEMENT EXECUTE FUNCTION carry_all();
CREATE TRIGGER carry_d AFTER DELETE ON ledger REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION carry_all();";

/// What is changed, the classes of the errors that follow, and a word that has to be told.
const CASES: [(&str, &str, &str); 9] = [
    ("", "", ""),
    ("ALTER TABLE ledger_1 DISABLE TRIGGER carry", "trigger_disabled", "rows of ledger_1"),
    ("ALTER TABLE ledger_1 ENABLE REPLICA TRIGGER carry", "trigger_replica_only", "rows of ledger_1"),
    // Only the partitions' own fire on rows.
    ("ALTER TABLE ONLY ledger DISABLE TRIGGER carry", "", ""),
    ("ALTER TABLE ledger DISABLE TRIGGER carry", "trigger_disabled", ""),
    (
        "CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN DELETE FROM twin WHERE id = NEW.id; RETURN NULL; END $$;
         CREATE TRIGGER zz AFTER INSERT ON ledger_2 FOR EACH ROW EXECUTE FUNCTION drop_it()",
                "trigger_event_missing",
        "rows of ledger_2",
    ),
    // The same by other names is the same, however many partitions there are.
    (
        "DROP TRIGGER carry ON ledger;
         CREATE TRIGGER a AFTER INSERT OR UPDATE OR DELETE ON ledger_0 FOR EACH ROW EXECUTE FUNCTION carry();
         CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON ledger_1 FOR EACH ROW EXECUTE FUNCTION carry();
         CREATE TRIGGER c AFTER INSERT OR UPDATE OR DELETE ON ledger_2 FOR EACH ROW EXECUTE FUNCTION carry()",
        "",
        "",
    ),
    // A MERGE that moves a row is in no transition table.
    ("{statements}", "trigger_event_missing", "MERGE that moves"),
    (
        "CREATE FUNCTION before() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO twin VALUES (NEW.id, NEW.org_id, NEW.day, NEW.amount, NEW.note); RETURN NEW; END $$;
         DROP TRIGGER carry ON ledger;
         CREATE TRIGGER carry AFTER UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION carry();
         CREATE TRIGGER carry_first BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION before()",
        "writes_refused",
        "ON CONFLICT",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_partition_of_the_side_that_is_written_to_has_its_own_triggers() {
    for (number, (change, classes, word)) in CASES.into_iter().enumerate() {
        let database = support::database();
        support::execute(&database.url, DIVIDED).await;
        let change = if change == "{statements}" { STATEMENTS } else { change };
        support::execute(&database.url, change).await;
        let options = Options { digest: BOTH[number % 2], ..Options::default() };
        let (_, findings) = compare(&database.url, &[pair("ledger", "twin")], &options).await;
        assert_eq!(errors(&findings), classes, "{change}: {findings:#?}");
        let told = |f: &Finding| f.detail.as_deref().is_some_and(|detail| detail.contains(word));
        assert!(word.is_empty() || findings.iter().any(told), "{change}: {findings:#?}");
    }
}

/// A column that is never carried stands in the way of no other.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_unlike_before_hides_nothing() {
    let database = support::database();
    let sql = "
        CREATE TABLE ledger (id bigint PRIMARY KEY, org_id bigint NOT NULL, amount bigint NOT NULL, note text NOT NULL,
            day date NOT NULL);
        CREATE TABLE twin (id bigint, org_id bigint NOT NULL, amount bigint NOT NULL, note text NOT NULL DEFAULT '',
            day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE twin_0 PARTITION OF twin FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
        CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'DELETE' THEN RETURN NULL; END IF;
            INSERT INTO twin (id, org_id, amount, day) VALUES (NEW.id, NEW.org_id, NEW.amount, NEW.day)
            ON CONFLICT (id, day) DO UPDATE SET org_id = EXCLUDED.org_id; RETURN NULL; END $$;
        CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION carry();
        INSERT INTO ledger SELECT g, 1 + g % 5, g, 'note ' || g, '2026-03-01'::date + g FROM generate_series(1, 50) g";
    support::execute(&database.url, sql).await;
    let (_, findings) =
        compare(&database.url, &[pair("ledger", "twin")], &Options::default()).await;
    let of = |class: &str| findings.iter().find(|finding| finding.class.word() == class);
    let lost = of("trigger_column_missing").expect("columns are lost");
    let detail = lost.detail.as_deref().unwrap_or_default();
    for word in ["note (INSERT", "amount (UPDATE)", "day (UPDATE)"] {
        assert!(detail.contains(word), "{detail}");
    }
    let event = of("trigger_event_missing").and_then(|f| f.detail.as_deref()).unwrap_or_default();
    assert!(event.contains("DELETE"), "{event}");
    assert!(of("trigger_coverage_unknown").is_none(), "{findings:#?}");
}

/// Without a unique index a key may be another row's by chance.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_no_index_makes_unique_is_tried_with_a_free_value() {
    for key_type in ["bigint", "text", "uuid"] {
        let database = support::database();
        let value = match key_type {
            "uuid" => "md5(g::text)::uuid".to_owned(),
            other => format!("g::{other}"),
        };
        let sql = format!(
            "CREATE TABLE ledger (id {key_type} NOT NULL, org_id int NOT NULL, amount int, day date NOT NULL);
             CREATE TABLE twin (LIKE ledger) PARTITION BY RANGE (day);
             CREATE TABLE twin_0 PARTITION OF twin FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
             CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF TG_OP <> 'INSERT' THEN DELETE FROM twin WHERE id = OLD.id; END IF;
                IF TG_OP <> 'DELETE' THEN INSERT INTO twin VALUES (NEW.*); END IF; RETURN NULL; END $$;
             CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION carry();
             ALTER TABLE ledger ENABLE ALWAYS TRIGGER carry;
             INSERT INTO ledger SELECT {value}, g % 5, g, '2026-03-01' FROM generate_series(1, 50) g"
        );
        support::execute(&database.url, &sql).await;
        let (_, findings) =
            compare(&database.url, &[pair("ledger", "twin")], &Options::default()).await;
        assert_eq!(errors(&findings), "", "{key_type}: {findings:#?}");
    }
}

/// The triggers are tried as the application, if it is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_write_the_twin_is_refused_by_its_own_trigger() {
    let database = support::database();
    let role = format!("app_{}", std::process::id());
    support::execute(&database.url, DIVIDED).await;
    let grants = format!(
        "CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE, DELETE ON ledger, twin TO {role};
         CREATE TABLE audit (at timestamptz); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN INSERT INTO audit VALUES (now()); RETURN NULL; END $$;
         CREATE OR REPLACE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
            INSERT INTO audit VALUES (now());
            IF TG_OP <> 'INSERT' THEN DELETE FROM twin WHERE id = OLD.id AND day = OLD.day; END IF;
            IF TG_OP <> 'DELETE' THEN INSERT INTO twin SELECT NEW.*; END IF;
            RETURN NULL;
         END $$"
    );
    support::execute(&database.url, &grants).await;
    let options = Options { probe_role: Some(role.clone()), ..Options::default() };
    let (_, findings) = compare(&database.url, &[pair("ledger", "twin")], &options).await;
    assert_eq!(errors(&findings), "writes_refused", "{findings:#?}");
    support::execute(&database.url, &format!("GRANT INSERT ON audit TO {role}")).await;
    let (_, findings) = compare(&database.url, &[pair("ledger", "twin")], &options).await;
    assert_eq!(errors(&findings), "", "{findings:#?}");
    let unknown = Options { probe_role: Some("nobody_there".into()), ..Options::default() };
    let (_, findings) = compare(&database.url, &[pair("ledger", "twin")], &unknown).await;
    assert!(findings.iter().any(|f| f.class.word() == "trigger_coverage_unknown"), "{findings:#?}");
    support::execute(&database.url, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

/// A row that moves to another partition fires what a DELETE and an INSERT fire; an upsert, what an UPDATE does.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_row_fires_on_its_way_takes_no_number_either() {
    for (event, number) in [("UPDATE", "OLD"), ("DELETE", "OLD"), ("INSERT", "NEW")] {
        let database = support::database();
        let sql = format!(
            "{DIVIDED} CREATE SEQUENCE numbers;
             CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM nextval('numbers') + {number}.id; RETURN NULL; END $$;
             CREATE TRIGGER number AFTER {event} ON ledger FOR EACH ROW EXECUTE FUNCTION number();"
        );
        support::execute(&database.url, &sql).await;
        let (_, findings) =
            compare(&database.url, &[pair("ledger", "twin")], &Options::default()).await;
        assert_eq!(errors(&findings), "", "{event}: {findings:#?}");
        let mut connection = cutover::pg::connect(&database.url).await.expect("the server is up");
        let taken: bool = sqlx::query_scalar("SELECT is_called FROM numbers")
            .fetch_one(&mut connection)
            .await
            .expect("a row");
        assert!(!taken, "{event}");
    }
}
