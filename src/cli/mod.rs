//! The command line: arguments in, people's text and one JSON object out, an exit code at the end.
//!
//! Printing and `clap` live here and nowhere else.

mod args;
mod commands;
mod exit_code;
mod intents;
mod notify;
mod printer;
mod signals;
mod target;
mod values;
mod verdict_text;

use std::process::ExitCode;

use clap::Parser;

pub use args::{Cli, Command, Format, Global, TargetArgs};
pub use exit_code::Exit;
pub use notify::NotifyArgs;
pub use printer::Printer;

use crate::error::{Error, Result};
use crate::routing;

/// Parses the arguments, runs the command, and returns its exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(&cli.global);
    if let Command::Rig(args) = &cli.command
        && let Some(outcome) = commands::rig::keep(args)
    {
        return finish(outcome, &printer);
    }
    if let Command::KeepFlag = cli.command {
        // Before any thread or signal handler exists.
        return finish(routing::keep_flag().map(|()| Exit::OK), &printer);
    }
    let outcome = signals::install().and_then(|stop| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::run(format!("cannot start the runtime: {e}"), ""))?;
        runtime.block_on(commands::dispatch(cli.command, &printer, stop))
    });
    finish(outcome, &printer)
}

fn finish(outcome: Result<Exit>, printer: &Printer) -> ExitCode {
    match outcome {
        // A verdict that nobody could read was not given.
        Ok(Exit::OK) if printer.failed() => Exit::COULD_NOT_RUN.into(),
        Ok(exit) => exit.into(),
        Err(error) => {
            printer.error(&error);
            Exit::from(&error).into()
        }
    }
}
