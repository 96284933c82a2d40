//! `cutover rig up|down|status`: the local stack by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::{Exit, Printer, values};
use crate::error::{Context, Result};
use crate::rig::{self, Health, Options, RigStatus, Stack, Urls};

/// How often a rig in the foreground is looked after.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `rig`.
#[derive(Debug, Args)]
pub struct RigArgs {
    /// What to do with the rig.
    #[command(subcommand)]
    pub command: RigCommand,
}

/// What to do with a rig.
#[derive(Debug, Subcommand)]
pub enum RigCommand {
    /// Start PostgreSQL, Redis and the platform, and keep them until SIGINT or SIGTERM
    Up(UpArgs),
    /// Stop a rig that was left running
    Down(DownArgs),
    /// List the rigs of this user and how they are
    Status,
    /// Clean up behind the owner of a rig once standard input closes
    #[command(hide = true)]
    Keep(KeepArgs),
}

/// Arguments of `rig up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Folder whose data survive `rig down`; default: a temporary one that goes with the rig
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Port of PostgreSQL on 127.0.0.1; default: a free one
    #[arg(long, value_name = "P", value_parser = values::port)]
    pub port: Option<u16>,
    /// What to start beside the usual
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub with: Vec<Extra>,
    /// What to leave out
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub without: Vec<Part>,
    /// Leave it running and return; `cutover rig down` stops it
    #[arg(long)]
    pub detach: bool,
    /// More arguments for the platform, after `--`
    #[arg(last = true, value_name = "PLATFORM_ARGS")]
    pub platform_args: Vec<String>,
}

/// What can be started beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Extra {
    /// A streaming replica, from which the platform then reads.
    Replica,
    /// PgBouncer in transaction mode, through which the platform then goes.
    Pgbouncer,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Redis; the platform then caches in its own memory.
    Redis,
    /// The reference platform; the database then stays empty.
    Platform,
}

/// Arguments of `rig down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Folder of the rig; default: the only one that was left running
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Remove the data of a rig that was started with --dir, too
    #[arg(long)]
    pub purge: bool,
}

/// Arguments of `rig keep`.
#[derive(Debug, Args)]
pub struct KeepArgs {
    /// Folder of the rig.
    #[arg(long)]
    pub dir: PathBuf,
}

/// What `rig up` prints.
#[derive(Serialize)]
struct Standing<'a> {
    #[serde(flatten)]
    urls: &'a Urls,
    dir: &'a Path,
    pids: BTreeMap<&'static str, u32>,
}

/// Runs the subcommand.
///
/// # Errors
/// What the rig could not do.
pub async fn run(args: RigArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    match args.command {
        RigCommand::Up(args) => up(args, printer, stop).await,
        RigCommand::Down(args) => down(&args, printer),
        RigCommand::Status => status(printer),
        RigCommand::Keep(args) => rig::keep(&args.dir).map(|()| Exit::OK),
    }
}

/// `rig keep`, which has to run before any thread or signal handler exists; `None` for the others.
pub fn keep(args: &RigArgs) -> Option<Result<Exit>> {
    match &args.command {
        RigCommand::Keep(args) => Some(rig::keep(&args.dir).map(|()| Exit::OK)),
        _ => None,
    }
}

async fn up(args: UpArgs, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    if args.detach {
        rig::close_inherited();
    }
    let executable = std::env::current_exe().or_run("cannot tell where cutover itself is", "")?;
    let options = Options {
        dir: args.dir,
        port: args.port,
        platform_args: args.platform_args,
        replica: args.with.contains(&Extra::Replica),
        pgbouncer: args.with.contains(&Extra::Pgbouncer),
        redis: !args.without.contains(&Part::Redis),
        platform: !args.without.contains(&Part::Platform),
        ..Options::new(executable)
    };
    let stack = Stack::start(options, &printer.context(stop.clone())).await?;
    print(printer, &Standing { urls: stack.urls(), dir: stack.dir(), pids: stack.pids() });
    if args.detach {
        let dir = stack.dir().display().to_string();
        stack.detach()?;
        printer.note(&format!("left running; `cutover rig down --dir {dir}` stops it"));
        return Ok(Exit::OK);
    }
    printer.note("up until SIGINT (Ctrl-C) or SIGTERM");
    look_after(stack, printer, stop).await
}

/// Waits for the sign to stop, or for the end of a component.
async fn look_after(mut stack: Stack, printer: &Printer, stop: CancellationToken) -> Result<Exit> {
    while !stop.is_cancelled() {
        let checked = stack.check();
        // Asked after the check: whoever takes it down says so before the first component ends.
        if stack.was_taken_down() {
            printer.note("taken down by `cutover rig down`");
            break;
        }
        checked?;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(CHECK_EVERY) => {}
        }
    }
    stack.stop().await.map(|()| Exit::OK)
}

fn down(args: &DownArgs, printer: &Printer) -> Result<Exit> {
    let stopped = rig::down(args.dir.as_deref(), args.purge)?;
    match &stopped {
        Some(dir) => printer.note(&format!("down: {}", dir.display())),
        None => printer.note("no rig was left running"),
    }
    printer.json(&serde_json::json!({ "stopped": stopped }));
    Ok(Exit::OK)
}

fn status(printer: &Printer) -> Result<Exit> {
    let rigs = rig::list()?;
    for rig in &rigs {
        printer.result(&line(rig));
    }
    if rigs.is_empty() {
        printer.result("no rigs");
    }
    printer.json(&serde_json::json!({ "rigs": rigs }));
    Ok(Exit::OK)
}

fn line(rig: &RigStatus) -> String {
    let health = match rig.health {
        Health::Starting => "starting",
        Health::Up => "up",
        Health::Broken => "broken",
        Health::Down => "down",
    };
    let whose = match (rig.detached, rig.owner_pid) {
        (true, _) => "detached".to_owned(),
        (false, Some(pid)) => format!("owned by process {pid}"),
        (false, None) => "owned by nobody".to_owned(),
    };
    let parts: Vec<String> = rig.pids.iter().map(|(name, pid)| format!("{name} {pid}")).collect();
    let mut text = format!("{health:<8} {}  {whose}  {}", rig.dir.display(), parts.join(", "));
    for trouble in &rig.troubles {
        text.push_str(&format!("\n        {trouble}"));
    }
    text
}

/// One JSON object on stdout whatever the format: scripts read it.
fn print(printer: &Printer, standing: &Standing) {
    if printer.is_json() {
        printer.json(standing);
    } else {
        let text = serde_json::to_string_pretty(standing).expect("plain data serialises");
        printer.result(&text);
    }
}
