//! Generation without a database.

use super::chunk::Chunk;
use super::plan::Plan;
use super::totals::{self, TableTotals};
use super::{Options, Profile};
use cutover_error::Result;
use cutover_evidence::manifest::Manifest;

/// Everything about a run that can be checked without a database.
///
/// # Errors
/// A usage error that names flag or key, and the allowed range.
pub fn check(profile: &Profile, options: &Options) -> Result<()> {
    options.check()?;
    Plan::new(profile, options).map(|_| ())
}

/// The manifest a run would write, computed without a database.
///
/// # Errors
/// A usage error if profile or options are wrong.
pub fn manifest(profile: &Profile, options: &Options) -> Result<Manifest> {
    options.check()?;
    let plan = Plan::new(profile, options)?;
    let range = options.range();
    let mut chunk = Chunk::default();
    let mut totals = vec![TableTotals::default(); plan.tables.len()];
    let mut from = range.start;
    while from < range.end {
        let to = range.end.min(from + 1024);
        chunk.fill(&plan, from..to);
        for (sum, table) in totals.iter_mut().zip(&chunk.tables) {
            sum.add(&table.totals);
        }
        from = to;
    }
    Ok(Manifest {
        rng_seed: options.rng_seed,
        as_of: options.as_of.to_string(),
        orgs: range.end - range.start,
        tables: totals::manifest(&plan, &totals),
        org_sizes: plan.sizes.histogram(range),
        duration_s: 0.0,
    })
}
