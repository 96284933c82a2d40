//! The probe takes nothing: no number of a sequence, no message, no call out of the database, no row that
//! somebody holds, and none for long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover::config::TablePair;
use cutover::diff::Options;
use cutover::evidence::finding::Finding;
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::diff::support;
use crate::support::compare;

/// A healthy pair; `{more}` of its tables' columns and triggers come after it.
const PAIR: &str = "
    CREATE SEQUENCE r_id_seq;
    CREATE TABLE r (id bigint PRIMARY KEY, org_id bigint NOT NULL, at timestamp NOT NULL, note text);
    CREATE TABLE r_partitioned (id bigint, org_id bigint NOT NULL, at timestamp NOT NULL, note text,
        PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE r_p PARTITION OF r_partitioned FOR VALUES FROM ('2020-01-01') TO ('2060-01-01');
    CREATE FUNCTION s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP <> 'INSERT' THEN DELETE FROM r_partitioned WHERE id = OLD.id; END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO r_partitioned (id, org_id, at, note) VALUES (NEW.id, NEW.org_id, NEW.at, NEW.note);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER s AFTER INSERT OR UPDATE OR DELETE ON r FOR EACH ROW EXECUTE FUNCTION s();
    ALTER TABLE r ENABLE ALWAYS TRIGGER s;
    CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN TRUNCATE r_partitioned; RETURN NULL; END $$;
    CREATE TRIGGER t AFTER TRUNCATE ON r EXECUTE FUNCTION t();
    ALTER TABLE r ENABLE ALWAYS TRIGGER t;
    INSERT INTO r SELECT g, 1 + g % 3, timestamp '2026-11-01' + g * interval '1 hour', 'n' || g
      FROM generate_series(1, 50) AS g;
    SELECT setval('r_id_seq', 50);";

fn pair() -> Vec<TablePair> {
    let reference = TablePair::reference().remove(0);
    vec![TablePair {
        name: "r".into(),
        legacy: "r".into(),
        partitioned: "r_partitioned".into(),
        trigger: None,
        changed_at: None,
        reads: Vec::new(),
        ..reference
    }]
}

async fn sequences(url: &str) -> BTreeMap<String, Option<i64>> {
    let mut connection = cutover::pg::connect(url).await.expect("the server is up");
    let all = "SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences";
    let all: Vec<(String, Option<i64>)> =
        sqlx::query_as(all).fetch_all(&mut connection).await.expect("rows");
    all.into_iter().collect()
}

fn unknown(findings: &[Finding]) -> String {
    let unknown = findings.iter().filter(|f| f.class.word() == "trigger_coverage_unknown");
    unknown.filter_map(|finding| finding.detail.clone()).collect::<Vec<_>>().join("\n")
}

/// Where numbers are taken: by a trigger of either side, a function that it calls, a default of the twin or of
/// another table that is written on the way. All of it is tried, and no number goes.
#[tokio::test]
async fn no_number_of_a_sequence_is_taken() {
    let trigger = "
        CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.id := nextval('r_id_seq'); RETURN NEW; END $$;
        CREATE TRIGGER number BEFORE INSERT ON r FOR EACH ROW EXECUTE FUNCTION number()";
    let callee = "
        CREATE SCHEMA \"S x\"; CREATE SEQUENCE \"S x\".\"Seq\";
        CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('\"S x\".\"Seq\"') $$;
        CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM next_number(); RETURN coalesce(NEW, OLD); END $$;
        CREATE TRIGGER number BEFORE INSERT OR UPDATE OR DELETE ON r_partitioned FOR EACH ROW
            EXECUTE FUNCTION number()";
    let audit = "
        CREATE TABLE audit (id bigserial, what text);
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO audit (what) VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON r FOR EACH ROW EXECUTE FUNCTION audit()";
    let chain = "
        CREATE TABLE first (what text); CREATE TABLE second (id int GENERATED ALWAYS AS IDENTITY, what text);
        CREATE FUNCTION one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO first VALUES (TG_OP); RETURN NULL; END $$;
        CREATE FUNCTION two() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO second (what) VALUES (NEW.what); RETURN NULL; END $$;
        CREATE TRIGGER one AFTER INSERT OR UPDATE ON r_p FOR EACH ROW EXECUTE FUNCTION one();
        CREATE TRIGGER two AFTER INSERT ON first FOR EACH ROW EXECUTE FUNCTION two()";
    let default_function = "
        CREATE FUNCTION fresh() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('r_id_seq'); END $$;
        CREATE TABLE log (id bigint DEFAULT fresh(), what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO log (what) VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER note AFTER DELETE ON r FOR EACH ROW EXECUTE FUNCTION note()";
    let twin = "ALTER TABLE r_partitioned ADD own bigserial";
    for (what, sql) in [
        ("a trigger before", trigger),
        ("a callee, on the twin", callee),
        ("an audit table's serial", audit),
        ("a table behind a table", chain),
        ("a default's function", default_function),
        ("a serial of the twin", twin),
    ] {
        let database = support::database();
        support::execute(&database.url, &format!("{PAIR}{sql}")).await;
        let before = sequences(&database.url).await;
        let (_, findings) = compare(&database.url, &pair(), &Options::default()).await;
        assert_eq!(sequences(&database.url).await, before, "{what}");
        assert_eq!(unknown(&findings), "", "{what}");
        let lost: Vec<_> =
            findings.iter().filter(|f| f.class.word().starts_with("trigger")).collect();
        assert!(lost.is_empty(), "{what}: {lost:?}");
    }
}

/// A sequence that no body names cannot be set aside: the event is not tried, and that is said.
#[tokio::test]
async fn what_cannot_be_tried_without_taking_is_not_known() {
    let made_up = "
        CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.id := nextval(TG_ARGV[0]); RETURN NEW; END $$;
        CREATE TRIGGER number BEFORE INSERT ON r FOR EACH ROW EXECUTE FUNCTION number('r_id_seq')";
    let watched = "
        CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$;
        CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION seen();
        CREATE FUNCTION number() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.id := nextval('r_id_seq'); RETURN NEW; END $$;
        CREATE TRIGGER number BEFORE INSERT ON r FOR EACH ROW EXECUTE FUNCTION number()";
    for sql in [made_up, watched] {
        let database = support::database();
        support::execute(&database.url, &format!("{PAIR}{sql}")).await;
        let before = sequences(&database.url).await;
        let (_, findings) = compare(&database.url, &pair(), &Options::default()).await;
        assert_eq!(sequences(&database.url).await, before);
        let told = unknown(&findings);
        assert!(
            told.contains("INSERT: function number takes a number")
                && told.contains("--probe-anyway"),
            "{told}"
        );
        assert!(!told.contains("UPDATE") && !told.contains("DELETE"), "{told}");
        let anyway = Options { probe_anyway: true, ..Options::default() };
        let (_, findings) = compare(&database.url, &pair(), &anyway).await;
        assert_eq!(unknown(&findings), "");
    }
}

/// A trigger that writes into another database by dblink is not tried unless that is asked for.
#[tokio::test]
async fn nothing_outside_of_the_transaction_is_reached_unasked() {
    let (database, elsewhere) = (support::database(), support::database());
    support::execute(&elsewhere.url, "CREATE TABLE calls (what text)").await;
    let sql = format!(
        "{PAIR}
         CREATE EXTENSION dblink;
         CREATE FUNCTION tell(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             PERFORM dblink_exec('{}', format('INSERT INTO calls VALUES (%L)', what)); END $$;
         CREATE FUNCTION call() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM tell(TG_OP); PERFORM pg_notify('cutover_test', TG_OP); RETURN NULL; END $$;
         CREATE TRIGGER call AFTER DELETE ON r FOR EACH ROW EXECUTE FUNCTION call()",
        elsewhere.url
    );
    support::execute(&database.url, &sql).await;
    let mut other = cutover::pg::connect(&elsewhere.url).await.expect("the server is up");
    let mut calls = async || {
        let calls =
            sqlx::query_scalar::<_, i64>("SELECT count(*) FROM calls").fetch_one(&mut other).await;
        calls.expect("a number")
    };
    let mut listener =
        sqlx::postgres::PgListener::connect(&database.url).await.expect("the server is up");
    listener.listen("cutover_test").await.expect("it listens");
    let (_, findings) = compare(&database.url, &pair(), &Options::default()).await;
    let told = unknown(&findings);
    assert!(
        told.contains("DELETE: ")
            && told.contains("reaches outside")
            && told.contains("--probe-anyway"),
        "{told}"
    );
    assert!(!told.contains("UPDATE"), "{told}");
    assert_eq!(calls().await, 0_i64);
    let anyway = Options { probe_anyway: true, ..Options::default() };
    let (_, findings) = compare(&database.url, &pair(), &anyway).await;
    assert_eq!(unknown(&findings), "");
    assert!(calls().await > 0, "asked for, it is tried");
    // What was notified went with the transaction; a notification of now comes alone.
    support::execute(&database.url, "NOTIFY cutover_test, 'now'").await;
    let first = listener.recv().await.expect("a notification");
    assert_eq!(first.payload(), "now");
}

/// Rows that others hold are passed by; if they hold all of them, nothing is known, and nobody waited.
#[tokio::test]
async fn a_row_that_somebody_holds_is_left_alone() {
    let database = support::database();
    support::execute(&database.url, PAIR).await;
    let mut holder = cutover::pg::connect(&database.url).await.expect("the server is up");
    for (held, known) in [("id <= 40", true), ("true", false)] {
        let hold = format!("BEGIN; SELECT FROM r WHERE {held} FOR UPDATE");
        holder.execute(AssertSqlSafe(hold)).await.expect("it locks");
        let (_, findings) = compare(&database.url, &pair(), &Options::default()).await;
        let told = unknown(&findings);
        assert_eq!(told.is_empty(), known, "{held}: {told}");
        assert!(known || told.contains("others hold every row"), "{told}");
        holder.execute("ROLLBACK").await.expect("it lets go");
    }
    holder.close().await.expect("it closes");
}

/// A trigger that takes a second is ended long before: whoever wants the row waits for a part of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_trigger_does_not_make_others_wait() {
    let database = support::database();
    let slow = "
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('application_name') = 'cutover' THEN PERFORM pg_sleep(2); END IF;
            RETURN NULL; END $$;
        CREATE TRIGGER slow AFTER UPDATE ON r FOR EACH ROW EXECUTE FUNCTION slow()";
    support::execute(&database.url, &format!("{PAIR}{slow}")).await;
    let url = database.url.clone();
    let stop = tokio_util::sync::CancellationToken::new();
    let stopped = stop.clone();
    let writer = tokio::spawn(async move {
        let mut connection = cutover::pg::connect(&url).await.expect("the server is up");
        connection.execute("SET application_name = 'a writer'").await.expect("it is set");
        let (mut longest, mut writes) = (Duration::ZERO, 0);
        while !stopped.is_cancelled() {
            let began = Instant::now();
            connection.execute("UPDATE r SET note = note WHERE id <= 50").await.expect("it writes");
            (longest, writes) = (longest.max(began.elapsed()), writes + 1);
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        (longest, writes)
    });
    let (_, findings) = compare(&database.url, &pair(), &Options::default()).await;
    stop.cancel();
    let (longest, writes) = writer.await.expect("it does not panic");
    let told = unknown(&findings);
    assert!(
        told.contains("others hold every row") || told.contains("longer than a row may be held"),
        "{told}"
    );
    assert!(writes > 5, "{writes} writes");
    // The trigger's two seconds are far off on any machine.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}
