//! What guards the two sides, and writes that nobody can make: each is named though every row agrees, and what
//! only looks like it is not.

use cutover::config::{Accept, TablePair};
use cutover::diff::Options;
use cutover::evidence::class::CatalogClass;
use cutover::evidence::finding::Severity;

use crate::diff::{BOTH, errors};
use crate::support::{self, TestDatabase, compare};

/// A pair that agrees, with a guard of each kind on both sides, used by a role that owns neither.
const HEALTHY: &str = "
CREATE TYPE state AS ENUM ('open', 'paid');
CREATE TABLE owners (id int PRIMARY KEY);
INSERT INTO owners VALUES (1), (2), (3);
CREATE TABLE bills (id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES owners, day date NOT NULL,
    amount numeric(14, 2) NOT NULL CHECK (amount > -1000000), number text UNIQUE, note varchar(40),
    state state NOT NULL DEFAULT 'open', CONSTRAINT noted CHECK (note IS NOT NULL));
CREATE TABLE bills_parts (id bigint NOT NULL, org_id int NOT NULL REFERENCES owners, day date NOT NULL,
    amount numeric(14, 2) NOT NULL CHECK (amount > -1000000), number text, note varchar(40) NOT NULL,
    state state NOT NULL DEFAULT 'open', PRIMARY KEY (id, day), UNIQUE (number, day))
    PARTITION BY RANGE (day);
CREATE TABLE bills_old (LIKE bills_parts INCLUDING CONSTRAINTS, CONSTRAINT days CHECK (day < '2030-01-01'));
ALTER TABLE bills_parts ATTACH PARTITION bills_old FOR VALUES FROM (MINVALUE) TO ('2030-01-01');
CREATE TABLE bills_new PARTITION OF bills_parts FOR VALUES FROM ('2030-01-01') TO ('2100-01-01');
CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN DELETE FROM bills_parts WHERE id = OLD.id AND day = OLD.day; END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO bills_parts (id, org_id, day, amount, number, note, state)
        VALUES (NEW.id, NEW.org_id, NEW.day, NEW.amount, NEW.number, NEW.note, NEW.state);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER carry AFTER INSERT OR UPDATE OR DELETE ON bills FOR EACH ROW EXECUTE FUNCTION carry();
INSERT INTO bills SELECT i, i % 3 + 1, '2026-01-01'::date + i, i, 'n' || i, 'note ' || i, 'open'
  FROM generate_series(1, 30) AS i;";

/// What is changed, and the classes of the errors that follow, each with a word that has to be told.
const FAULTS: [(&str, &str, &str); 25] = [
    ("CREATE UNIQUE INDEX once ON bills_parts (org_id, day)", "twin_stricter", "once"),
    ("CREATE UNIQUE INDEX once ON bills_old (note)", "twin_stricter", "once"),
    ("ALTER TABLE bills_parts ADD CONSTRAINT positive CHECK (amount > 0)", "twin_stricter", "positive"),
    ("ALTER TABLE bills_old ADD CONSTRAINT positive CHECK (amount > 0)", "twin_stricter", "positive"),
    (
        "ALTER TABLE bills_parts ADD CONSTRAINT large CHECK (amount < 1e9) NOT VALID",
        "twin_stricter",
        "large",
    ),
    ("ALTER TABLE bills_parts ALTER number SET NOT NULL", "twin_stricter", "number"),
    ("ALTER TABLE bills_old ALTER number SET NOT NULL", "twin_stricter", "number"),
    (
        "CREATE TABLE payers (id text PRIMARY KEY); INSERT INTO payers SELECT number FROM bills;
         ALTER TABLE bills_parts ADD CONSTRAINT paid_by FOREIGN KEY (number) REFERENCES payers",
        "twin_stricter",
        "paid_by",
    ),
    ("ALTER TABLE bills ALTER note TYPE varchar(60)", "column_type, twin_stricter", "40 characters"),
    ("ALTER TABLE bills ALTER amount TYPE numeric(20, 4)", "column_type, mismatched, twin_stricter", "decimals"),
    (
        "CREATE TYPE fewer AS ENUM ('open'); ALTER TABLE bills_parts ALTER state DROP DEFAULT,
             ALTER state TYPE fewer USING state::text::fewer;
         CREATE CAST (state AS fewer) WITH INOUT AS ASSIGNMENT",
        "column_type, twin_stricter",
        "paid",
    ),
    ("REVOKE INSERT ON bills_parts FROM clerk_{n}", "grant_missing", "INSERT"),
    ("GRANT DELETE ON bills TO clerk_{n}", "grant_missing", "GRANT DELETE"),
    ("GRANT SELECT ON bills TO PUBLIC", "grant_missing", "public"),
    (
        "REVOKE SELECT ON bills, bills_parts FROM clerk_{n}; GRANT SELECT (id, note) ON bills TO clerk_{n};
         GRANT SELECT (id) ON bills_parts TO clerk_{n}",
        "grant_missing",
        "SELECT (\"note\")",
    ),
    ("ALTER TABLE bills ENABLE ROW LEVEL SECURITY", "row_security_differs", "on, no policy"),
    (
        "ALTER TABLE bills ENABLE ROW LEVEL SECURITY; ALTER TABLE bills_parts ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON bills USING (org_id = 1); CREATE POLICY own ON bills_parts USING (org_id = 2)",
        "row_security_differs",
        "org_id = 2",
    ),
    (
        "ALTER TABLE bills ENABLE ROW LEVEL SECURITY; ALTER TABLE bills_parts ENABLE ROW LEVEL SECURITY;
         ALTER TABLE bills_parts FORCE ROW LEVEL SECURITY",
        "row_security_differs",
        "forced",
    ),
    ("{carry: INSERT INTO bills_parts (gone) VALUES (1);}", "writes_refused", "42703"),
    ("{carry: RAISE EXCEPTION 'not today';}", "writes_refused", "not today"),
    ("{carry: IF TG_OP = 'DELETE' THEN RAISE EXCEPTION 'kept'; END IF;}", "writes_refused", "DELETE"),
    ("{carry: PERFORM nobody_made_this(1);}", "writes_refused", "42883"),
    ("{carry: UPDATE bills SET note = note WHERE id = coalesce(NEW.id, OLD.id);}", "writes_refused", "carry()"),
    (
        "CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN UPDATE bills SET note = 'own' WHERE id = NEW.id; RETURN NEW; END $$;
         CREATE TRIGGER own BEFORE UPDATE ON bills FOR EACH ROW EXECUTE FUNCTION own()",
        "writes_refused",
        "without end: PL/pgSQL function own()",
    ),
    (
        "ALTER TABLE bills ADD more numeric GENERATED ALWAYS AS (amount * 0) STORED;
         ALTER TABLE bills_parts ADD more numeric GENERATED ALWAYS AS (amount * 0 * 2) STORED",
        "column_default",
        "is generated as",
    ),
];

/// Changes that leave nothing to be found.
const LOOK_ALIKES: [&str; 10] = [
    "",
    "CREATE UNIQUE INDEX ON bills (number, org_id); CREATE UNIQUE INDEX ON bills_parts (number, org_id, day)",
    "ALTER TABLE bills ADD CONSTRAINT small CHECK (amount < 1e6); ALTER TABLE bills_parts ADD CONSTRAINT other \
     CHECK (amount < 1e6)",
    "ALTER TABLE bills_parts ALTER note TYPE varchar(40)",
    "GRANT DELETE ON bills, bills_parts TO clerk_{n}",
    "ALTER FUNCTION carry() SECURITY DEFINER; REVOKE INSERT, UPDATE ON bills_parts FROM clerk_{n}",
    "ALTER TABLE bills ENABLE ROW LEVEL SECURITY; ALTER TABLE bills_parts ENABLE ROW LEVEL SECURITY;
     CREATE POLICY a ON bills USING (org_id = 1); CREATE POLICY b ON bills_parts USING (org_id = 1)",
    "ALTER TABLE bills ENABLE ROW LEVEL SECURITY; ALTER TABLE bills_parts ENABLE ROW LEVEL SECURITY;
     CREATE POLICY a ON bills TO clerk_{n}, postgres_{n} USING (note > 'B'); CREATE POLICY b ON bills USING (id > 1);
     CREATE POLICY a ON bills_parts USING (id > 1);
     CREATE POLICY b ON bills_parts TO postgres_{n}, clerk_{n} USING (note > 'B')",
    // The function that carries refuses what it takes for nonsense, and takes what is written.
    "{carry: IF NEW.number LIKE '%x%' OR NEW.note <> OLD.note THEN RAISE EXCEPTION 'nonsense'; END IF;}",
    // Legacy itself refuses it, by a trigger that carries nothing.
    "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'kept'; END $$;
     CREATE TRIGGER keep BEFORE DELETE ON bills FOR EACH ROW EXECUTE FUNCTION keep()",
];

fn bills() -> Vec<TablePair> {
    vec![TablePair {
        name: "bills".into(),
        legacy: "bills".into(),
        partitioned: "bills_parts".into(),
        trigger: Some("carry".into()),
        changed_at: None,
        ..TablePair::reference().remove(0)
    }]
}

/// The function that carries, with something at its beginning.
fn carry(body: &str) -> String {
    let from = HEALTHY.find("CREATE FUNCTION carry").expect("it is made there");
    let to = from + HEALTHY[from..].find("$$;").expect("its end") + 3;
    let made = HEALTHY[from..to].replacen("CREATE", "CREATE OR REPLACE", 1);
    made.replacen("BEGIN", &format!("BEGIN {body}"), 1)
}

/// The healthy pair with a change, and its role, which goes with the server.
async fn changed(change: &str, number: usize) -> TestDatabase {
    let database = support::database();
    support::execute(&database.url, HEALTHY).await;
    let role = format!("clerk_{}_{number}", std::process::id());
    let grants = format!(
        "CREATE ROLE {role}; GRANT SELECT, INSERT, UPDATE ON bills, bills_parts TO {role};
         GRANT INSERT (id) ON bills, bills_parts TO {role}"
    );
    support::execute(&database.url, &grants).await;
    let change = change.replace("clerk_{n}", &role).replace("postgres_{n}", "CURRENT_USER");
    let change = match change.strip_prefix("{carry: ").and_then(|body| body.strip_suffix('}')) {
        Some(body) => carry(body),
        None => change,
    };
    support::execute(&database.url, &change).await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_twin_refuses_and_what_nobody_can_write_is_named() {
    for (number, (change, classes, word)) in FAULTS.into_iter().enumerate() {
        let database = changed(change, number).await;
        let digest = BOTH[number % 2];
        let options = Options { digest, ..Options::default() };
        let (_, findings) = compare(&database.url, &bills(), &options).await;
        assert_eq!(errors(&findings), classes, "{change}: {findings:#?}");
        let told = findings.iter().any(|f| f.detail.as_deref().is_some_and(|d| d.contains(word)));
        assert!(told || word.is_empty(), "{change}: {findings:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_sides_have_or_follows_from_it_is_no_fault() {
    for (number, change) in LOOK_ALIKES.into_iter().enumerate() {
        let database = changed(change, 100 + number).await;
        let (_, findings) = compare(&database.url, &bills(), &Options::default()).await;
        assert_eq!(errors(&findings), "", "{change}: {findings:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_meant_to_be_so_is_shown_with_its_reason_and_decides_nothing() {
    let change = "ALTER TABLE bills_parts ADD CONSTRAINT positive CHECK (amount > 0)";
    let database = changed(change, 200).await;
    let mut pairs = bills();
    let accept = |class| Accept {
        class,
        table: Some("bills".into()),
        column: None,
        reason: "no credit notes after 2025".into(),
    };
    pairs[0].accepted = vec![accept(CatalogClass::TwinLooser)];
    let (evidence, _) = compare(&database.url, &pairs, &Options::default()).await;
    assert_eq!((evidence.integrity_errors, evidence.has_differences()), (1, true));
    pairs[0].accepted = vec![accept(CatalogClass::TwinStricter)];
    let (evidence, findings) = compare(&database.url, &pairs, &Options::default()).await;
    assert_eq!((evidence.integrity_errors, evidence.differences_total), (0, 0));
    assert!(!evidence.has_differences());
    let stricter = findings.iter().find(|f| f.class.word() == "twin_stricter").expect("shown");
    assert_eq!(stricter.severity, Some(Severity::Error));
    assert_eq!(stricter.accepted.as_deref(), Some("no credit notes after 2025"));
}
