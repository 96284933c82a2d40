//! One file a command: raw arguments to resolved ones, the call of the acts, the outcome to print.

mod capacity;
pub mod check_config;
pub mod completions;
pub mod diff;
pub mod drill;
pub mod drive;
pub mod gate;
pub mod init;
pub mod man;
pub mod merge;
pub mod platform;
pub mod preflight;
pub mod rehearse;
pub mod report;
pub mod rig;
pub mod seed;
pub mod watch;

use tokio_util::sync::CancellationToken;

use super::{Command, Exit, Printer};
use crate::error::Result;

/// Runs the command that was asked for.
pub(super) async fn dispatch(
    mut command: Command,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<Exit> {
    if let Some(target) = command.target() {
        target.settle()?;
    }
    match command {
        Command::Rehearse(args) => rehearse::run(args, printer, stop).await,
        Command::Rig(args) => rig::run(args, printer, stop).await,
        Command::Platform(args) => platform::run(args, printer, stop).await,
        Command::Seed(args) => seed::run(args, printer, stop).await,
        Command::Drive(args) => drive::run(args, printer, stop).await,
        Command::Preflight(args) => preflight::preflight(args, printer, stop).await,
        Command::Smoke(args) => preflight::smoke(args, printer, stop).await,
        Command::Pilot(args) => preflight::pilot(args, printer).await,
        Command::PostRollout(args) => preflight::post_rollout(args, printer, stop).await,
        Command::Watch(args) => watch::run(args, printer, stop).await,
        Command::Drill(args) => drill::run(args, printer, stop).await,
        Command::Diff(args) => diff::run(args, printer, stop).await,
        Command::Gate(args) => gate::run(&args, printer).await,
        Command::Merge(args) => merge::run(&args, printer, stop).await,
        Command::Report(args) => report::run(&args, printer),
        Command::Init(args) => init::run(&args, printer).await,
        Command::CheckConfig(args) => check_config::run(&args, printer).await,
        Command::Completions(args) => Ok(completions::run(&args, printer)),
        Command::Man(args) => man::run(&args, printer),
        // Done before there was a runtime.
        Command::KeepFlag => Ok(Exit::OK),
    }
}
