//! One file a command: raw arguments to resolved ones, the call of the acts, the outcome to print.

pub mod rehearse;
pub mod report;

use tokio_util::sync::CancellationToken;

use super::{Command, Exit, Printer};
use crate::error::Result;

/// Runs the command that was asked for.
pub(super) async fn dispatch(
    command: Command,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Exit> {
    match command {
        Command::Rehearse(args) => rehearse::run(args, printer, stop).await,
        Command::Report(args) => report::run(&args, printer),
    }
}
