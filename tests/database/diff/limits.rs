//! At the limits of what a server holds: columns, bytes that are no text, rows of one key.

use std::time::{Duration, Instant};

use cutover::act::ActContext;
use cutover::config::TablePair;
use cutover::diff::{self, Digest, Options};
use cutover::error::Error;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::diff::{BOTH, fails, is_at_least, key, support};
use crate::support::compare;

/// A pair `t` and `t_p` that no trigger ties.
fn pair(org: &str, key: &str) -> Vec<TablePair> {
    let pair = TablePair {
        name: "t".into(),
        legacy: "t".into(),
        partitioned: "t_p".into(),
        org: org.into(),
        key: vec![key.into()],
        trigger: None,
        changed_at: None,
        ..TablePair::reference().remove(0)
    };
    vec![pair]
}

fn by(digest: Digest) -> Options {
    Options { digest, probe: false, ..Options::default() }
}

/// As many columns as PostgreSQL allows, which is more than half of what a statement may send.
#[tokio::test]
async fn a_difference_in_a_table_of_1600_columns_is_named() {
    let database = support::database();
    let columns: Vec<String> = (0..1598).map(|n| format!("c{n} int")).collect();
    let sql = format!(
        "CREATE TABLE t (id int PRIMARY KEY, org_id int NOT NULL, {});
         CREATE TABLE t_p (LIKE t, PRIMARY KEY (id)) PARTITION BY HASH (id);
         CREATE TABLE t_p0 PARTITION OF t_p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
         INSERT INTO t (id, org_id, c5, c1597) SELECT i, i % 3, i, 7 FROM generate_series(1, 30) AS i;
         INSERT INTO t_p SELECT * FROM t",
        columns.join(", ")
    );
    support::execute(&database.url, &sql).await;
    for digest in BOTH {
        let (evidence, _) = compare(&database.url, &pair("org_id", "id"), &by(digest)).await;
        assert_eq!((evidence.orgs_diverged, evidence.complete), (0, true), "{digest:?}");
    }
    let change =
        "UPDATE t_p SET c1597 = 8 WHERE id = 9; UPDATE t_p SET c0 = 1, c5 = NULL WHERE id = 10";
    support::execute(&database.url, change).await;
    for digest in BOTH {
        let (_, findings) = compare(&database.url, &pair("org_id", "id"), &by(digest)).await;
        let mut told: Vec<_> = findings
            .iter()
            .filter(|finding| finding.org_id.is_some())
            .map(|finding| (key(finding), finding.columns.clone()))
            .collect();
        told.sort();
        let [one, two] = [["c0", "c5"].as_slice(), &["c1597"]].map(|names| names.to_vec());
        assert_eq!(
            told,
            [
                ("mismatched 10".to_owned(), one.into_iter().map(String::from).collect::<Vec<_>>()),
                ("mismatched 9".to_owned(), two.into_iter().map(String::from).collect()),
            ],
            "{digest:?}"
        );
    }
}

/// A database of the encoding that is none, dropped with this value.
struct Unencoded {
    server: String,
    name: String,
    url: String,
}

impl Unencoded {
    async fn make() -> (support::TestDatabase, Self) {
        // Its name is one that nobody else uses.
        let beside = support::database();
        let mut url = Url::parse(&beside.url).expect("a URL");
        let name = format!("{}_bytes", url.path().trim_start_matches('/'));
        let make = format!(
            "CREATE DATABASE {name} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
        );
        support::execute(&beside.url, &make).await;
        url.set_path(&name);
        let server = beside.url.clone();
        (beside, Self { server, name, url: url.into() })
    }

    async fn drop_it(self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        support::execute(&self.server, &drop).await;
    }
}

/// Bytes that are no UTF-8, in values and keys; an org of such bytes has no name.
#[tokio::test]
async fn bytes_that_are_no_text_are_compared_and_shown() {
    let (_beside, database) = Unencoded::make().await;
    let sql = r"CREATE TABLE t (id text PRIMARY KEY, org text NOT NULL, body text);
         CREATE TABLE t_p (LIKE t, PRIMARY KEY (id)) PARTITION BY HASH (id);
         CREATE TABLE t_p0 PARTITION OF t_p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
         INSERT INTO t VALUES (E'k\351', 'a', E'caf\351'), (E'k\352', 'a', 'x'), ('k1', 'plain', 'x'),
             (E'k\353', 'b', 'y');
         INSERT INTO t_p SELECT * FROM t";
    support::execute(&database.url, sql).await;
    for digest in BOTH {
        let (evidence, findings) = compare(&database.url, &pair("org", "id"), &by(digest)).await;
        assert_eq!((evidence.orgs_checked, evidence.orgs_diverged), (3, 0), "{findings:?}");
    }
    let change = r"UPDATE t_p SET body = E'caf\350' WHERE id = E'k\351'; DELETE FROM t_p WHERE id = E'k\353';
         UPDATE t_p SET org = 'c' WHERE id = E'k\352'";
    support::execute(&database.url, change).await;
    for digest in BOTH {
        let (_, findings) = compare(&database.url, &pair("org", "id"), &by(digest)).await;
        let mut told: Vec<_> =
            findings.iter().filter(|f| f.org_id.is_some()).map(|f| f.class.to_string()).collect();
        told.sort();
        assert_eq!(told, ["mismatched", "missing", "wrong_org"], "{digest:?}: {findings:?}");
    }
    let nameless = r"UPDATE t SET org = E'org \376'; UPDATE t_p SET org = E'org \376'";
    support::execute(&database.url, nameless).await;
    for digest in BOTH {
        let error = fails(&database.url, &pair("org", "id"), &by(digest)).await;
        assert!(error.to_string().contains("no UTF-8"), "{digest:?}: {error}");
    }
    database.drop_it().await;
}

/// 40,000 rows under one key, all of which differ.
const ONE_KEY: &str = "
CREATE TABLE t (id int, org_id int NOT NULL, body text);
CREATE TABLE t_p (LIKE t) PARTITION BY HASH (org_id);
CREATE TABLE t_p0 PARTITION OF t_p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO t SELECT 1, 1, repeat(md5(i::text), 3) FROM generate_series(1, 40000) AS i;
INSERT INTO t_p SELECT id, org_id, CASE WHEN substr(body, 1, 1) < '8' THEN body ELSE 'other ' || body END
  FROM t ORDER BY body DESC";

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_of_one_key_are_paired_soon() {
    let database = support::database();
    support::execute(&database.url, ONE_KEY).await;
    for digest in BOTH {
        let began = Instant::now();
        let (evidence, _) = compare(&database.url, &pair("org_id", "id"), &by(digest)).await;
        let counts = &evidence.tables[0].counts;
        assert_eq!((counts.missing, counts.extra, counts.duplicate), (0, 0, 0), "{counts:?}");
        assert!((19_000..21_000).contains(&counts.mismatched), "{counts:?}");
        let took = began.elapsed();
        println!("{digest:?}: {took:?}");
        assert!(took < Duration::from_secs(10), "{digest:?}: {took:?}");
    }
}

/// Whatever is under way ends within a second of being told to, and at the end of its time.
#[tokio::test(flavor = "multi_thread")]
async fn the_pairing_of_many_rows_can_be_stopped() {
    let database = support::database();
    let more = "INSERT INTO t SELECT 1, 1, 'x' || i FROM generate_series(1, 60000) AS i";
    support::execute(&database.url, &format!("{ONE_KEY}; {more}")).await;
    let tables = pair("org_id", "id");
    // Whole, so that the moments lie in every part of it.
    let began = Instant::now();
    let (out, context) = (tempfile::tempdir().expect("a folder"), ActContext::silent());
    let whole = diff::run(&database.url, &tables, &by(Digest::Client), out.path(), &context).await;
    whole.expect("it comes to its end");
    let whole = began.elapsed();
    println!("whole: {whole:?}");
    for part in 1..6 {
        let after = whole * part / 6;
        let (out, stop) = (tempfile::tempdir().expect("a folder"), CancellationToken::new());
        let context = ActContext::new(|_| {}, stop.clone());
        let options = by(Digest::Client);
        let run = diff::run(&database.url, &tables, &options, out.path(), &context);
        let told = async {
            tokio::time::sleep(after).await;
            stop.cancel();
            Instant::now()
        };
        let (outcome, told) = tokio::join!(run, told);
        let late = told.elapsed();
        assert!(late < Duration::from_secs(1), "after {after:?}: {late:?}");
        assert!(matches!(outcome, Err(Error::Interrupted) | Ok(_)), "{outcome:?}");

        let options = Options { max_time: Some(after), ..by(Digest::Client) };
        let began = Instant::now();
        let context = ActContext::silent();
        let run = diff::run(&database.url, &tables, &options, out.path(), &context);
        run.await.expect("what was found until then");
        let late = began.elapsed().saturating_sub(after);
        assert!(late < Duration::from_secs(1), "{after:?}: {late:?}");
    }
}

/// From PostgreSQL 18 on a column may refuse NULL in new rows and hold it in old ones.
#[tokio::test]
async fn a_column_that_is_not_null_for_new_rows_only_may_hold_null() {
    let database = support::database();
    if !is_at_least(&database.url, 18).await {
        return;
    }
    let sql = "CREATE TABLE t (id int, org_id int, body text);
         INSERT INTO t VALUES (1, 1, 'a'), (NULL, 1, 'b'), (2, NULL, 'c');
         ALTER TABLE t ADD CONSTRAINT id_there NOT NULL id NOT VALID;
         ALTER TABLE t ADD CONSTRAINT org_there NOT NULL org_id NOT VALID;
         CREATE TABLE t_p (id int NOT NULL, org_id int NOT NULL, body text) PARTITION BY HASH (org_id);
         CREATE TABLE t_p0 PARTITION OF t_p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
         INSERT INTO t_p VALUES (1, 1, 'a')";
    support::execute(&database.url, sql).await;
    for digest in BOTH {
        let (_, findings) = compare(&database.url, &pair("org_id", "id"), &by(digest)).await;
        let told: Vec<String> = findings.iter().map(|finding| finding.class.to_string()).collect();
        for class in ["null_key", "missing"] {
            assert!(told.iter().any(|told| told == class), "{digest:?}: {class} in {told:?}");
        }
        let nullable = told.iter().filter(|told| *told == "column_nullability").count();
        assert_eq!(nullable, 2, "{digest:?}: {told:?}");
    }
}

const CONFIG: &str = r#"
[[tables]]
name = "t"
legacy = "t"
partitioned = "t_p"
org = "org_id"
key = ["id"]
"#;

/// However much the catalogs have to say, a person sees that rows differ, and which.
#[tokio::test(flavor = "multi_thread")]
async fn findings_of_catalogs_leave_room_for_rows() {
    let database = support::database();
    let columns: Vec<String> = (0..60).map(|n| format!("c{n} int")).collect();
    let sql = format!(
        "CREATE TABLE t (id int PRIMARY KEY, org_id int NOT NULL, body text, {});
         CREATE TABLE t_p (id int PRIMARY KEY, org_id int NOT NULL, body text) PARTITION BY HASH (id);
         CREATE TABLE t_p0 PARTITION OF t_p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
         INSERT INTO t SELECT i, i, 'x' FROM generate_series(1, 9) AS i;
         INSERT INTO t_p SELECT id, org_id, 'y' FROM t",
        columns.join(", ")
    );
    support::execute(&database.url, &sql).await;
    let desk = tempfile::tempdir().expect("a folder");
    std::fs::write(desk.path().join("cutover.toml"), CONFIG).expect("our own folder");
    let output = support::cutover()
        .args(["diff", "--no-probe", "--out", "run", "--database-url", &database.url])
        .current_dir(desk.path())
        .output()
        .expect("cutover runs");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(11), "{out}");
    let listed = |what: &&str| {
        out.lines().filter(|line| line.starts_with("  - ") && line.contains(*what)).count()
    };
    assert_eq!(
        ["column_missing", "mismatched"].iter().map(listed).collect::<Vec<_>>(),
        [5, 5],
        "{out}"
    );
    let (evidence, _) = compare(&database.url, &pair("org_id", "id"), &by(Digest::Client)).await;
    let rows = evidence.findings.iter().filter(|finding| finding.org_id.is_some()).count();
    assert_eq!((evidence.findings.len(), rows), (50, 9));
}
