//! How far a replica is behind.

use std::collections::VecDeque;
use std::time::Instant;

/// How many positions are remembered: an hour's, at one a second.
const MOST_POSITIONS: usize = 3600;

/// Positions in the primary's log that the replica has not reached, and when each was seen.
///
/// The age of the last replayed transaction would not do: after a quiet hour the first write makes it
/// an hour for a moment.
#[derive(Debug, Default)]
pub(super) struct Lag {
    ahead: VecDeque<(Instant, i64)>,
}

impl Lag {
    /// Takes both positions, in bytes of the log, of one moment; returns seconds behind.
    pub fn measured(&mut self, at: Instant, primary: i64, replica: i64) -> f64 {
        self.ahead.retain(|(_, position)| *position > replica);
        if primary > replica && self.ahead.len() < MOST_POSITIONS {
            self.ahead.push_back((at, primary));
        }
        self.ahead.front().map_or(0.0, |(seen, _)| (at - *seen).as_secs_f64())
    }
}
