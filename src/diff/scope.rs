//! Which rows are compared: of which orgs, and changed since when.

use chrono::{DateTime, Utc};

use super::options::Options;

/// One of several runs that share the orgs among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which one, from 1.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Shard {
    /// Splits into `parts` smaller shards that together hold the same orgs.
    pub(super) fn split(shard: Option<Self>, parts: u64) -> impl Iterator<Item = Option<Self>> {
        let Self { index, of } = shard.unwrap_or(Self { index: 1, of: 1 });
        // An org is in shard `index` if its number, divided by `of`, leaves `index - 1`.
        (0..parts).map(move |part| {
            let smaller = Self { index: index + part * of, of: of * parts };
            (smaller.of > 1).then_some(smaller)
        })
    }
}

/// Rows as a statement selects them; the default is all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rows<'a> {
    /// Only these orgs, as PostgreSQL prints them.
    pub(super) orgs: Option<&'a [String]>,
    /// Only the orgs of this shard.
    pub(super) shard: Option<Shard>,
    /// Only rows changed since then, by the pair's column for it.
    pub(super) since: Option<DateTime<Utc>>,
}

impl<'a> Rows<'a> {
    /// What the options ask for.
    pub(super) fn asked(options: &'a Options) -> Self {
        Self { orgs: options.orgs.as_deref(), shard: options.shard, since: options.since }
    }

    /// The same rows, but of these orgs only.
    pub(super) fn of(self, orgs: &'a [String]) -> Self {
        Self { orgs: Some(orgs), ..self }
    }

    /// Whether only some orgs are asked for.
    pub(super) fn is_part(self) -> bool {
        self.orgs.is_some() || self.shard.is_some()
    }

    /// In words, for reports.
    pub(super) fn words(self) -> String {
        let mut words = match self.orgs {
            None => "all orgs".to_owned(),
            Some(orgs) => format!("{} listed orgs", orgs.len()),
        };
        if let Some(Shard { index, of }) = self.shard {
            words += &format!(", shard {index} of {of}");
        }
        if let Some(since) = self.since {
            words += &format!(
                ", rows changed since {} (a row deleted since, or changed without its time, is not \
                 seen)",
                since.format("%Y-%m-%d %H:%M:%SZ")
            );
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_shard_hold_its_orgs_and_no_others() {
        for org in 0..1000_u64 {
            let holds = |shard: &Option<Shard>| shard.is_none_or(|s| org % s.of == s.index - 1);
            for shard in [None, Some(Shard { index: 2, of: 3 })] {
                let parts = Shard::split(shard, 4).filter(holds).count();
                assert_eq!(parts, usize::from(holds(&shard)), "org {org} of {shard:?}");
            }
        }
    }
}
