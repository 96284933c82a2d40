//! How much of the log a slot may hold back.
//!
//! A session of its own watches, because the one that has the slot may be busy with one large transaction
//! for long. Beyond the bound that session is ended, and its slot goes with it.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;

use super::sql;
use cutover_error::Result;
use cutover_ground::pg::connect_reading;

/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Why a slot had to go; empty as long as it is there.
#[derive(Clone, Default)]
pub(super) struct Dropped(Arc<OnceLock<String>>);

impl Dropped {
    /// The reason, in words.
    pub(super) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Watches a slot until `stop`, in the background.
///
/// # Errors
/// A run error if the server cannot be reached.
pub(super) async fn watch(
    database_url: &str,
    slot: String,
    keep_bytes: u64,
    stop: CancellationToken,
) -> Result<Dropped> {
    let dropped = Dropped::default();
    let mut connection = connect_reading(database_url).await?;
    let told = dropped.clone();
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            // If the server cannot be asked, the reader hears of it, too.
            match held(&mut connection, &slot).await {
                Ok(Some((bytes, pid))) if bytes > keep_bytes => {
                    let _ = told.0.set(format!(
                        "the slot held back {:.1} MB of it, more than --wal-keep allows, and was dropped: what was \
                         committed since was not judged",
                        bytes as f64 / 1e6
                    ));
                    let ended = sqlx::query(sql::END_SESSION).bind(pid);
                    // One that has ended by itself is what was wanted.
                    let _ = ended.execute(&mut connection).await;
                    return;
                }
                Ok(_) => {}
                Err(_) => return,
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    });
    Ok(dropped)
}

/// Bytes of the log that are kept for the slot, and the session that has it.
async fn held(
    connection: &mut PgConnection,
    slot: &str,
) -> std::result::Result<Option<(u64, i32)>, sqlx::Error> {
    let held: Option<(i64, i32)> =
        sqlx::query_as(sql::HELD).bind(slot).fetch_optional(connection).await?;
    Ok(held.map(|(bytes, pid)| (bytes.try_into().unwrap_or(0), pid)))
}
