//! `repair.sql`: rewrites the twin's rows of diverging orgs from what legacy holds when it is applied.
//!
//! A transaction per org locks the org's legacy rows, so that none of them changes until it ends,
//! and then makes the twin's rows equal. Rows that are written meanwhile are no trouble: every
//! statement sees a legacy write together with the write of its trigger, or neither. No value of
//! the snapshot that was compared stands in the file, only orgs.

mod sql;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use super::output::{create, finish};
use super::schema::PairPlan;
use cutover_error::{Context, Result};
use cutover_ground::whole_file::WholeFile;

/// The file's name in the folder of the run.
pub(super) const FILE: &str = "repair.sql";

/// `repair.sql`, written pair by pair.
pub(super) struct Repair {
    file: WholeFile,
    pairs: usize,
}

impl Repair {
    pub(super) fn create(out: &Path) -> Result<Self> {
        let mut repair = Self { file: create(out, FILE)?, pairs: 0 };
        repair.write(sql::HEADER)?;
        Ok(repair)
    }

    /// Adds the orgs of a pair; `misrouted` are those with a row in a partition that excludes it.
    pub(super) fn pair(
        &mut self,
        plan: &PairPlan,
        orgs: &BTreeSet<&str>,
        misrouted: &BTreeSet<String>,
    ) -> Result<()> {
        if orgs.is_empty() {
            return Ok(());
        }
        self.pairs += 1;
        self.write(&sql::functions(plan, self.pairs))?;
        for org in orgs {
            self.write(&sql::org(self.pairs, org, misrouted.contains(*org)))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        finish(self.file)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).or_run("cannot write repair.sql", "is the disk full?")
    }
}
