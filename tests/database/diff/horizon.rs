//! Whether there are partitions for what will be written, for every way to divide a table by time.

use cutover::config::TablePair;
use cutover::diff::Options;
use cutover::evidence::finding::{Finding, Severity};

use crate::diff::{BOTH, pair};
use crate::support::{self, TestDatabase, compare};

/// A way to divide a table by time.
struct Layout {
    columns: &'static str,
    by: &'static str,
    /// What stands in the columns at the time `t`, as expressions.
    row: &'static str,
    /// What stands in a bound at the time `t`, as an expression for a text.
    edge: &'static str,
    /// Whether no part of a month can be told.
    whole_months: bool,
}

const fn days(
    columns: &'static str,
    by: &'static str,
    row: &'static str,
    edge: &'static str,
) -> Layout {
    Layout { columns, by, row, edge, whole_months: false }
}

const fn months(
    columns: &'static str,
    by: &'static str,
    row: &'static str,
    edge: &'static str,
) -> Layout {
    Layout { columns, by, row, edge, whole_months: true }
}

const LAYOUTS: [Layout; 18] = [
    days("at date", "RANGE (at)", "t::date", "quote_literal(t::date)"),
    days("at timestamp", "RANGE (at)", "t", "quote_literal(t)"),
    days("at timestamptz, n int", "RANGE (at, n)", "t, 3", "quote_literal(t) || ', 0'"),
    days("at bigint", "RANGE (at)", "extract(epoch FROM t)", "extract(epoch FROM t)::bigint::text"),
    days(
        "at bigint",
        "RANGE (at)",
        "extract(epoch FROM t) * 1000",
        "(extract(epoch FROM t)::bigint * 1000)::text",
    ),
    days(
        "at bigint",
        "RANGE (at)",
        "extract(epoch FROM t) * 1e6",
        "(extract(epoch FROM t)::bigint * 1000000)::text",
    ),
    days("at int", "RANGE (at)", "to_char(t, 'YYYYMMDD')::int", "to_char(t, 'YYYYMMDD')"),
    days(
        "at text",
        "RANGE (at)",
        "to_char(t, 'YYYY-MM-DD')",
        "quote_literal(to_char(t, 'YYYY-MM-DD'))",
    ),
    days(
        "at uuid",
        "RANGE (at)",
        "overlay(overlay(md5(t::text) placing lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') from 1) \
         placing '7' from 13)::uuid",
        "quote_literal(rpad(lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0'), 32, '0')::uuid)",
    ),
    days(
        "at timestamptz",
        "RANGE (((at AT TIME ZONE 'UTC')::date))",
        "t",
        "quote_literal(t::date)",
    ),
    days(
        "at bigint",
        "RANGE (to_timestamp(at::double precision))",
        "extract(epoch FROM t)",
        "quote_literal(t)",
    ),
    months("at int", "RANGE (at)", "to_char(t, 'YYYYMM')::int", "to_char(t, 'YYYYMM')"),
    months(
        "y int, m int",
        "RANGE (y, m)",
        "extract(year FROM t), extract(month FROM t)",
        "to_char(t, 'YYYY, FMMM')",
    ),
    months(
        "period char(7)",
        "LIST (period)",
        "to_char(t, 'YYYY-MM')",
        "quote_literal(to_char(t, 'YYYY-MM'))",
    ),
    months("period int", "LIST (period)", "to_char(t, 'YYYYMM')::int", "to_char(t, 'YYYYMM')"),
    months(
        "period text",
        "LIST (period)",
        "to_char(t, '\"p\"YYYY_MM')",
        "quote_literal(to_char(t, '\"p\"YYYY_MM'))",
    ),
    months("day date", "LIST (date_trunc('month', day::timestamp))", "t::date", "quote_literal(t)"),
    months(
        "day date",
        "RANGE (extract(year FROM day), extract(month FROM day))",
        "t::date",
        "to_char(t, 'YYYY, FMMM')",
    ),
];

fn parts() -> TablePair {
    pair("ledger", "ledger_parts")
}

/// A twin with partitions from two months ago on, `ahead` of them after this month; the last of a layout that
/// knows days ends tomorrow if there are none. `sub` divides each of them again.
async fn divided(layout: &Layout, ahead: i32, sub: (&str, &str)) -> TestDatabase {
    let Layout { columns, by, row, edge, whole_months } = layout;
    let database = support::database();
    let (sub_by, sub_parts) = sub;
    let bounds = if by.starts_with("LIST") {
        "format('IN (%s)', pg_temp.edge(b))"
    } else {
        "format('FROM (%s) TO (%s)', pg_temp.edge(b), pg_temp.edge(e))"
    };
    let sql = format!(
        "SET TimeZone = 'UTC';
         CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, region text, {columns});
         CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY {by};
         CREATE FUNCTION pg_temp.edge(t timestamp) RETURNS text LANGUAGE sql AS $f$ SELECT {edge} $f$;
         DO $$ DECLARE b timestamp; e timestamp; name text; BEGIN
         FOR i IN -2..{ahead} LOOP
             b := date_trunc('month', now()) + i * interval '1 month';
             e := b + interval '1 month';
             IF i = 0 AND {ahead} = 0 AND NOT {whole_months} THEN e := current_date + 1; END IF;
             name := 'ledger_p' || i + 2;
             EXECUTE format('CREATE TABLE %I PARTITION OF ledger_parts FOR VALUES ', name) || {bounds} || '{sub_by}';
             {sub_parts}
         END LOOP; END $$;
         INSERT INTO ledger SELECT i, i % 3, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, {row}
           FROM generate_series(1, 40) AS i, LATERAL (SELECT now()::timestamp - i * interval '1 day' AS t) AS s;
         INSERT INTO ledger_parts SELECT * FROM ledger;"
    );
    support::execute(&database.url, &sql).await;
    database
}

/// What is told about partitions, `class severity`, and the details.
fn told(findings: &[Finding]) -> (String, String) {
    let about = [
        "partition_missing",
        "partition_horizon_unknown",
        "catch_all_partition",
        "partition_gap",
        "not_partitioned",
        "default_partition_rows",
    ];
    let mut told: Vec<(String, String)> = findings
        .iter()
        .filter(|finding| about.contains(&finding.class.word()))
        .map(|finding| {
            let severity =
                if finding.severity == Some(Severity::Error) { "error" } else { "advice" };
            (format!("{} {severity}", finding.class), finding.detail.clone().unwrap_or_default())
        })
        .collect();
    told.sort();
    let (classes, details): (Vec<String>, Vec<String>) = told.into_iter().unzip();
    (classes.join(", "), details.join("\n"))
}

async fn look(url: &str, pairs: &[TablePair], number: usize) -> (String, String) {
    let options = Options { digest: BOTH[number % 2], ..Options::default() };
    told(&compare(url, pairs, &options).await.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_tomorrow_are_looked_for_in_every_layout() {
    for (number, layout) in LAYOUTS.iter().enumerate() {
        let enough = divided(layout, 3, ("", "")).await;
        let (classes, details) = look(&enough.url, &[parts()], number).await;
        assert_eq!(classes, "", "{} {}: {details}", layout.columns, layout.by);
        let lacking = divided(layout, 0, ("", "")).await;
        let (classes, details) = look(&lacking.url, &[parts()], number).await;
        assert_eq!(
            classes, "partition_missing error",
            "{} {}: {details}",
            layout.columns, layout.by
        );
    }
}

/// Partitions below each, for two regions; of the last one for one.
const REGIONS: (&str, &str) = (
    " PARTITION BY LIST (region)",
    "EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (''eu'')', name || '_eu', name);
     IF i < 3 THEN EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES IN (''us'')', name || '_us', name);
     END IF;",
);

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_lacks_what_is_below_it_is_none() {
    let whole = divided(&LAYOUTS[0], 2, REGIONS).await;
    assert_eq!(look(&whole.url, &[parts()], 0).await.0, "");
    // Of the month after the one after next, nothing is to be told yet.
    let later = divided(&LAYOUTS[0], 3, REGIONS).await;
    assert_eq!(look(&later.url, &[parts()], 0).await.0, "");
    let drop = "DROP TABLE ledger_p2_us CASCADE; DROP TABLE ledger_p3_us";
    support::execute(&later.url, drop).await;
    let (classes, details) = look(&later.url, &[parts()], 0).await;
    assert_eq!(classes, "partition_missing error", "{details}");
    assert!(details.contains("`region` = us"), "{details}");
}

/// A hash on top, of which one part lacks the partitions of a week from now on.
#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_hash_has_partitions_of_its_own() {
    for lacking in [false, true] {
        let database = support::database();
        let sql = format!(
            "CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, day date NOT NULL);
             CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY HASH (org_id);
             DO $$ BEGIN FOR i IN 0..3 LOOP
                EXECUTE format('CREATE TABLE part_%s PARTITION OF ledger_parts FOR VALUES WITH (MODULUS 4,
                    REMAINDER %s) PARTITION BY RANGE (day)', i, i);
                EXECUTE format('CREATE TABLE part_%s_old PARTITION OF part_%s FOR VALUES FROM (%L) TO (%L)', i, i,
                    current_date - 100, current_date + 2);
                EXECUTE format('CREATE TABLE part_%s_new PARTITION OF part_%s FOR VALUES FROM (%L) TO (%L)', i, i,
                    current_date + 2, current_date + CASE WHEN i = 2 AND {lacking} THEN 3 ELSE 100 END);
             END LOOP; END $$;
             INSERT INTO ledger SELECT i, i % 20, current_date - i % 30 FROM generate_series(1, 200) AS i;
             INSERT INTO ledger_parts SELECT * FROM ledger"
        );
        support::execute(&database.url, &sql).await;
        let (classes, details) = look(&database.url, &[parts()], 0).await;
        assert_eq!(classes, if lacking { "partition_missing error" } else { "" }, "{details}");
    }
}

/// Tables by SQL, what is told of them, and a word of it.
const OTHERS: [(&str, &str, &str); 17] = [
    // Ranges of what tells no time.
    (
        "CREATE TABLE ledger_parts (LIKE ledger INCLUDING ALL) PARTITION BY RANGE (id);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM (0) TO (1000)",
        "partition_horizon_unknown advice",
        "`id`",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger INCLUDING ALL) PARTITION BY RANGE (id);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM (0) TO (41)",
        "partition_missing error",
        "41, the next number",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger INCLUDING ALL) PARTITION BY RANGE (id);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM (0) TO (20);
         CREATE TABLE b PARTITION OF ledger_parts FOR VALUES FROM (20) TO (MAXVALUE)",
        "",
        "",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY LIST (region);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES IN ('eu', 'us')",
        "",
        "",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY HASH (org_id);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "",
        "",
    ),
    // All in one, with and without an end.
    (
        "CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY RANGE (day);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE)",
        "",
        "",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY RANGE (day);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
         CREATE TABLE b PARTITION OF ledger_parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE c PARTITION OF ledger_parts FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
         CREATE TABLE d PARTITION OF ledger_parts FOR VALUES FROM ('2022-01-01') TO (MAXVALUE)",
        "catch_all_partition error",
        "d takes all",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY RANGE (day);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE b PARTITION OF ledger_parts FOR VALUES FROM ('2021-01-01') TO ('2050-01-01');
         CREATE TABLE c PARTITION OF ledger_parts FOR VALUES FROM ('2050-01-01') TO (MAXVALUE)",
        "catch_all_partition advice",
        "c takes all",
    ),
    // What falls into DEFAULT has no partition.
    (
        "CREATE TABLE ledger_parts (LIKE ledger) PARTITION BY RANGE (day);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM ('2020-01-01') TO ('2026-01-02');
         CREATE TABLE b PARTITION OF ledger_parts DEFAULT PARTITION BY LIST (region);
         CREATE TABLE b_eu PARTITION OF b FOR VALUES IN ('eu', 'us')",
        "partition_missing error",
        "",
    ),
    // Tables that inherit, by their CHECKs; and with a trigger that makes them.
    (
        "CREATE TABLE ledger_parts (LIKE ledger);
         CREATE TABLE a (CHECK (day >= '2020-01-01' AND day < '2050-01-01')) INHERITS (ledger_parts)",
        "",
        "",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger);
         CREATE TABLE a (CHECK (day >= '2020-01-01' AND day < '2026-02-01')) INHERITS (ledger_parts)",
        "partition_missing error",
        "",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger);
         CREATE TABLE a (CHECK (day >= '2020-01-01' AND day < '2026-02-01')) INHERITS (ledger_parts);
         CREATE FUNCTION route() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN EXECUTE 'CREATE TABLE IF NOT EXISTS …'; RETURN NEW; END $$;
         CREATE TRIGGER route BEFORE INSERT ON ledger_parts FOR EACH ROW EXECUTE FUNCTION route()",
        "partition_horizon_unknown advice",
        "a trigger makes tables",
    ),
    // Nothing tells what these take; an extension makes a table for whatever comes.
    (
        "CREATE TABLE ledger_parts (LIKE ledger); CREATE TABLE a () INHERITS (ledger_parts)",
        "partition_horizon_unknown advice",
        "tells the time",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger); CREATE TABLE a (CHECK (org_id < 9)) INHERITS (ledger_parts)",
        "partition_horizon_unknown advice",
        "tells the time",
    ),
    (
        "CREATE TABLE ledger_parts (LIKE ledger);
         CREATE TABLE a (CHECK (day >= '2020-01-01' AND day < '2026-02-01')) INHERITS (ledger_parts);
         CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
         CREATE TRIGGER ts_insert_blocker BEFORE INSERT ON ledger_parts FOR EACH ROW EXECUTE FUNCTION block()",
        "",
        "",
    ),
    // A type that refuses what is to come ends no comparison.
    (
        "CREATE DOMAIN known AS text CHECK (VALUE = '2026-01-01');
         CREATE TABLE ledger_parts (id bigint, org_id int, region text, day known) PARTITION BY RANGE (day);
         CREATE TABLE a PARTITION OF ledger_parts FOR VALUES FROM (MINVALUE) TO (MAXVALUE)",
        "partition_horizon_unknown advice",
        "is refused (SQLSTATE 23514)",
    ),
    ("CREATE TABLE ledger_parts (LIKE ledger)", "not_partitioned advice", ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_said_and_what_takes_all_is_named() {
    for (number, (sql, expected, word)) in OTHERS.into_iter().enumerate() {
        let database = support::database();
        let ledger = "CREATE TABLE ledger (id bigint PRIMARY KEY, org_id int NOT NULL, region text, day date);
            INSERT INTO ledger SELECT i, i % 3, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, '2026-01-01'
              FROM generate_series(1, 40) AS i;";
        let fill = if sql.contains("INHERITS") { "a" } else { "ledger_parts" };
        let fill = format!("INSERT INTO {fill} SELECT * FROM ledger");
        support::execute(&database.url, &format!("{ledger} {sql}; {fill}")).await;
        let (classes, details) = look(&database.url, &[parts()], number).await;
        let classes = classes.replace("default_partition_rows error, ", "");
        assert_eq!(classes, expected, "{sql}: {details}");
        assert!(details.contains(word), "{sql}: {details}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_ahead_partitions_have_to_be_is_for_the_configuration_to_say() {
    let database = divided(&LAYOUTS[0], 0, ("", "")).await;
    let month = "DO $$ BEGIN EXECUTE format(
        'CREATE TABLE ledger_next PARTITION OF ledger_parts FOR VALUES FROM (%L) TO (%L)',
        current_date + 1, current_date + 21); END $$";
    support::execute(&database.url, month).await;
    for (ahead, expected) in [
        (None, "partition_missing advice"),
        (Some("30d"), "partition_missing error"),
        (Some("0d"), "partition_missing advice"),
        (Some("20d"), "partition_missing advice"),
        (Some("21d"), "partition_missing error"),
    ] {
        let mut pairs = [parts()];
        pairs[0].partitions_ahead = ahead.map(str::to_owned);
        assert_eq!(look(&database.url, &pairs, 0).await.0, expected, "{ahead:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rows_only_a_type_tells_the_time() {
    for (layout, sub, expected) in [
        (&LAYOUTS[0], ("", ""), "partition_missing error"),
        (&LAYOUTS[3], ("", ""), "partition_horizon_unknown advice"),
        // No region is known for which to ask.
        (&LAYOUTS[0], REGIONS, "partition_horizon_unknown advice"),
    ] {
        let database = divided(layout, 0, sub).await;
        support::execute(&database.url, "TRUNCATE ledger, ledger_parts").await;
        let options = Options::default();
        let found = compare(&database.url, &[parts()], &options).await.1;
        assert_eq!(told(&found).0, expected, "{}", layout.columns);
    }
}
