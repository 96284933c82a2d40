//! Looks acknowledged changes up soon after their answers. Only so can a change that was undone before
//! anybody could see it (lost) be told from one that was there and was overwritten (stale): in the end
//! both look alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::shared::Shared;
use super::lookup::Reader;
use super::{Acknowledged, Ledger, sql};
use cutover_error::Result;
use cutover_evidence::ledger::{Note, SeenWrite};
use cutover_evidence::side::Side;
use cutover_ground::config::TablePair;

/// How long an acknowledged change waits for others to be looked up with.
const EVERY: Duration = Duration::from_millis(150);
/// A database that takes longer is frozen: its statements have a limit of their own.
const READ_BACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Changes that are looked up together.
const BATCH: usize = 1000;

/// Who looks them up.
pub(crate) struct ReadBack {
    waiting: mpsc::Receiver<Acknowledged>,
}

impl ReadBack {
    pub(super) fn new(waiting: mpsc::Receiver<Acknowledged>) -> Self {
        Self { waiting }
    }

    /// Looks up until `stop`. If the database cannot be asked, nothing is noted.
    pub(crate) async fn watch(
        mut self,
        shared: Arc<Shared>,
        database_url: String,
        tables: Vec<TablePair>,
        stop: CancellationToken,
    ) {
        let mut reader = None;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
            while let Ok(one) = self.waiting.try_recv() {
                batch.push(one);
                if batch.len() == BATCH {
                    break;
                }
            }
            if batch.is_empty() && stop.is_cancelled() {
                return;
            }
            if reader.is_none() {
                let open = Reader::open(&database_url, &tables, sql::UNDER_LOAD_TIMEOUT_SQL);
                reader =
                    tokio::time::timeout(READ_BACK_TIMEOUT, open).await.ok().and_then(Result::ok);
            }
            let Some(open) = &mut reader else { continue };
            let looks = look_up(open, batch, &shared.ledger);
            if !matches!(tokio::time::timeout(READ_BACK_TIMEOUT, looks).await, Ok(Ok(()))) {
                reader = None;
            }
        }
    }
}

async fn look_up(reader: &mut Reader, batch: Vec<Acknowledged>, ledger: &Ledger) -> Result<()> {
    let mut by_table: BTreeMap<String, Vec<Acknowledged>> = BTreeMap::new();
    for one in batch {
        by_table.entry(one.table.clone()).or_default().push(one);
    }
    for (table, mut batch) in by_table {
        reader.as_printed(&table, batch.iter_mut().map(|one| &mut one.values)).await?;
        let columns: BTreeSet<String> =
            batch.iter().flat_map(|one| one.values.keys().cloned()).collect();
        let columns: Vec<String> = columns.into_iter().collect();
        let key = reader.pair(&table)?.key().to_vec();
        let wanted: Vec<Vec<Option<String>>> = batch
            .iter()
            .map(|one| key.iter().map(|name| one.key.get(name).cloned().flatten()).collect())
            .collect();
        let rows = reader.rows((&table, Side::Legacy), &key, &wanted, &columns).await?;
        for (place, row) in rows {
            let Some(one) = batch.get(place) else { continue };
            if one.values.iter().all(|(name, value)| row.values.get(name) == Some(value)) {
                let (write, table, key) = (one.write, one.table.clone(), one.key.clone());
                ledger.note(&Note::Seen(SeenWrite { write, table, key }));
            }
        }
    }
    Ok(())
}
