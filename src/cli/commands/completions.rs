//! `cutover completions SHELL`: what the shell needs to complete our command lines.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::{Cli, Exit, Printer};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the completions.
pub fn run(args: &CompletionsArgs, printer: &Printer) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cutover", &mut script);
    let script = String::from_utf8_lossy(&script);
    printer.result(script.trim_end());
    printer.json(&json!({ "shell": args.shell.to_string(), "script": script }));
    Exit::OK
}
