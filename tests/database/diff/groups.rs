//! Rows without orgs: compared in groups, or as one group beside the orgs; what differs is named by its key.

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

/// Some rows belong to nobody yet; the key is unique by itself.
const SOME_HAVE_NONE: &str = "
CREATE TABLE leads (id bigint PRIMARY KEY, org_id {type}, note text);
CREATE TABLE leads_parts (LIKE leads, PRIMARY KEY (id)) PARTITION BY HASH (id);
CREATE TABLE leads_0 PARTITION OF leads_parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE leads_1 PARTITION OF leads_parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM leads_parts WHERE id = OLD.id; END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO leads_parts VALUES (NEW.*); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON leads FOR EACH ROW EXECUTE FUNCTION carry();
INSERT INTO leads SELECT i, CASE WHEN i % 4 > 0 THEN {org} END, 'note ' || i FROM generate_series(1, 400) AS i";

fn of_nobody(findings: &[Finding]) -> Vec<String> {
    let rows = findings.iter().filter(|finding| !finding.is_of_catalog());
    let told = |finding: &Finding| {
        let id = finding.key.get("id").cloned().flatten().unwrap_or_default();
        format!("{} {id} {}", finding.class, finding.org_id.is_none())
    };
    let mut told: Vec<String> = rows.map(told).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_an_org_are_a_group_of_their_own() {
    for (kind, org) in
        [("int", "i % 4"), ("text", "'t' || i % 4"), ("uuid", "md5((i % 4)::text)::uuid")]
    {
        let database = support::database();
        let sql = SOME_HAVE_NONE.replace("{type}", kind).replace("{org}", org);
        support::execute(&database.url, &sql).await;
        let pairs = vec![pair("leads", "leads_parts")];
        for digest in BOTH {
            let options = Options { digest, ..Options::default() };
            let (evidence, findings) = compare(&database.url, &pairs, &options).await;
            assert!(!evidence.has_differences(), "{kind}, {digest:?}: {findings:#?}");
            assert_eq!(evidence.orgs_checked, 4, "{kind}, {digest:?}");
        }
        let faults = "DELETE FROM leads_parts WHERE id = 8; UPDATE leads_parts SET note = 'x' WHERE id = 12;
            UPDATE leads_parts SET org_id = NULL WHERE id = 13; DELETE FROM leads_parts WHERE id = 5;
            UPDATE leads_parts SET org_id = (SELECT org_id FROM leads WHERE id = 1) WHERE id = 16";
        support::execute(&database.url, faults).await;
        let expected = [
            "mismatched 12 true",
            "missing 5 false",
            "missing 8 true",
            "wrong_org 13 false",
            "wrong_org 16 true",
        ];
        for digest in BOTH {
            let mut of_shards = Vec::new();
            for index in 1..=3 {
                let shard = Some(Shard { index, of: 3 });
                let options = Options { digest, shard, ..Options::default() };
                of_shards.extend(of_nobody(&compare(&database.url, &pairs, &options).await.1));
            }
            of_shards.sort();
            assert_eq!(of_shards, expected, "{kind}, {digest:?}");
            let options = Options { digest, repair: true, ..Options::default() };
            let out = tempfile::tempdir().expect("a folder");
            let compared = compare_into(&database.url, &pairs, &options, out.path()).await;
            let (_, findings) = compared.expect("compared");
            assert_eq!(of_nobody(&findings), expected, "{kind}, {digest:?}");
            if digest == BOTH[1] {
                repair(&database.url, out.path()).expect("it is mended");
            }
        }
        let (evidence, findings) = compare(&database.url, &pairs, &Options::default()).await;
        assert!(!evidence.has_differences(), "{kind}: {findings:#?}");
    }
}

/// Functions and operators of somebody else that bear the names of the server's are never used.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_elses_functions_are_used_in_place_of_the_servers() {
    let database = support::database();
    let shadows = "
        CREATE SCHEMA app;
        CREATE FUNCTION app.hashtextextended(text, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';
        CREATE FUNCTION app.num_nulls(VARIADIC \"any\") RETURNS int LANGUAGE internal IMMUTABLE AS 'pg_num_nonnulls';
        CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';
        CREATE FUNCTION public.mod(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint';
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET search_path = app, public, pg_catalog', current_database());
        END $$";
    support::execute(&database.url, &format!("{EVENTS};{FAULTS};{shadows}")).await;
    let by_org = vec![TablePair {
        key: events(8)[0].key.clone(),
        org: "source".into(),
        ..pair("events", "events_parts")
    }];
    for digest in BOTH {
        let options = Options { digest, ..Options::default() };
        let (evidence, findings) = compare(&database.url, &events(64), &options).await;
        let expected = ["duplicate 12", "extra 9001", "mismatched 4321", "missing 77"];
        assert_eq!(rows(&findings), expected, "{digest:?}: {findings:#?}");
        assert_eq!(evidence.orgs_checked, 64);
        let (evidence, _) = compare(&database.url, &by_org, &options).await;
        assert!(evidence.has_differences(), "{digest:?}");
    }
}
