//! Whoever reads the chunks of a pair: takes one after the other, and puts back the one that it gives up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::chunks::Chunk;
use super::decode::Decoder;
use super::digest::{Digests, OrgKey};
use super::epochs::Reader;
use super::throttle::{Amount, Pace};
use cutover_error::{Error, Result};
use cutover_ground::act::{ActContext, Event};
use cutover_ground::pg::{CopyConnection, is_passing};

/// Chunks that one connection reads: a backend remembers every relation that it has met, some 30 kB each.
const CHUNKS_OF_CONNECTION: usize = 1_000;

/// Takes chunk after chunk.
pub(super) struct Worker<K> {
    pub(super) queue: Arc<Mutex<VecDeque<Chunk>>>,
    pub(super) pace: Arc<Pace>,
    pub(super) decoder: Decoder,
    pub(super) digests: Digests<K>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) context: ActContext,
    /// How many chunks it has read.
    pub(super) done: u64,
}

/// When to stop reading on the snapshot of the moment.
#[derive(Clone)]
pub(super) struct Until {
    /// At once.
    pub(super) given_up: CancellationToken,
    /// After the chunk at hand.
    pub(super) over: CancellationToken,
    /// After the first chunk that is done then.
    pub(super) end: Option<Instant>,
}

/// Why a worker has stopped.
pub(super) enum Stop {
    /// Nothing is left to read, or the snapshot is to end.
    Done,
    /// The connection has read enough.
    Worn,
    /// This chunk was given up.
    GivenUp(Box<Chunk>),
    /// The reading of this chunk was ended from outside, by this.
    Ended(Box<Chunk>, Error),
    /// A chunk was given up of which too much was added up to be forgotten.
    Spoilt,
}

impl<K: OrgKey> Worker<K> {
    /// Reads until nothing is left, or until it is to stop.
    pub(super) async fn read(mut self, mut reader: Reader, until: Until) -> Result<(Self, Stop)> {
        for _ in 0..CHUNKS_OF_CONNECTION {
            // Taken in a statement of its own, so that the lock is not held while reading.
            let chunk = self.queue.lock().expect("no panic while held").pop_front();
            let Some(chunk) = chunk else { return Ok(self.end(reader, Stop::Done).await) };
            self.digests.begin_chunk();
            let read = tokio::select! {
                biased;
                () = until.given_up.cancelled() => None,
                read = self.read_chunk(&chunk, &mut reader.connection) => Some(read),
            };
            let owed = match read {
                Some(Ok(owed)) => owed,
                Some(Err(error)) if !until.given_up.is_cancelled() => {
                    if is_passing(&error) && self.digests.forget_chunk() {
                        return Ok((self, Stop::Ended(Box::new(chunk), error)));
                    }
                    return Err(error);
                }
                // The connection goes with its socket: a server that waits for us to read notices at once.
                _ if self.digests.forget_chunk() => {
                    return Ok((self, Stop::GivenUp(Box::new(chunk))));
                }
                _ => return Ok((self, Stop::Spoilt)),
            };
            self.done += 1;
            if let Some(checkpoint) = &mut self.checkpoint {
                checkpoint.finished(chunk.label, &self.decoder.secret, &mut self.digests)?;
            }
            tokio::select! {
                biased;
                () = until.given_up.cancelled() => {}
                () = self.pace.pay(owed) => {}
            }
            let late = until.end.is_some_and(|end| Instant::now() >= end);
            if late || until.over.is_cancelled() || until.given_up.is_cancelled() {
                return Ok(self.end(reader, Stop::Done).await);
            }
        }
        Ok(self.end(reader, Stop::Worn).await)
    }

    async fn end(mut self, reader: Reader, stop: Stop) -> (Self, Stop) {
        self.digests.settle();
        reader.connection.close().await;
        (self, stop)
    }

    /// Returns what was read last and is not yet paid for, so that a chunk that is done can be saved
    /// before that.
    async fn read_chunk(
        &mut self,
        chunk: &Chunk,
        connection: &mut CopyConnection,
    ) -> Result<Amount> {
        let mut owed = Amount::default();
        let mut reader = connection.copy(&chunk.statement, &chunk.what).await?;
        while reader.more().await? {
            self.pace.pay(std::mem::take(&mut owed)).await;
            while let Some(row) = reader.row_at_hand()? {
                owed.bytes += row.len() as u64;
                owed.rows += self.decoder.add(chunk, row, &mut self.digests)?;
            }
            self.context.emit(Event::Advanced(owed.rows));
            self.context.check_stop()?;
        }
        Ok(owed)
    }
}
