//! What a run of the act is asked to do.

use std::ops::Range;

use chrono::NaiveDate;

use cutover_error::{Error, Result};

/// How much to generate, and how to load it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Orgs in all shards together.
    pub orgs: u64,
    /// Seed of every random choice.
    pub rng_seed: u64,
    /// The day the calendar is anchored to: all data lies before it.
    pub as_of: NaiveDate,
    /// Mean number of transactions of an org over all pairs; by default a little above ten, so that
    /// 100,000 orgs have a million whatever the rng seed.
    pub transactions_per_org: f64,
    /// Database connections that load at once.
    pub connections: usize,
    /// What to do if there is data already.
    pub existing: Existing,
    /// Which part of the orgs to load.
    pub shard: Option<Shard>,
    /// How the twins are filled.
    pub replicate: Replicate,
    /// Number of orgs that stand before ours; set by [`Existing::Append`].
    pub first_org: u64,
}

/// What to do if there is data already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Refuse,
    /// Add orgs behind those that are there.
    Append,
    /// Empty the tables first.
    Reset,
    /// Finish what an interrupted run began.
    Resume,
}

/// How the twins are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicate {
    /// By COPY, like the legacy tables.
    Copy,
    /// By the triggers, as the platform's own writes are.
    Trigger,
}

/// One of several parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 1.
    pub index: u32,
    /// How many parts.
    pub count: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            orgs: 100_000,
            rng_seed: 42,
            as_of: chrono::Utc::now().date_naive(),
            transactions_per_org: 10.5,
            connections: 4,
            existing: Existing::Refuse,
            shard: None,
            replicate: Replicate::Copy,
            first_org: 1,
        }
    }
}

impl Options {
    /// The largest number of orgs: with a stride of 2^20 their ids still fit 63 bits.
    pub const MAX_ORGS: u64 = 1 << 32;

    /// Whether the numbers make sense by themselves.
    ///
    /// # Errors
    /// A usage error with flag and allowed range.
    pub fn check(&self) -> Result<()> {
        let refuse =
            |what: String, allowed: &str| Err(Error::usage(what, format!("allowed: {allowed}")));
        if !(1..=Self::MAX_ORGS).contains(&self.orgs) {
            return refuse(format!("--orgs {}: out of range", self.orgs), "1 to 4294967296");
        }
        if !(1..=64).contains(&self.connections) {
            return refuse(format!("--connections {}: out of range", self.connections), "1 to 64");
        }
        match self.shard {
            Some(Shard { index, count }) if index == 0 || index > count => {
                return refuse(format!("--shard {index}/{count}: out of range"), "1/N to N/N");
            }
            Some(Shard { index, count }) if u64::from(count) > self.orgs => {
                return refuse(
                    format!("--shard {index}/{count}: more shards than orgs"),
                    "up to --orgs",
                );
            }
            Some(_) if matches!(self.existing, Existing::Reset | Existing::Append) => {
                return Err(Error::usage(
                    "--shard does not go with --reset or --append",
                    "empty the tables first with one run of its own, then load the shards",
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// The orgs of this run, of its shard if it has one.
    pub fn range(&self) -> Range<u64> {
        let Shard { index, count } = self.shard.unwrap_or(Shard { index: 1, count: 1 });
        let cut = |part: u32| {
            let part = u128::from(self.orgs) * u128::from(part) / u128::from(count);
            self.first_org + u64::try_from(part).expect("at most the number of orgs")
        };
        cut(index - 1)..cut(index)
    }

    /// The last org of all shards.
    pub fn last_org(&self) -> u64 {
        self.first_org + self.orgs - 1
    }
}
