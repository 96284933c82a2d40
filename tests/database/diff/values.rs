//! Columns that are compared by their values, or by what an expression makes of them.

use cutover::config::{Compare, CompareBy, Expressions, Sync, TablePair};
use cutover::diff::Options;
use cutover::evidence::finding::{Finding, Severity};

use crate::diff::{BOTH, compare_into, fails, pair, repair};
use crate::support::{self, compare};

/// A twin whose types are wider on purpose; every value is the same.
const WIDER: &str = "
CREATE TABLE ledger (id integer PRIMARY KEY, org_id integer NOT NULL, name varchar(50), code char(3), price numeric(10,2),
    f real, j json, at timestamp, d date NOT NULL);
CREATE TABLE twin (id bigint, org_id bigint NOT NULL, name text, code text, price numeric(14,4), f double precision,
    j jsonb, at timestamptz, d date NOT NULL, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE twin_0 PARTITION OF twin FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM twin WHERE id = OLD.id; END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO twin VALUES (NEW.*); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION carry();
SET timezone = 'UTC';
INSERT INTO ledger SELECT g, g % 4, 'n' || g, 'EU', g * 1.25, g * 0.1, '{\"b\": 1,  \"a\": 2}',
    '2026-03-01'::timestamp + g * interval '1 hour', '2026-03-01'::date + g FROM generate_series(1, 40) AS g";

const BY_VALUE: [&str; 8] = ["id", "org_id", "name", "code", "price", "f", "j", "at"];

fn compared(compare: &[(&str, Compare)]) -> Vec<TablePair> {
    let compare = compare.iter().map(|(name, how)| ((*name).to_owned(), how.clone())).collect();
    vec![TablePair { compare, ..pair("ledger", "twin") }]
}

fn by_value() -> Vec<TablePair> {
    compared(&BY_VALUE.map(|name| (name, Compare::By(CompareBy::Value))))
}

fn rows(findings: &[Finding]) -> Vec<String> {
    let rows = findings.iter().filter(|finding| finding.org_id.is_some());
    let told = |f: &Finding| format!("{} {:?} {}", f.class, f.key.get("id"), f.columns.join(","));
    let mut told: Vec<String> = rows.map(told).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_values_of_unlike_types_are_equal_and_others_are_named() {
    let database = support::database();
    support::execute(&database.url, WIDER).await;
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &by_value(), &options).await;
        assert_eq!(rows(&findings), [""; 0], "{findings:#?}");
        assert_eq!(evidence.integrity_errors, 0, "{findings:#?}");
        let (_, findings) = compare(&database.url, &compared(&[]), &options).await;
        assert_eq!(rows(&findings).len(), 40, "exact unless told otherwise");
        let types = findings.iter().filter(|f| f.class.word() == "column_type");
        assert!(
            types.clone().count() > 5 && types.clone().all(|f| f.severity == Some(Severity::Error))
        );
    }
    let faults = "UPDATE twin SET price = price + 0.0001 WHERE id = 3; UPDATE twin SET j = '{\"a\": 2}' WHERE id = 4;
        UPDATE twin SET at = at + interval '1 microsecond' WHERE id = 5; UPDATE twin SET name = 'n6 ' WHERE id = 6;
        UPDATE twin SET f = f + 1e-9 WHERE id = 7; DELETE FROM twin WHERE id = 8; UPDATE twin SET org_id = 9 WHERE id = 9";
    support::execute(&database.url, faults).await;
    for digest in BOTH {
        let out = tempfile::tempdir().expect("a folder");
        let options = Options { digest, repair: true, repair_any: true, ..Options::default() };
        let outcome = compare_into(&database.url, &by_value(), &options, out.path()).await;
        let (_, findings) = outcome.expect("it is compared");
        let expected = [
            "mismatched Some(Some(\"3\")) price",
            "mismatched Some(Some(\"4\")) j",
            "mismatched Some(Some(\"5\")) at",
            "mismatched Some(Some(\"6\")) name",
            "mismatched Some(Some(\"7\")) f",
            "missing Some(Some(\"8\")) ",
            "wrong_org Some(Some(\"9\")) org_id",
        ];
        assert_eq!(rows(&findings), expected, "{digest:?}");
        if digest == BOTH[1] {
            repair(&database.url, out.path()).expect("it is mended");
        }
    }
    let (evidence, findings) = compare(&database.url, &by_value(), &Options::default()).await;
    assert!(!evidence.has_differences(), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expression_stands_for_a_column_and_a_wrong_one_is_refused() {
    let database = support::database();
    let sql = "
        CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, old_path text, path text, d date NOT NULL);
        CREATE TABLE twin (LIKE ledger, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
        CREATE TABLE twin_0 PARTITION OF twin FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
        CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' THEN DELETE FROM twin WHERE id = OLD.id; END IF;
            IF TG_OP <> 'DELETE' THEN
                INSERT INTO twin VALUES (NEW.id, NEW.org_id, NEW.old_path, NULLIF(NEW.path, NEW.old_path), NEW.d);
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION carry();
        INSERT INTO ledger SELECT g, g % 4, 'a', CASE g % 2 WHEN 0 THEN 'a' ELSE 'b' END, '2026-03-01'
          FROM generate_series(1, 10) AS g";
    support::execute(&database.url, sql).await;
    let of = |legacy: &str| {
        let expressions = Expressions { legacy: Some(legacy.into()), partitioned: None };
        compared(&[("path", Compare::Expressions(expressions))])
    };
    let made = of("NULLIF(path, old_path)");
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &made, &options).await;
        assert!(!evidence.has_differences(), "{findings:#?}");
        let (_, findings) = compare(&database.url, &compared(&[]), &options).await;
        assert_eq!(rows(&findings).len(), 5);
    }
    support::execute(&database.url, "UPDATE twin SET path = 'c' WHERE id IN (2, 3)").await;
    let out = tempfile::tempdir().expect("a folder");
    let options = Options { repair: true, repair_any: true, ..Options::default() };
    let (_, findings) =
        compare_into(&database.url, &made, &options, out.path()).await.expect("compared");
    assert_eq!(rows(&findings).len(), 2, "{findings:#?}");
    repair(&database.url, out.path()).expect("it is mended");
    let (evidence, findings) = compare(&database.url, &made, &Options::default()).await;
    assert!(!evidence.has_differences(), "{findings:#?}");
    let error = fails(&database.url, &of("NULLIF(path, nowhere)"), &Options::default()).await;
    assert!(error.to_string().contains("compare: `path`: legacy: column \"nowhere\""), "{error}");
    let uuid = "ALTER TABLE twin ALTER old_path TYPE uuid USING md5(old_path)::uuid";
    support::execute(&database.url, uuid).await;
    let unlike = compared(&[("old_path", Compare::By(CompareBy::Value))]);
    let error = fails(&database.url, &unlike, &Options::default()).await;
    assert!(error.to_string().contains("of unlike kinds"), "{error}");
}

/// Values whose bytes differ and that are equal and print alike: a bitmap of no NULLs, the sign of NaN, also
/// within what is made of them.
const MANY_FORMS: &str = "
CREATE TYPE two AS (x int[], y float8);
CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, v int[], f float8, r real, b two, bs two[]);
CREATE TABLE twin (LIKE ledger, PRIMARY KEY (id, org_id)) PARTITION BY HASH (org_id);
CREATE TABLE twin_0 PARTITION OF twin FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO ledger SELECT g, g % 3, ARRAY[1, 2], 'NaN', 'NaN', row('{}'::int[], 0.1::float8)::two,
    ARRAY[row(ARRAY[1, 2], 'NaN'::float8)::two] FROM generate_series(1, 30) AS g;
INSERT INTO twin SELECT id, org_id, CASE id WHEN 1 THEN (ARRAY[1, 2, NULL])[1:2] ELSE v END,
    CASE id WHEN 2 THEN -('NaN'::float8) ELSE f END, CASE id WHEN 3 THEN -('NaN'::real) ELSE r END,
    CASE id WHEN 4 THEN row((ARRAY[1, NULL])[3:3], 0.1::float8)::two ELSE b END,
    CASE id WHEN 5 THEN ARRAY[row((ARRAY[1, 2, NULL])[1:2], -('NaN'::float8))::two] ELSE bs END FROM ledger";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_equal_and_prints_alike_is_no_mismatch_whatever_its_bytes() {
    let database = support::database();
    support::execute(&database.url, MANY_FORMS).await;
    let pairs = vec![TablePair { sync: Some(Sync::None), ..pair("ledger", "twin") }];
    for digest in BOTH {
        let options = Options { digest, all_orgs: true, ..Options::default() };
        let out = tempfile::tempdir().expect("a folder");
        let compared = compare_into(&database.url, &pairs, &options, out.path()).await;
        let (evidence, findings) = compared.expect("compared");
        assert!(!evidence.has_differences(), "{digest:?}: {findings:#?}");
        assert_eq!((evidence.orgs_checked, evidence.orgs_diverged), (3, 0));
        let orgs = std::fs::read_to_string(out.path().join("orgs.csv")).expect("orgs.csv");
        assert_eq!(orgs.lines().count(), 4, "{digest:?}: {orgs}");
    }
    let faults = "UPDATE twin SET f = 0.1 WHERE id = 2; UPDATE ledger SET f = 0.1::float8 + 1.4e-17 WHERE id = 2;
        UPDATE twin SET r = '-0' WHERE id = 3; UPDATE ledger SET r = 0 WHERE id = 3;
        UPDATE twin SET v = ARRAY[1, 2, NULL] WHERE id = 1; UPDATE twin SET b.x = ARRAY[7] WHERE id = 4";
    support::execute(&database.url, faults).await;
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (_, findings) = compare(&database.url, &pairs, &options).await;
        let expected = [
            "mismatched Some(Some(\"1\")) v",
            "mismatched Some(Some(\"2\")) f",
            "mismatched Some(Some(\"3\")) r",
            "mismatched Some(Some(\"4\")) b",
        ];
        assert_eq!(rows(&findings), expected, "{digest:?}");
    }
}

/// Arrays, composites, ranges and domains have a binary form if what they are made of has one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_types_without_a_binary_form_is_compared_by_its_text() {
    let database = support::database();
    let sql = "
        CREATE TYPE granted AS (who text, what aclitem);
        CREATE DOMAIN grants AS aclitem[];
        CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, one aclitem[], two granted, three grants,
            four granted[], five text);
        CREATE TABLE twin (LIKE ledger, PRIMARY KEY (id, org_id)) PARTITION BY HASH (org_id);
        CREATE TABLE twin_0 PARTITION OF twin FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO ledger SELECT g, g % 3, ARRAY[a], row('all', a)::granted, ARRAY[a]::grants,
            ARRAY[row('all', a)::granted], 'x'
          FROM generate_series(1, 30) AS g, makeaclitem(0, current_user::regrole, 'SELECT', false) AS a;
        INSERT INTO twin SELECT * FROM ledger";
    support::execute(&database.url, sql).await;
    let pairs = vec![TablePair { sync: Some(Sync::None), ..pair("ledger", "twin") }];
    for (fault, expected) in [
        ("", vec![]),
        (
            "UPDATE twin SET four[1].who = 'none' WHERE id = 7",
            vec!["mismatched Some(Some(\"7\")) four"],
        ),
    ] {
        support::execute(&database.url, fault).await;
        for digest in BOTH {
            let options = Options { digest, ..Options::default() };
            let (_, findings) = compare(&database.url, &pairs, &options).await;
            assert_eq!(rows(&findings), expected, "{digest:?}");
        }
    }
}

/// Numbers and JSON have several forms of one value also within one type; a float holds no more than it holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_the_same_whatever_its_form_and_another_never_is() {
    let database = support::database();
    let sql = "
        CREATE TABLE ledger (id numeric PRIMARY KEY, org_id int NOT NULL, n numeric, j json, big bigint, r real, f float8);
        CREATE TABLE twin (id numeric, org_id int NOT NULL, n numeric, j json, big float8, r numeric, f numeric,
            PRIMARY KEY (id, org_id)) PARTITION BY HASH (org_id);
        CREATE TABLE twin_0 PARTITION OF twin FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO ledger SELECT g, g % 3, 1.5, '{\"a\":1}', 9007199254740992 + g, 0.1, 0.1 FROM generate_series(1, 9) AS g;
        INSERT INTO twin SELECT id + 0.00, org_id, 1.50, '{\"a\": 1}', big, 0.1, 0.1 FROM ledger;
        UPDATE ledger SET n = '1e400', f = '-0' WHERE id = 8;
        UPDATE twin SET n = '1e400', f = 0 WHERE id = 8";
    support::execute(&database.url, sql).await;
    let by_value = ["id", "n", "j", "big", "r", "f"];
    let by_value = compared(&by_value.map(|name| (name, Compare::By(CompareBy::Value))));
    let pairs = vec![TablePair { sync: Some(Sync::None), ..by_value[0].clone() }];
    // Odd ones above 2^53 have no float of their own.
    let rounded =
        ["1", "3", "5", "7", "9"].map(|id| format!("mismatched Some(Some(\"{id}\")) big"));
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (_, findings) = compare(&database.url, &pairs, &options).await;
        assert_eq!(rows(&findings), rounded, "{digest:?}: {findings:#?}");
    }
}
