//! One content, however it is loaded: the 10,000 orgs of rng seed 42 by one connection and by four,
//! whole and in three shards, and after five kill -9 at random moments.
//!
//! The digest is computed here, from what the server hands out by COPY; what the program says of
//! itself is held against that.

use crate::support;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::support::TestDatabase;
use chrono::NaiveDate;
use cutover::act::ActContext;
use cutover::pg::Snapshot;
use cutover::seed::{self, Options, Profile, Shard};
use cutover::{pg, platform};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use toml::Value as Toml;
use xxhash_rust::xxh3::xxh3_128_with_seed;

const AS_OF: &str = "2025-06-30";
const ORGS: u64 = 10_000;
/// The key of the manifest's digests.
const DIGEST_KEY: u64 = 0x6375_746f_7665_7231;

/// A pair's name, its rows on each side and their digest.
type Content = Vec<(String, u64, String)>;

fn options() -> Options {
    let as_of = AS_OF.parse::<NaiveDate>().expect("a day");
    Options { orgs: ORGS, as_of, ..Options::default() }
}

/// What every way of loading has to come to; computed without a database.
fn promised() -> Content {
    let manifest = seed::manifest(&Profile::reference(), &options()).expect("valid");
    let content = manifest.tables.into_iter().map(|table| (table.name, table.rows, table.digest));
    content.collect()
}

/// The same of a manifest as the program prints it.
fn of_manifest(json: &Value) -> Content {
    let tables = json["tables"].as_array().expect("tables").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    tables
        .map(|t| (text(&t["name"]), t["rows"].as_u64().expect("rows"), text(&t["digest"])))
        .collect()
}

/// The tables of the reference profile: name, columns, and the table on each side.
fn tables() -> Vec<(String, String, Vec<String>)> {
    let profile: Toml =
        toml::from_str(include_str!("../../fixtures/finance.seed.toml")).expect("TOML");
    let text = |value: &Toml| value.as_str().expect("text").to_owned();
    let list = |value: &Toml| value.as_array().expect("an array").clone();
    let table = |table: &Toml| {
        let names: Vec<String> = list(&table["columns"]).iter().map(|c| text(&c["name"])).collect();
        let sides = ["legacy", "partitioned"].iter().filter_map(|side| table.get(side)).map(text);
        (text(&table["name"]), names.join(", "), sides.collect())
    };
    list(&profile["tables"]).iter().map(table).collect()
}

/// Rows and digest of one table, from the bytes that the server sends.
async fn read(database: &TestDatabase, columns: &str, table: &str) -> (u64, String) {
    let snapshot = Snapshot::take(&database.url).await.expect("a snapshot");
    let mut connection = snapshot.reader(Duration::from_secs(60)).await.expect("a reader");
    let statement = format!("COPY (SELECT {columns} FROM {table}) TO STDOUT (FORMAT binary)");
    let mut reader = connection.copy(&statement, table).await.expect("COPY begins");
    let count = i16::try_from(columns.split(',').count()).expect("few columns").to_be_bytes();
    let (mut rows, mut digest) = (0, 0_u128);
    while let Some(fields) = reader.next_row().await.expect("a row") {
        rows += 1;
        let image = [&count[..], fields].concat();
        digest = digest.wrapping_add(xxh3_128_with_seed(&image, DIGEST_KEY));
    }
    (rows, format!("{digest:032x}"))
}

/// Both sides of every pair hold what was promised, each org stands once, and everything that a
/// load puts aside is in its place.
async fn assert_whole(database: &TestDatabase, how: &str) {
    let mut found = [Content::new(), Content::new()];
    for (name, columns, sides) in tables() {
        if let [_, _] = sides.as_slice() {
            for (side, table) in sides.iter().enumerate() {
                let (rows, digest) = read(database, &columns, table).await;
                found[side].push((name.clone(), rows, digest));
            }
        } else {
            let (rows, _) = read(database, &columns, &sides[0]).await;
            assert_eq!(rows, ORGS, "{how}: {name}");
        }
    }
    assert_eq!(found, [promised(), promised()], "{how}");
    let untouched = reference_database().await;
    assert_eq!(catalog(database).await, catalog(&untouched).await, "{how}");
}

/// Every trigger with its state, and every index with its validity and parent.
async fn catalog(database: &TestDatabase) -> String {
    let mut connection = pg::connect(&database.url).await.expect("the database is there");
    let statement = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
         SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) AS line
           FROM pg_trigger WHERE NOT tgisinternal
         UNION ALL
         SELECT format('%s %s %s', pg_get_indexdef(x.indexrelid), x.indisvalid, h.inhparent::regclass)
           FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
           LEFT JOIN pg_inherits h ON h.inhrelid = x.indexrelid
          WHERE c.relnamespace = 'public'::regnamespace) AS everything";
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.expect("reads")
}

async fn reference_database() -> TestDatabase {
    let database = support::database();
    platform::migrate(&database.url, options().as_of).await.expect("the database is empty");
    database
}

async fn load(database: &TestDatabase, options: &Options) {
    let profile = Profile::reference();
    let loaded = seed::run(&database.url, &profile, options, &ActContext::silent()).await;
    loaded.unwrap_or_else(|error| panic!("{error}: {:?}", error.hint()));
}

/// `cutover seed` of all orgs into a database.
fn command(database: &TestDatabase, more: &[&str]) -> Command {
    let mut command = support::cutover_command();
    command
        .args(["seed", "-q", "--format", "json", "--as-of", AS_OF, "--orgs", &ORGS.to_string()])
        .args(["--database-url", &database.url])
        .args(more)
        .stdin(Stdio::null());
    command
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// The manifest of a process that has to end well.
fn manifest(child: Child) -> Value {
    let output = child.wait_with_output().expect("its output");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_and_four_load_the_same() {
    for connections in [1, 4] {
        let database = reference_database().await;
        load(&database, &Options { connections, ..options() }).await;
        assert_whole(&database, &format!("{connections} connections")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_shards_one_after_the_other_load_the_same() {
    let database = reference_database().await;
    for index in [2, 1, 3] {
        load(&database, &Options { shard: Some(Shard { index, count: 3 }), ..options() }).await;
    }
    assert_whole(&database, "three shards one after the other").await;
}

/// The second of the three is killed on the way and finished by itself.
#[tokio::test(flavor = "multi_thread")]
async fn three_shards_at_once_load_the_same() {
    let database = reference_database().await;
    let shard =
        |index: u32| start(command(&database, &["--shard", &format!("{index}/3"), "--resume"]));
    let (first, mut second, third) = (shard(1), shard(2), shard(3));
    second.kill().expect("may kill");
    second.wait().expect("may wait");
    let parts = [manifest(first), manifest(shard(2)), manifest(third)];
    assert_whole(&database, "three shards at once").await;
    for (index, (name, rows, digest)) in promised().into_iter().enumerate() {
        let parts: Content =
            parts.iter().map(|part| of_manifest(part).swap_remove(index)).collect();
        assert_eq!(parts.iter().map(|part| part.1).sum::<u64>(), rows, "{name}");
        let sum = parts.iter().fold(0_u128, |sum, part| {
            sum.wrapping_add(u128::from_str_radix(&part.2, 16).expect("32 digits"))
        });
        assert_eq!(format!("{sum:032x}"), digest, "{name}");
    }
}

/// What tells each phase of a run that has begun, from the load to the statistics.
const PHASES: [&str; 3] = [
    "EXISTS (SELECT FROM cutover_seed.chunk) AND (SELECT count(*) FROM cutover_seed.chunk) < 16",
    "(SELECT count(*) FROM cutover_seed.chunk) = 16 AND EXISTS (SELECT FROM cutover_seed.aside)",
    "(SELECT count(*) FROM cutover_seed.chunk) = 16 AND NOT EXISTS (SELECT FROM cutover_seed.aside)
         AND NOT (SELECT finished FROM cutover_seed.run)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_any_phase_is_told_by_the_diff_and_mended_by_resume() {
    for phase in PHASES {
        // The phase may be over before it is seen; then once more from the start.
        let mut database = None;
        for _ in 0..20 {
            database = killed_in(phase).await;
            if database.is_some() {
                break;
            }
        }
        let database = database.unwrap_or_else(|| panic!("never seen: {phase}"));
        assert!(support::says_unfinished(&database.url).await, "{phase}");
        assert_eq!(of_manifest(&manifest(start(command(&database, &["--resume"])))), promised());
        assert_whole(&database, phase).await;
        assert!(!support::says_unfinished(&database.url).await, "{phase}");
    }
}

/// A database whose seed was killed in a phase; `None` if it was faster.
async fn killed_in(phase: &str) -> Option<TestDatabase> {
    let database = reference_database().await;
    let mut connection = pg::connect(&database.url).await.expect("the database is there");
    let begun = "SELECT to_regclass('cutover_seed.run') IS NOT NULL";
    let mut child = start(command(&database, &[]));
    for question in [begun.to_owned(), format!("SELECT {phase}")] {
        loop {
            let answer = sqlx::query_scalar(AssertSqlSafe(question.clone()));
            if answer.fetch_one(&mut connection).await.expect("answers") {
                break;
            }
            if child.try_wait().expect("may look").is_some() {
                return None;
            }
        }
    }
    child.kill().expect("may kill what has not been waited for");
    let killed = child.wait().expect("may wait").signal() == Some(9);
    let still = sqlx::query_scalar::<_, bool>(AssertSqlSafe(format!("SELECT {phase}")));
    (killed && still.fetch_one(&mut connection).await.expect("answers")).then_some(database)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_kills_change_nothing() {
    let whole = support::database();
    let began = Instant::now();
    assert_eq!(of_manifest(&manifest(start(command(&whole, &[])))), promised());
    let undisturbed = began.elapsed();

    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let rng_seed =
        std::env::var("CUTOVER_TEST_RNG_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let rng_seed = rng_seed.unwrap_or(clock.subsec_nanos().into());
    eprintln!("moments from CUTOVER_TEST_RNG_SEED={rng_seed}, within {undisturbed:?}");
    let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
    let database = support::database();
    let mut kills = 0;
    for round in 0..100 {
        let moment = undisturbed.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX));
        let mut child = start(command(&database, &["--resume"]));
        tokio::time::sleep(moment).await;
        child.kill().expect("may kill what has not been waited for");
        let killed = child.wait().expect("may wait").signal() == Some(9);
        eprintln!("round {round}: after {moment:?}, killed: {killed}");
        kills += u32::from(killed);
        if kills == 5 {
            break;
        }
    }
    assert_eq!(kills, 5, "the program ended too soon again and again");
    assert_eq!(of_manifest(&manifest(start(command(&database, &["--resume"])))), promised());
    assert_whole(&database, "five kills").await;
}
