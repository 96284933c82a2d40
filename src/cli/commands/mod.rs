//! One file a command: raw arguments to resolved ones, the call of the acts, the outcome to print.

pub mod platform;
pub mod rehearse;

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
        Command::Platform(args) => platform::run(args, printer, stop).await,
    }
}
