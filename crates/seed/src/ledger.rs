//! What has been loaded, kept in the database itself: one line per chunk, written in the
//! transaction of its rows, so that a killed run is finished exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::totals::TableTotals;
use super::{Options, Shard, sql};
use cutover_error::{Context, Error, Result};

/// Everything that decides about content and about the bounds of chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Digest of the profile and its vocabularies.
    pub profile: String,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// The day the calendar is anchored to.
    pub as_of: String,
    /// Orgs of all shards.
    pub orgs: u64,
    /// Mean transactions of an org.
    pub transactions_per_org: f64,
    /// The first org.
    pub first_org: u64,
    /// Orgs of a chunk.
    pub chunk_orgs: u64,
    /// Number of shards; 1 for a whole run.
    pub shards: u32,
}

/// The totals of the chunks that are loaded, by their first org.
pub type Loaded = BTreeMap<u64, Vec<TableTotals>>;

/// Rows of transactions a chunk has at most, about: two chunks a connection are what memory holds.
/// A COPY into a partitioned table begins at a cost per leaf, so it should bring many rows for each.
const CHUNK_ROWS: f64 = 80_000.0;
/// Chunks a run has at least, so that several connections end at about the same time.
const CHUNKS: u64 = 16;

impl Record {
    /// The record of a run with these options.
    pub fn new(profile: String, options: &Options) -> Self {
        let shards = options.shard.map_or(1, |shard| shard.count);
        let most = (CHUNK_ROWS / options.transactions_per_org).clamp(1.0, 8192.0) as u64;
        let chunk_orgs = options.orgs.div_ceil(CHUNKS * u64::from(shards)).clamp(1, most);
        Self {
            profile,
            rng_seed: options.rng_seed,
            as_of: options.as_of.to_string(),
            orgs: options.orgs,
            transactions_per_org: options.transactions_per_org,
            first_org: options.first_org,
            chunk_orgs,
            shards,
        }
    }

    /// Chunks of all shards together.
    fn chunks(&self) -> u64 {
        let Self { orgs, shards, first_org, .. } = *self;
        let shard = |index| Options {
            orgs,
            first_org,
            shard: Some(Shard { index, count: shards }),
            ..Options::default()
        };
        let ranges = (1..=shards).map(|index| shard(index).range());
        ranges.map(|range| (range.end - range.start).div_ceil(self.chunk_orgs)).sum()
    }

    /// The first parameter in which the recorded run differs, as `flag: then, now`.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("--rng-seed", self.rng_seed.to_string(), now.rng_seed.to_string()),
            ("--as-of", self.as_of.clone(), now.as_of.clone()),
            ("--orgs", self.orgs.to_string(), now.orgs.to_string()),
            (
                "--transactions-per-org",
                self.transactions_per_org.to_string(),
                now.transactions_per_org.to_string(),
            ),
            ("--shard", format!("1/{}", self.shards), format!("1/{}", now.shards)),
            ("seed profile", self.profile.clone(), now.profile.clone()),
            ("orgs of a chunk", self.chunk_orgs.to_string(), now.chunk_orgs.to_string()),
            ("first org", self.first_org.to_string(), now.first_org.to_string()),
        ];
        let differs = pairs.into_iter().find(|(_, then, now)| then != now);
        differs.map(|(flag, then, now)| format!("{flag} was {then}, is {now}"))
    }
}

/// Reads the recorded run, if there is one.
///
/// # Errors
/// A run error if the state cannot be read.
pub async fn read_record(connection: &mut PgConnection) -> Result<Option<Record>> {
    let what = "cannot read the state of the seed (schema cutover_seed)";
    let there: bool =
        sqlx::query_scalar(sql::HAS_STATE).fetch_one(&mut *connection).await.or_run(what, "")?;
    if !there {
        return Ok(None);
    }
    let text: Option<String> =
        sqlx::query_scalar(sql::READ_RUN).fetch_optional(connection).await.or_run(what, "")?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| Error::run(format!("{what}: {error}"), "start over with --reset"))
}

/// Replaces the recorded run and forgets what was loaded.
///
/// # Errors
/// A run error if the state cannot be written.
pub async fn begin_record(connection: &mut PgConnection, record: &Record) -> Result<()> {
    let what = "cannot write the state of the seed";
    let text = serde_json::to_string(record).expect("numbers and text serialise");
    sqlx::query(sql::WRITE_RUN).bind(text).execute(&mut *connection).await.or_run(what, "")?;
    sqlx::query(sql::CLEAR_CHUNKS).execute(connection).await.or_run(what, "")?;
    Ok(())
}

/// Whether the recorded run came to its end; true if there is none.
///
/// # Errors
/// A run error if the state cannot be read.
pub async fn is_finished(connection: &mut PgConnection) -> Result<bool> {
    let finished = sqlx::query_scalar(sql::IS_FINISHED).fetch_one(connection).await;
    finished.or_run("cannot read the state of the seed", "")
}

/// Notes that the tables are not whole: rows, indexes or triggers are going to be missing.
///
/// # Errors
/// A run error if the state cannot be written.
pub async fn unfinish(connection: &mut PgConnection) -> Result<()> {
    let noted = sqlx::query(sql::UNFINISH_RUN).execute(connection).await;
    noted.map(|_| ()).or_run("cannot write the state of the seed", "")
}

/// Notes that the tables are whole, if every shard is loaded and everything is back.
///
/// # Errors
/// A run error if the state cannot be written.
pub async fn finish(connection: &mut PgConnection, record: &Record) -> Result<()> {
    let chunks = record.chunks() as i64;
    let noted = sqlx::query(sql::FINISH_RUN).bind(chunks).execute(connection).await;
    noted.map(|_| ()).or_run("cannot write the state of the seed", "")
}

/// Reads what has been loaded.
///
/// # Errors
/// A run error if the state cannot be read.
pub async fn read_chunks(connection: &mut PgConnection) -> Result<Loaded> {
    let what = "cannot read the ledger of the seed";
    let rows: Vec<(i64, String)> =
        sqlx::query_as(sql::READ_CHUNKS).fetch_all(connection).await.or_run(what, "")?;
    rows.into_iter()
        .map(|(first, text)| {
            let totals = serde_json::from_str(&text).or_run(what, "start over with --reset")?;
            Ok((first as u64, totals))
        })
        .collect()
}

/// Notes a chunk as loaded; to be called in the transaction of its rows.
///
/// # Errors
/// A run error if the chunk is loaded already, by another run, or cannot be noted.
pub async fn write_chunk(
    connection: &mut PgConnection,
    first_org: u64,
    totals: &[TableTotals],
) -> Result<()> {
    let text = serde_json::to_string(totals).expect("numbers and text serialise");
    sqlx::query(sql::WRITE_CHUNK)
        .bind(first_org as i64)
        .bind(text)
        .execute(connection)
        .await
        .or_run(format!("cannot note the orgs from {first_org} as loaded"), "")?;
    Ok(())
}
