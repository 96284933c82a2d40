//! Legacy against partitioned: for every org, is the twin the same, and if not, which rows, which
//! columns, which values.
//!
//! A comparison goes down these files in order: [`run`] takes one snapshot and walks the table
//! pairs; `schema` compares the catalogs and decides what is compared and how; `checks` looks at
//! what will go wrong tomorrow though every row agrees today, `probe` tries the triggers; `scan` reads both sides by binary
//! COPY and `digest` sums a keyed hash of every row per org; `drill_down` reads the rows of
//! diverging orgs side by side and `classify` names each difference; `outcome` counts and
//! `output` writes the files, `repair` the statements that mend what was
//! found; `wal` follows the log meanwhile, where asked for.

mod checks;
mod classify;
mod digest;
mod drill_down;
mod outcome;
mod output;
mod partitions;
mod probe;
mod repair;
mod run;
mod scan;
mod schema;
mod sql;
mod triggers;
mod wal;

pub use run::{Options, follow, run};
pub use wal::Oracle;
