//! Whether the rows will fit, before the first one is sent.

use std::net::IpAddr;
use std::path::Path;

use sqlx::PgConnection;

use super::chunk::Chunk;
use super::plan::Plan;
use super::{Options, sql};
use cutover_error::{Context, Error, Result};
use cutover_ground::act::ActContext;
use cutover_ground::pg;

/// Orgs that are generated to learn how wide rows are.
const SAMPLE_ORGS: u64 = 500;
/// Bytes on disk for a byte sent: measured 0.86 for the heap and 0.37 for two indexes a table.
const DISK_PER_SENT: f64 = 1.3;

/// Refuses a run that the server's disk cannot hold, where the server is on this machine; says so
/// if its disk cannot be seen.
///
/// # Errors
/// A usage error with what is needed and what is free.
pub async fn check(
    control: &mut PgConnection,
    database_url: &str,
    plan: &Plan,
    options: &Options,
    context: &ActContext,
) -> Result<()> {
    // Everything is written to the write-ahead log too, which keeps no more than its limit.
    let tables = estimate(plan, options);
    let needed = tables + wal_limit(control).await?.min(tables);
    let (needed_gb, unseen) = (needed / 1e9, "the server's free disk cannot be seen from here");
    let Some(free) = free_bytes(control, database_url).await? else {
        context.note(format!("about {needed_gb:.1} GB will be written; {unseen}"));
        return Ok(());
    };
    if needed > free {
        return Err(Error::usage(
            format!(
                "--orgs {}: needs about {needed_gb:.1} GB of disk, {:.1} GB are free",
                options.orgs,
                free / 1e9
            ),
            "fewer orgs, fewer --transactions-per-org, or a larger disk",
        ));
    }
    Ok(())
}

/// Bytes of tables and indexes, from the width of a sample's rows.
fn estimate(plan: &Plan, options: &Options) -> f64 {
    let range = options.range();
    let mut chunk = Chunk::default();
    chunk.fill(plan, range.start..range.end.min(range.start + SAMPLE_ORGS));
    let sent = |transactions: bool| -> (f64, f64) {
        let tables = plan.tables.iter().zip(&chunk.tables);
        let chosen = tables.filter(|(table, _)| table.transactions == transactions);
        chosen.fold((0.0, 0.0), |(bytes, rows), (table, sent)| {
            let sides = table.sides().count() as f64;
            (bytes + sent.stream_bytes() as f64 * sides, rows + sent.totals.rows as f64)
        })
    };
    let ((pair_bytes, pair_rows), (org_bytes, _)) = (sent(true), sent(false));
    let orgs = (range.end - range.start) as f64;
    let sample = (chunk.orgs.end - chunk.orgs.start) as f64;
    let transactions = plan.sizes.total(range) as f64;
    DISK_PER_SENT * (pair_bytes / pair_rows.max(1.0) * transactions + org_bytes / sample * orgs)
}

/// Bytes the write-ahead log may grow to.
async fn wal_limit(control: &mut PgConnection) -> Result<f64> {
    let megabytes: i64 = sqlx::query_scalar(sql::WAL_LIMIT_MB)
        .fetch_one(control)
        .await
        .or_run("cannot read max_wal_size", "")?;
    Ok(megabytes as f64 * 1024.0 * 1024.0)
}

/// Free bytes where the server keeps its data; `None` if that is not ours to see.
async fn free_bytes(control: &mut PgConnection, database_url: &str) -> Result<Option<f64>> {
    let options = pg::options(database_url)?;
    let host = options.get_host();
    let local = options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !local {
        return Ok(None);
    }
    // Only some users may ask, and a container's path is not ours: then nobody knows.
    let folder: Option<String> =
        sqlx::query_scalar(sql::DATA_FOLDER).fetch_one(control).await.ok().flatten();
    let status = folder.and_then(|folder| nix::sys::statvfs::statvfs(Path::new(&folder)).ok());
    Ok(status.map(|status| status.blocks_available() as f64 * status.fragment_size() as f64))
}
