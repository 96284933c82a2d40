//! How long ago a primary was where its replica is now.

use std::collections::VecDeque;
use std::time::Instant;

/// How many positions are remembered; after so many looks it is late enough.
const MOST_AHEAD: usize = 3600;

/// Positions of a primary in its log that its replica has not reached, and when each was seen.
///
/// The age of the last replayed transaction would be simpler, and wrong: after a quiet hour the first
/// write makes it an hour for a moment. What a primary tells as `replay_lag` stays as it was, or is
/// not there at all, if a replica stands still.
#[derive(Debug, Default)]
pub struct Lag {
    ahead: VecDeque<(Instant, i64)>,
}

impl Lag {
    /// Takes what was seen at one moment, in bytes of the log; returns seconds behind, as fine as the
    /// time between two looks.
    pub fn seen(&mut self, at: Instant, primary: i64, replica: i64) -> f64 {
        if self.ahead.len() < MOST_AHEAD {
            self.ahead.push_back((at, primary));
        }
        while self.ahead.front().is_some_and(|(_, position)| *position <= replica) {
            self.ahead.pop_front();
        }
        self.ahead.front().map_or(0.0, |(seen, _)| (at - *seen).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_replica_that_stands_still_falls_behind_as_soon_as_anything_is_written() {
        let (mut lag, start) = (Lag::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        // Nothing is written for an hour: it is where the primary is.
        assert_eq!([lag.seen(at(0), 100, 100), lag.seen(at(3600), 100, 100)], [0.0, 0.0]);
        // Something is, and it does not follow.
        assert_eq!([lag.seen(at(3605), 200, 100), lag.seen(at(3615), 300, 100)], [0.0, 10.0]);
        // It follows half of the way, then all of it.
        assert_eq!([lag.seen(at(3620), 300, 250), lag.seen(at(3625), 300, 300)], [5.0, 0.0]);
    }
}
