//! `repair.sql`: rewrites the rows of diverging orgs on the side that is carried to, from what the side that
//! the application writes to holds when it is applied.
//!
//! A transaction per org locks the org's rows on the side that is written to, so that none of them changes
//! until it ends, and then makes the other side's rows equal. Rows that are written meanwhile are no
//! trouble: every statement sees a write together with the write of its trigger, or neither. No value of
//! the snapshot that was compared stands in the file, only orgs.

mod limits;
mod sql;

use std::io::Write;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnection;

use super::direction::Direction;
use super::output::{create, finish};
use super::schema::PairPlan;
use cutover_error::{Context, Result};
use cutover_evidence::finding::RepairPlan;
use cutover_ground::whole_file::WholeFile;

pub(super) use limits::Compared;

/// The file's name in the folder of the run.
pub(super) const FILE: &str = "repair.sql";

/// What `repair.sql` is to do, gathered pair by pair.
pub(super) struct Repair {
    out: PathBuf,
    /// Whether it is written whatever it rewrites.
    any: bool,
    pairs: Vec<PairRepair>,
}

struct PairRepair {
    plan: RepairPlan,
    functions: String,
    compared: Compared,
}

impl Repair {
    /// Begins; the file of an earlier comparison into the same folder mends nothing any more.
    pub(super) fn begin(out: &Path, any: bool) -> Result<Self> {
        let path = out.join(FILE);
        if path.symlink_metadata().is_ok() {
            let what = format!("cannot remove the earlier {}", path.display());
            std::fs::remove_file(&path).or_run(what, "")?;
        }
        Ok(Self { out: out.to_owned(), any, pairs: Vec::new() })
    }

    /// Takes what was found of a pair.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn pair(
        &mut self,
        connection: &mut PgConnection,
        plan: &PairPlan,
        direction: &Direction,
        compared: Compared,
    ) -> Result<()> {
        let target = direction.follower();
        let unable = match compared.orgs.is_empty() {
            true => None,
            false => limits::unable(connection, plan, target).await?,
        };
        let repair = compared.plan(plan, direction, unable, self.any);
        let number = self.pairs.len() + 1;
        let limit = if self.any { None } else { Some(compared.limit(plan, target)) };
        let functions = match (&repair.refused, compared.orgs.is_empty()) {
            (None, false) => sql::functions(plan, target, number, limit),
            _ => String::new(),
        };
        self.pairs.push(PairRepair { plan: repair, functions, compared });
        Ok(())
    }

    /// Writes the file, if there is anything that it may do; tells what it does and what was refused.
    pub(super) fn finish(self) -> Result<(bool, Vec<RepairPlan>)> {
        let plans: Vec<RepairPlan> = self.pairs.iter().map(|pair| pair.plan.clone()).collect();
        if !plans.is_empty() && plans.iter().all(|plan| plan.refused.is_some()) {
            return Ok((false, plans));
        }
        let mut file = create(&self.out, FILE)?;
        write(&mut file, &sql::head(&plans))?;
        for (at, pair) in
            self.pairs.iter().enumerate().filter(|(_, pair)| !pair.functions.is_empty())
        {
            write(&mut file, &pair.functions)?;
            for org in &pair.compared.orgs {
                let misrouted = pair.compared.misrouted.contains(org);
                write(&mut file, &sql::org(at + 1, org, misrouted))?;
            }
        }
        finish(file)?;
        Ok((true, plans))
    }
}

fn write(file: &mut WholeFile, text: &str) -> Result<()> {
    file.write_all(text.as_bytes()).or_run("cannot write repair.sql", "is the disk full?")
}
