//! Synthetic organisations and transactions, by binary COPY.
//!
//! The content of an org is a function of `(rng_seed, as_of, org_id)` alone, and of the profile and
//! the mean size that were asked for; nothing depends on threads, shards, batches or the machine.
//! Read in this order, the way a row goes:
//!
//! | file | what |
//! | --- | --- |
//! | `profile`, `specs`; `plan`, `columns`, `sources` | the description of the data, and the same made ready |
//! | `random`, `sizes`, `calendar`, `vocabulary` | what draws are made from |
//! | `org`, `generators` | one org, one cell |
//! | `wire`, `encode`, `chunk`, `totals` | rows as COPY streams, and what they add up to |
//! | `show` | an org explained without a database |
//! | `run`, `catalog`, `disk`, `existing`, `suspended`, `load`, `ledger` | the way into the database, and back to order |

mod calendar;
mod catalog;
mod chunk;
mod columns;
mod disk;
mod encode;
mod existing;
mod generate;
mod generators;
mod ledger;
mod load;
mod options;
mod org;
mod plan;
mod profile;
mod random;
mod run;
mod show;
mod sizes;
mod sources;
mod specs;
mod sql;
mod suspended;
mod totals;
mod vocabulary;
mod wire;

pub use generate::{check, manifest};
pub use options::{Existing, Options, Replicate, Shard};
pub use profile::Profile;
pub use run::{recorded_as_of, rig_and_name, run};
pub use show::{ShownRow, show_org};
