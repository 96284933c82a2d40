//! One of several runs that share work among them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of several runs that together do the work of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Which one, from 1.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Shard {
    /// Whether the piece of work with this number is its own.
    pub fn holds(self, number: u64) -> bool {
        number % self.of == self.index - 1
    }

    /// Splits into `parts` smaller shards that together hold the same work; `None` is all of it.
    pub fn split(shard: Option<Self>, parts: u64) -> impl Iterator<Item = Option<Self>> {
        let Self { index, of } = shard.unwrap_or(Self { index: 1, of: 1 });
        (0..parts).map(move |part| {
            let smaller = Self { index: index + part * of, of: of * parts };
            (smaller.of > 1).then_some(smaller)
        })
    }

    /// The shards that are not among `seen`, of as many as they say there are.
    pub fn missing(seen: &[Self]) -> Vec<u64> {
        let of = seen.first().map_or(0, |shard| shard.of);
        (1..=of).filter(|index| seen.iter().all(|shard| shard.index != *index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_shard_hold_its_work_and_no_other() {
        for number in 0..1000_u64 {
            let holds = |shard: &Option<Shard>| shard.is_none_or(|shard| shard.holds(number));
            for shard in [None, Some(Shard { index: 2, of: 3 })] {
                let parts = Shard::split(shard, 4).filter(holds).count();
                assert_eq!(parts, usize::from(holds(&shard)), "{number} of {shard:?}");
            }
        }
    }

    #[test]
    fn a_shard_that_is_not_there_is_missing() {
        let shards = [3, 1].map(|index| Shard { index, of: 4 });
        assert_eq!(Shard::missing(&shards), [2, 4]);
        assert_eq!(Shard::missing(&[]), [0; 0]);
    }
}
