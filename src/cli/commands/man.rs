//! `cutover man`: the manual, a page per command.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;
use serde_json::json;

use crate::cli::{Cli, Exit, Printer};
use crate::error::{Context, Error, Result};
use crate::run_folder::{Place, write_whole};

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command whose page is printed, for example `drive` or `rig up`; default: the first page
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Vec<String>,
    /// Write every page into this folder instead, for example ~/.local/share/man/man1
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints a page, or writes them all.
///
/// # Errors
/// If there is no such command, or a page cannot be written.
pub fn run(args: &ManArgs, printer: &Printer) -> Result<Exit> {
    let mut root = Cli::command();
    root.build();
    let mut written = Vec::new();
    if let Some(folder) = &args.out {
        let _folder = Place::make(folder)?;
        write_pages(&root, folder, &mut written)?;
        for path in &written {
            printer.result(&path.display().to_string());
        }
        printer.json(&json!({ "files": written }));
        return Ok(Exit::OK);
    }
    let page = String::from_utf8_lossy(&render(find(&root, &args.command)?)?).into_owned();
    printer.result(page.trim_end());
    printer.json(&json!({ "page": page }));
    Ok(Exit::OK)
}

/// Follows the names down from the first command.
fn find<'a>(root: &'a clap::Command, names: &[String]) -> Result<&'a clap::Command> {
    names.iter().try_fold(root, |command, name| {
        let known = || command.get_subcommands().filter(|known| !known.is_hide_set());
        known().find(|known| known.get_name() == name).ok_or_else(|| {
            let names: Vec<&str> = known().map(clap::Command::get_name).collect();
            let hint = match names.as_slice() {
                [] => format!("{} has no commands of its own", command.get_name()),
                names => format!("commands: {}", names.join(", ")),
            };
            Error::usage(format!("COMMAND: there is no command {name:?}"), hint)
        })
    })
}

fn render(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).or_run("cannot write the page", "")?;
    Ok(page)
}

/// A page for the command and for each that people see below it.
fn write_pages(command: &clap::Command, folder: &Path, written: &mut Vec<PathBuf>) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = folder.join(format!("{name}.1"));
    write_whole(&path, &render(command)?)?;
    written.push(path);
    let mut below =
        command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help");
    below.try_for_each(|command| write_pages(command, folder, written))
}
