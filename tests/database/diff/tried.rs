//! What the probe tries, and sees: keys that others refer to, NULL that comes by INSERT or stands everywhere.

use cutover::config::TablePair;
use cutover::diff::Options;
use cutover::evidence::finding::Finding;

use crate::diff::{errors, pair};
use crate::support::{self, compare};

/// A parent with the key `{key}`, whose rows all have a child, and a twin that follows.
const PARENT: &str = "
CREATE TABLE bills ({columns}, org_id int NOT NULL, day date NOT NULL, note text, memo text, PRIMARY KEY ({key}));
CREATE TABLE bills_parts (LIKE bills, PRIMARY KEY ({key}, day)) PARTITION BY RANGE (day);
CREATE TABLE bills_all PARTITION OF bills_parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
INSERT INTO bills SELECT {values}, i % 3, '2026-03-01', 'n' || i, NULL FROM generate_series(1, 20) AS i;
INSERT INTO bills_parts SELECT * FROM bills;
CREATE TABLE lines (LIKE bills, FOREIGN KEY ({key}) REFERENCES bills);
INSERT INTO lines SELECT * FROM bills;
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO bills_parts SELECT NEW.*;
    ELSIF TG_OP = 'UPDATE' THEN
        DELETE FROM bills_parts WHERE ({key}) = {old};
        INSERT INTO bills_parts SELECT NEW.*;
    ELSE
        DELETE FROM bills_parts WHERE ({key}) = {old};
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON bills FOR EACH ROW EXECUTE FUNCTION carry()";

/// Columns of a key, their names, and their values in row `i`.
const KEYS: [(&str, &str, &str); 5] = [
    ("id bigint", "id", "i"),
    ("id uuid", "id", "md5(i::text)::uuid"),
    ("id text", "id", "'b' || i"),
    ("code char(3), no int", "code, no", "'c' || i % 7, i"),
    (
        "region text CHECK (region IN ('EU', 'US')), lot uuid",
        "region, lot",
        "CASE i % 2 WHEN 0 THEN 'EU' ELSE 'US' END, md5(i::text)::uuid",
    ),
];

/// What is wrong with the function, in place of what, and what has to be told.
const FAULTS: [(&str, &str, &str, &str); 5] = [
    ("", "", "", ""),
    (
        "    ELSE\n        DELETE FROM bills_parts WHERE ({key}) = {old};",
        "",
        "trigger_event_missing",
        "DELETE",
    ),
    (
        "INSERT' THEN\n",
        "INSERT' THEN\n NEW.note := coalesce(NEW.note, '');\n",
        "trigger_column_missing",
        "note (NULL by INSERT)",
    ),
    (
        "= 'UPDATE' THEN\n",
        "= 'UPDATE' THEN\n NEW.memo := coalesce(NEW.memo, OLD.memo);\n",
        "trigger_column_missing",
        "memo (NULL by UPDATE)",
    ),
    (
        "= 'UPDATE' THEN\n        DELETE FROM bills_parts WHERE ({key}) = {old};",
        "= 'UPDATE' THEN\n        DELETE FROM bills_parts WHERE ({key}) = {new};",
        "trigger_column_missing",
        "(UPDATE)",
    ),
];

fn pairs(key: &str) -> Vec<TablePair> {
    let key = key.split(", ").map(str::to_owned).collect();
    vec![TablePair { key, ..pair("bills", "bills_parts") }]
}

fn of(findings: &[Finding], class: &str) -> String {
    let told = findings.iter().filter(|finding| finding.class.word() == class);
    told.filter_map(|finding| finding.detail.clone()).collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_refer_to_are_tried_all_the_same() {
    for (columns, key, values) in KEYS {
        for (from, to, class, word) in FAULTS {
            assert!(PARENT.contains(from), "{from}");
            let side = |row: &str| {
                let names = key.split(", ").map(|name| format!("{row}.{name}"));
                format!("({})", names.collect::<Vec<_>>().join(", "))
            };
            let sql = PARENT.replace(from, to).replace("{columns}", columns);
            let sql = sql.replace("{key}", key).replace("{values}", values);
            let sql = sql.replace("{old}", &side("OLD")).replace("{new}", &side("NEW"));
            let database = support::database();
            support::execute(&database.url, &sql).await;
            let (_, findings) = compare(&database.url, &pairs(key), &Options::default()).await;
            assert_eq!(errors(&findings), class, "{key}, {word}: {findings:#?}");
            assert!(of(&findings, class).contains(word), "{key}, {word}: {findings:#?}");
            let unknown = of(&findings, "trigger_coverage_unknown");
            assert_eq!(unknown, "", "{key}, {word}");
        }
    }
}

/// Nobody gives a value to a column that only the server does.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_always_generated_leaves_nothing_unknown() {
    let (columns, key, _) = KEYS[0];
    let sql = PARENT.replace("{columns}", &format!("{columns} GENERATED ALWAYS AS IDENTITY"));
    let sql = sql.replace(
        "INSERT INTO bills SELECT {values},",
        "INSERT INTO bills OVERRIDING SYSTEM VALUE SELECT i,",
    );
    let sql = sql.replace("{key}", key).replace("{old}", "(OLD.id)");
    let sql = format!("{sql}; SELECT setval(pg_get_serial_sequence('bills', 'id'), 100)");
    let database = support::database();
    support::execute(&database.url, &sql).await;
    let (_, findings) = compare(&database.url, &pairs(key), &Options::default()).await;
    assert_eq!(errors(&findings), "", "{findings:#?}");
    assert_eq!(of(&findings, "trigger_coverage_unknown"), "", "{findings:#?}");
}
