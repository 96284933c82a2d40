//! What people read before anything else: help, manual, completions, and every command line of the
//! README and the docs.

use crate::support;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::rig::Rig;
use crate::support::{cutover, cutover_command};
use clap::{CommandFactory, Parser};
use cutover::cli::Cli;

/// What a screen holds where a window fills it.
const SCREEN_LINES: usize = 60;
const SCREEN_COLUMNS: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs and expects success; what it said on stdout.
fn said(args: &[&str]) -> String {
    let output = cutover().args(args).output().expect("cutover runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The names of every command and of those below it, as typed.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, names: &[String], found: &mut Vec<Vec<String>>) {
        for next in command.get_subcommands().filter(|next| !next.is_hide_set()) {
            let names = [names, &[next.get_name().to_owned()]].concat();
            found.push(names.clone());
            below(next, &names, found);
        }
    }
    let mut found = vec![vec![]];
    below(&Cli::command(), &[], &mut found);
    found
}

#[test]
fn the_help_of_every_command_fits_a_screen() {
    for names in commands() {
        let mut command = cutover();
        let output = command.args(&names).arg("--help").env("COLUMNS", SCREEN_COLUMNS.to_string());
        let help = String::from_utf8(output.output().expect("cutover runs").stdout).expect("UTF-8");
        let lines = help.lines().count();
        assert!((5..=SCREEN_LINES).contains(&lines), "{names:?}: {lines} lines\n{help}");
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(widest <= SCREEN_COLUMNS, "{names:?}: {widest} columns\n{help}");
    }
}

#[test]
fn the_manual_has_a_page_per_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_str().expect("UTF-8");
    let written = said(&["man", "--out", out]);
    assert_eq!(written.lines().count(), commands().len());
    for names in commands() {
        let args: Vec<&str> = ["man"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let name = [&["cutover".to_owned()], names.as_slice()].concat().join("-");
        let page = std::fs::read_to_string(folder.path().join(format!("{name}.1")));
        let page = page.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(page.trim_end(), said(&args).trim_end());
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
    }
    let output = cutover().args(["man", "rig", "upp"]).output().expect("cutover runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("commands: up, down, status"));
}

#[test]
fn bash_completes_commands_and_options() {
    let script = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(script.path(), said(&["completions", "bash"])).expect("our own file");
    for (words, wanted) in
        [("cutover reh", "rehearse"), ("cutover drive --find", "--find-capacity")]
    {
        let ask = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _cutover cutover \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[*]}}\"",
            script.path().display()
        );
        let output = Command::new("bash").args(["-c", &ask]).output().expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), wanted, "{output:?}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(said(&["completions", shell]).contains("find-capacity"), "{shell}");
    }
}

/// A command line of a page, without its comment.
struct Line {
    page: String,
    text: String,
}

/// The lines of every block marked as bash, in the pages that people read.
fn command_lines() -> Vec<Line> {
    let mut pages = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    for folder in ["docs", "deploy"] {
        pages.extend(markdown_below(&root().join(folder)));
    }
    pages.into_iter().flat_map(|page| lines_of(&page)).collect()
}

fn markdown_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("readable").path());
    let mut found: Vec<PathBuf> = paths
        .flat_map(|path| if path.is_dir() { markdown_below(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    found.sort();
    found
}

fn lines_of(page: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(page).expect("our own page");
    let name = page.strip_prefix(root()).expect("ours").display().to_string();
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = line.trim() == "```bash" || line.trim() == "```sh";
            continue;
        }
        let text = line.split(" #").next().unwrap_or(line).trim();
        if inside && !text.is_empty() && !text.starts_with('#') {
            lines.push(Line { page: name.clone(), text: text.to_owned() });
        }
    }
    lines
}

#[test]
fn every_command_line_of_the_docs_is_one_that_is_understood() {
    let lines = command_lines();
    assert!(lines.len() > 10);
    for Line { page, text } in &lines {
        let words = || text.split_whitespace().filter(|word| !word.contains("=/"));
        if words().next() == Some("cutover")
            && let Err(error) = Cli::try_parse_from(words())
        {
            assert_eq!(error.exit_code(), 0, "{page}: {text}\n{error}");
        }
        for word in
            words().filter(|word| word.starts_with("scripts/") || word.starts_with("deploy/"))
        {
            assert!(root().join(word).exists(), "{page}: {text}: no {word}");
        }
    }
}

/// The README's lines for one's own staging, run there in their order, in small.
#[tokio::test]
async fn the_lines_for_a_staging_platform_do_what_they_say() {
    let rig = Rig::up();
    let folder = rig.dir.path();
    let profile = root().join("fixtures/finance.seed.toml");
    std::fs::copy(profile, folder.join("mine.seed.toml")).expect("our own folder");
    let another = support::database();
    let today = chrono::Utc::now().date_naive();
    cutover::platform::migrate(&another.url, today).await.expect("the database is empty");
    let mut ran = 0;
    for Line { text, .. } in lines_of(&root().join("README.md")) {
        // With the evidence of a day's watching, at a time to come, of shards that ran then, drills on
        // a rig of their own, or told of the handbook: these have tests of their own.
        let elsewhere = ["--evidence", "--start-at", "merge", " URL", "cutover drill "];
        let elsewhere = elsewhere.iter().any(|word| text.contains(word));
        if !text.starts_with("cutover ") || elsewhere {
            continue;
        }
        let mut small = text.clone();
        for (large, small_one) in [
            ("--orgs 1000000", "--orgs 300"),
            ("--orgs 100000", "--orgs 300"),
            ("--duration 1h", "--duration 6s"),
            ("--for 5m", "--for 2s"),
            ("/tmp/diff", folder.join("diff").to_str().expect("UTF-8")),
            ("http://api.staging:4000", rig.url("base_url")),
        ] {
            small = small.replace(large, small_one);
        }
        let seeds = small.starts_with("cutover seed");
        let url = if seeds { another.url.as_str() } else { rig.url("database_url") };
        let words: Vec<&str> = small.split_whitespace().skip(1).collect();
        let mut command = cutover_command();
        let output =
            command.args(&words).env("CUTOVER_DATABASE_URL", url).current_dir(folder).output();
        let output = output.expect("cutover runs");
        // So short a load on a busy machine decides nothing; that rows are equal, it always does.
        let undecided = text.contains("rehearse") || text.contains("gate");
        let allowed: &[i32] = if undecided { &[0, 10, 20, 30] } else { &[0] };
        let code = output.status.code().expect("it ended by itself");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(allowed.contains(&code), "{text}: exit {code}\n{errors}");
        ran += 1;
    }
    assert!(ran >= 7, "{ran}");
}
