//! Pairs without orgs: their rows are compared in groups, and what differs is named by its key.

use cutover::config::TablePair;
use cutover::diff::{Options, Shard};
use cutover::evidence::finding::{Finding, GROUP};

use crate::diff::{BOTH, compare_into, fails, pair, repair};
use crate::support::{self, compare};

/// Events of nobody in particular, with a key of two columns of unlike types, one of which may be NULL.
const EVENTS: &str = "
CREATE TABLE events (id integer NOT NULL, source text, at timestamp NOT NULL, body text, UNIQUE (id, source));
CREATE TABLE events_parts (id bigint NOT NULL, source varchar(20), at timestamp NOT NULL, body text,
    UNIQUE (id, source, at)) PARTITION BY RANGE (at);
CREATE TABLE events_all PARTITION OF events_parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM events_parts WHERE id = OLD.id AND source = OLD.source; END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO events_parts VALUES (NEW.*); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION carry();
INSERT INTO events SELECT i, 'it''s ' || i % 3, '2026-03-01'::timestamp + i * interval '1 hour', md5(i::text)
  FROM generate_series(1, 5000) AS i";

/// One difference of each kind that a pair without orgs can have.
const FAULTS: &str = "
DELETE FROM events_parts WHERE id = 77;
INSERT INTO events_parts VALUES (9001, 'nobody', '2026-03-01', 'x');
UPDATE events_parts SET body = 'other' WHERE id = 4321;
INSERT INTO events_parts SELECT id, source, at + interval '1 second', body FROM events_parts WHERE id = 12";

fn events(groups: u32) -> Vec<TablePair> {
    let key = vec!["id".into(), "source".into()];
    vec![TablePair { groups: Some(groups), key, ..pair("events", "events_parts") }]
}

fn rows(findings: &[Finding]) -> Vec<String> {
    let rows = findings.iter().filter(|finding| !finding.is_of_catalog());
    let told = |finding: &Finding| {
        assert!(finding.org_id.is_none() && finding.group.is_some(), "{finding:#?}");
        let id = finding.key.get("id").cloned().flatten().unwrap_or_default();
        format!("{} {id}", finding.class)
    };
    let mut told: Vec<String> = rows.map(told).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_named_by_its_key_and_mended_group_by_group() {
    for digest in BOTH {
        let database = support::database();
        support::execute(&database.url, EVENTS).await;
        let options = Options { digest, repair: true, ..Options::default() };
        for groups in [1, 64, 4096] {
            let (evidence, findings) = compare(&database.url, &events(groups), &options).await;
            assert_eq!(rows(&findings), [""; 0], "{findings:#?}");
            assert_eq!(evidence.orgs_checked.min(64), u64::from(groups.min(64)), "groups");
        }
        support::execute(&database.url, FAULTS).await;
        let out = tempfile::tempdir().expect("a folder");
        let compared = compare_into(&database.url, &events(64), &options, out.path()).await;
        let (evidence, findings) = compared.expect("compared");
        let expected = ["duplicate 12", "extra 9001", "mismatched 4321", "missing 77"];
        assert_eq!(rows(&findings), expected, "{findings:#?}");
        assert!(evidence.orgs.iter().all(|org| org.org_id.starts_with(GROUP)), "{evidence:#?}");
        let orgs = std::fs::read_to_string(out.path().join("orgs.csv")).expect("orgs.csv");
        assert!(orgs.lines().skip(1).all(|line| line.contains(GROUP)), "{orgs}");
        repair(&database.url, out.path()).expect("it is mended");
        let (_, findings) = compare(&database.url, &events(64), &options).await;
        assert_eq!(rows(&findings), [""; 0], "{findings:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_and_listed_groups_are_parts_of_the_whole() {
    let database = support::database();
    support::execute(&database.url, &format!("{EVENTS};{FAULTS}")).await;
    for digest in BOTH {
        let mut of_shards = Vec::new();
        for index in 1..=3 {
            let shard = Some(Shard { index, of: 3 });
            let options = Options { digest, shard, ..Options::default() };
            of_shards.extend(rows(&compare(&database.url, &events(64), &options).await.1));
        }
        of_shards.sort();
        assert_eq!(of_shards, ["duplicate 12", "extra 9001", "mismatched 4321", "missing 77"]);
        let options = Options { digest, ..Options::default() };
        let (_, findings) = compare(&database.url, &events(64), &options).await;
        let group = findings.iter().find(|f| f.class.word() == "extra").and_then(|f| f.group);
        let listed = vec![format!("{GROUP}{}", group.expect("a group"))];
        let options = Options { digest, orgs: Some(listed), ..Options::default() };
        let (evidence, findings) = compare(&database.url, &events(64), &options).await;
        assert!(rows(&findings).contains(&"extra 9001".to_owned()), "{findings:#?}");
        assert_eq!(evidence.orgs_checked, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_there_is_refused() {
    let database = support::database();
    support::execute(&database.url, EVENTS).await;
    let pairs = vec![TablePair { key: vec!["gone".into()], ..events(8).remove(0) }];
    let error = fails(&database.url, &pairs, &Options::default()).await;
    assert!(error.to_string().contains("no column `gone`"), "{error}");
}
