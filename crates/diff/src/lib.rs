//! Legacy against partitioned: for every org, is the twin the same, and if not, which rows, which
//! columns, which values.
//!
//! A comparison goes down these files in order: [`run`] walks the table pairs; `look` looks at their catalogs:
//! `schema` compares the catalogs and decides what is compared and how; `checks` looks at
//! what will go wrong tomorrow though every row agrees today, `direction` at which side is written to, `guards` at what one
//! side refuses and the other takes, `pruning` asks the planner what it reads, `probe` tries the triggers and
//! `refusals` tells which writes fail because of them; `scope`
//! says which rows are asked for and `method` where they are hashed; [`scan`] sums a keyed hash of
//! every row per org; `settle` looks at those that differ on one snapshot, `drill_down` brings their rows
//! together and `classify` names each difference; `tables` says whether the tables are still the same, `locks`
//! whether the server has room for what we take; `outcome` counts and `output` writes the files, `repair` the statements that mend
//! what was found; `wal` follows the log meanwhile, where asked for. `merge` puts the shards of a
//! comparison together.

mod at_hand;
mod checks;
mod classify;
mod columns;
mod direction;
mod drill_down;
mod firing;
mod guards;
mod horizon;
mod locks;
mod look;
mod merge;
mod method;
mod options;
mod org;
mod outcome;
mod output;
mod partitions;
mod probe;
mod pruning;
mod ranges;
mod refusals;
mod repair;
mod run;
mod scan;
mod schema;
mod scope;
mod settle;
mod sql;
mod tables;
mod triggers;
mod value;
mod wal;

pub use cutover_evidence::shard::Shard;
pub use merge::{Part, Shards};
pub use method::Digest;
pub use options::Options;
pub use run::run;
pub use scan::Throttle;
pub use wal::{Oracle, WAL_KEEP_BYTES, follow};
