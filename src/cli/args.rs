//! Raw arguments. Parsing has no effects; what they mean together is resolved by each command.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::{commands, values};

/// Rehearse a table cut-over, prove that not one row differs, decide go or no-go.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(disable_help_flag = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// What stdout holds: people's text, or exactly one JSON object
    #[arg(long, help_heading = "Everywhere", global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Say less: only errors and the result
    #[arg(short, long, help_heading = "Everywhere", global = true)]
    pub quiet: bool,
    /// Say what is decided; twice: each request and read of the database
    #[arg(short, long, help_heading = "Everywhere", global = true, conflicts_with = "quiet", action = ArgAction::Count)]
    pub verbose: u8,
    /// Colours on stderr and stdout
    #[arg(long, help_heading = "Everywhere", global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// Let others read what is left behind; it may hold values of rows
    #[arg(long, help_heading = "Everywhere", global = true)]
    pub share: bool,
    /// Print this; `cutover help COMMAND` says more
    #[arg(short, long, help_heading = "Everywhere", global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// What stdout holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` or `CI` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the target is; shared by the commands that touch one.
#[derive(Debug, Clone, Default, Args)]
pub struct TargetArgs {
    /// PostgreSQL of the target, postgres://user:password@host:port/database
    #[arg(
        long,
        help_heading = "Target and run",
        env = "CUTOVER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// Base URL of the platform
    #[arg(
        long,
        help_heading = "Target and run",
        env = "CUTOVER_BASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub base_url: Option<String>,
    /// Configuration file (cutover.toml)
    #[arg(long, help_heading = "Target and run", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Environment of the configuration: [env.NAME]
    #[arg(long, help_heading = "Target and run", env = "CUTOVER_ENV", hide_env_values = true)]
    #[arg(value_name = "NAME")]
    pub env: Option<String>,
    /// Folder for what is left behind; default: a new one below reports/ (seed, checklists: none)
    #[arg(long, help_heading = "Target and run", value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of every random choice
    #[arg(long, help_heading = "Target and run", default_value_t = 42, value_name = "N", value_parser = values::rng_seed)]
    #[arg(allow_negative_numbers = true)]
    pub rng_seed: u64,
}

/// The commands, in the order in which people meet them.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all acts and give one verdict
    Rehearse(commands::rehearse::RehearseArgs),
    /// The local stack: PostgreSQL, Redis and the platform
    Rig(commands::rig::RigArgs),
    /// Run the reference finance service alone
    Platform(commands::platform::PlatformArgs),
    /// Fill a staging database with synthetic organisations
    Seed(commands::seed::SeedArgs),
    /// Drive load in both modes and measure it
    ///
    /// Ends with 0 if it was measured, 10 if more than 0.1 % of the requests failed, 11 if a
    /// write, an answer or an org's isolation is not as it must be, 30 if the measurement cannot be
    /// trusted, 1 if not one request succeeded. A GO is for `rehearse` and `gate` to give.
    Drive(commands::drive::DriveArgs),
    /// Compare legacy with partitioned, every org and every row
    Diff(commands::diff::DiffArgs),
    /// May we start? The pre-rollout checklist: pass, fail, unknown, and what to do
    Preflight(commands::preflight::ChecklistArgs),
    /// The smoke tests: a row written, read, changed, removed; monitoring answers
    Smoke(commands::preflight::ChecklistArgs),
    /// Select low-risk pilot orgs: the list, the targeting rule, the SQL
    Pilot(commands::preflight::PilotArgs),
    /// Day 1, week 1, month 1 after 100 %: the handbook's checklists, and what still hangs on legacy
    PostRollout(commands::preflight::PostRolloutArgs),
    /// The monitoring loop: thresholds, alarms, a line per look
    Watch(commands::watch::WatchArgs),
    /// Rehearse emergencies against the clock, each with a proof
    Drill(commands::drill::DrillArgs),
    /// Give the verdict again, from a run's folder alone
    Gate(commands::gate::GateArgs),
    /// Write every report of a run again, from its record
    Report(commands::report::ReportArgs),
    /// Put the shards of one load, and of one comparison, together into one run
    Merge(commands::merge::MergeArgs),
    /// Write a configuration, a seed profile and a scenario for your own platform
    Init(commands::init::InitArgs),
    /// Explain what each act would do on this target, and do nothing
    CheckConfig(commands::check_config::CheckConfigArgs),
    /// Print completions for your shell
    Completions(commands::completions::CompletionsArgs),
    /// Print a page of the manual, or write all of them
    Man(commands::man::ManArgs),
    /// Put the platform's flag back where the owner of standard input was killed
    #[command(hide = true)]
    KeepFlag,
}

impl Command {
    /// Whether what it leaves behind is evidence, which may hold values of the database.
    pub(super) fn leaves_evidence(&self) -> bool {
        !matches!(
            self,
            Self::Rig(_)
                | Self::Platform(_)
                | Self::Init(_)
                | Self::CheckConfig(_)
                | Self::Completions(_)
                | Self::Man(_)
                | Self::KeepFlag
        )
    }

    /// Where the target of the command is said to be, for those that have one.
    pub(super) fn target(&mut self) -> Option<&mut TargetArgs> {
        match self {
            Self::Rehearse(args) => Some(&mut args.target),
            Self::Seed(args) => Some(&mut args.target),
            Self::Drive(args) => Some(&mut args.target),
            Self::Preflight(args) | Self::Smoke(args) => Some(&mut args.target),
            Self::Pilot(args) => Some(&mut args.target),
            Self::PostRollout(args) => Some(&mut args.target),
            Self::Watch(args) => Some(&mut args.target),
            Self::Drill(args) => Some(&mut args.target),
            Self::Diff(args) => Some(&mut args.target),
            Self::CheckConfig(args) => Some(&mut args.target),
            _ => None,
        }
    }
}
