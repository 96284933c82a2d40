//! Which rows are compared: of which orgs, and changed since when.

use chrono::{DateTime, Utc};

use super::options::Options;
use cutover_evidence::finding::DiffEvidence;
use cutover_evidence::shard::Shard;

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
            None => DiffEvidence::ALL_ORGS.to_owned(),
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
