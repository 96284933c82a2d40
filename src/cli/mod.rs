//! The command line: arguments in, people's text and one JSON object out, an exit code at the end.
//!
//! Printing and `clap` live here and nowhere else.

mod args;
mod commands;
mod diagnostics;
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
use nix::sys::stat::Mode;

pub use crate::evidence::exit::Exit;
pub use args::{Cli, Command, Format, Global, TargetArgs};
use exit_code::{of_error, of_process};
pub use notify::NotifyArgs;
pub use printer::Printer;

use crate::error::{Error, Result};
use crate::routing;

/// Neither the group nor anybody else reads, writes or enters what is made.
const OTHERS_NOTHING: Mode = Mode::S_IRWXG.union(Mode::S_IRWXO);

/// Parses the arguments, runs the command, and returns its exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(&cli.global);
    if let Err(error) = diagnostics::install(cli.global.verbose, &printer) {
        return finish(Err(error), &printer);
    }
    if cli.command.leaves_evidence() && !cli.global.share {
        // Whoever makes a file from here on, a library or a process of ours, makes it ours alone.
        nix::sys::stat::umask(OTHERS_NOTHING);
    }
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
        Ok(Exit::OK) if printer.failed() => of_process(Exit::COULD_NOT_RUN),
        Ok(exit) => of_process(exit),
        Err(error) => {
            printer.error(&error);
            of_process(of_error(&error))
        }
    }
}
