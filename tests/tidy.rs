//! The house keeps its order: what the compiler does not check, this does.
//!
//! Modules of one crate may import each other in circles without a word from the compiler. Here
//! each floor says what it may use; the rest are the few rules of ARCHITECTURE.md that a machine
//! can see.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file, its tests left out.
const FILE_LIMIT: usize = 400;
/// Lines of a function.
const FUNCTION_LIMIT: usize = 70;

const GROUND: [&str; 10] = [
    "act",
    "config",
    "error",
    "evidence",
    "http",
    "notify",
    "pg",
    "routing",
    "run_folder",
    "scenario",
];
const JUDGES: [&str; 2] = ["gate", "report"];
const ACTS: [&str; 9] =
    ["diff", "discover", "drill", "drive", "platform", "preflight", "rig", "seed", "watch"];

struct Source {
    /// Relative to `src`.
    path: String,
    /// Without the tests at its end.
    text: String,
}

impl Source {
    /// The module of the first floor: `drive` for `drive/worker.rs`.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().expect("a path has a part");
        first.trim_end_matches(".rs")
    }

    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().expect("a path has a part")
    }

    /// Lines that are code, with their numbers from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    let sources: Vec<Source> = found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("source is text");
            let text = text.split("#[cfg(test)]\nmod ").next().expect("a first part").to_owned();
            let path = path.strip_prefix(&root).expect("below src").display().to_string();
            Source { path, text }
        })
        .collect();
    assert!(sources.len() > 30, "only {} sources found", sources.len());
    sources
}

fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

/// What a module may use of ours, itself aside.
fn allowed(room: &str) -> BTreeSet<&'static str> {
    let of =
        |lists: &[&[&'static str]]| lists.iter().flat_map(|list| list.iter().copied()).collect();
    match room {
        "main" | "lib" => of(&[]),
        "cli" => of(&[&["rehearsal"], &ACTS, &JUDGES, &GROUND]),
        "rehearsal" => of(&[&ACTS, &JUDGES, &GROUND]),
        // The reference platform is a stand-in for somebody else's service.
        "platform" => of(&[&["error", "pg"]]),
        room if ACTS.contains(&room) => of(&[&GROUND]),
        room if JUDGES.contains(&room) => of(&[&["evidence"]]),
        "evidence" | "error" => of(&[]),
        room if GROUND.contains(&room) => of(&[&GROUND]),
        other => panic!("src/{other} stands on no floor: give it one here and in lib.rs"),
    }
}

#[test]
fn each_floor_uses_only_what_is_below_it() {
    let mut broken = Vec::new();
    for source in sources() {
        let room = source.room();
        let allowed = allowed(room);
        for (number, line) in source.code() {
            for used in line.split("crate::").skip(1) {
                let names: Vec<&str> = match used.strip_prefix('{') {
                    Some(list) => list.split([',', '}']).map(str::trim).collect(),
                    None => vec![used],
                };
                for name in names {
                    let name = name
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next()
                        .expect("a first part");
                    if !name.is_empty() && name != room && !allowed.contains(name) {
                        broken.push(format!("{}:{number}: uses {name}", source.path));
                    }
                }
            }
        }
    }
    assert_none(&broken, "a floor uses only what is below it");
}

/// Looks for words in code outside the rooms where they belong.
fn only_in(words: &[&str], belongs: impl Fn(&Source) -> bool, rule: &str) {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !belongs(source)) {
        for (number, line) in source.code() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                broken.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    assert_none(&broken, rule);
}

#[test]
fn arguments_and_printing_live_in_the_command_line() {
    let words = ["clap", "println!", "print!(", "eprint!(", "dbg!(", "std::io::stdout"];
    only_in(&words, |source| source.room() == "cli", "clap and printing in cli only");
}

#[test]
fn goose_lives_in_drive() {
    only_in(&["goose::"], |source| source.room() == "drive", "Goose in drive only");
}

#[test]
fn processes_are_started_by_the_rig() {
    let words = ["process::Command", "Command::new("];
    // `report --open` hands the page to the desktop's own program.
    let opens = "cli/commands/report.rs";
    // A flag of the platform may be switched by a command of its owner's.
    let switches = "routing/program.rs";
    // And is put back by a process of its own where we are killed.
    let keeps = "routing/keeper.rs";
    let others = [opens, switches, keeps];
    let belongs =
        |source: &Source| source.room() == "rig" || others.contains(&source.path.as_str());
    only_in(&words, belongs, "processes are started in rig only");
}

#[test]
fn who_only_reads_opens_connections_that_cannot_write() {
    let words = ["pg::connect(", " connect(database_url", "= connect(url"];
    let writes = ["seed", "platform", "rig", "pg", "drill"];
    let probes = |source: &Source| source.path.starts_with("diff/probe/");
    let belongs = |source: &Source| writes.contains(&source.room()) || probes(source);
    only_in(&words, belongs, "reading acts use pg::connect_reading");
}

#[test]
fn statements_live_in_files_of_their_own() {
    let starts = [
        "SELECT ",
        "INSERT INTO ",
        "UPDATE ",
        "DELETE FROM ",
        "CREATE ",
        "ALTER ",
        "DROP ",
        "COPY ",
        "TRUNCATE ",
        "BEGIN ",
        "WITH ",
    ];
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.file_name() != "sql.rs") {
        for (number, line) in source.code() {
            for literal in line.split('"').skip(1).step_by(2) {
                if starts.iter().any(|start| literal.trim_start().starts_with(start)) {
                    broken.push(format!("{}:{number}: {literal}", source.path));
                }
            }
        }
    }
    assert_none(&broken, "SQL in .sql files and sql.rs only");
}

#[test]
fn judges_know_no_clock_no_files_and_no_network() {
    let words =
        ["std::fs", "Instant::now", "SystemTime", "Utc::now", "std::net", "tokio::", "sqlx::"];
    let belongs = |source: &Source| !JUDGES.contains(&source.room());
    only_in(&words, belongs, "judges see evidence only");
}

#[test]
fn files_and_functions_are_read_in_one_sitting() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > FILE_LIMIT {
            broken.push(format!("{}: {} lines", source.path, lines.len()));
        }
        for (index, line) in lines.iter().enumerate() {
            let body = line.trim_start();
            let is_function = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn "]
                .iter()
                .chain(&["pub(super) async fn ", "pub(crate) fn ", "const fn ", "pub const fn "])
                .any(|start| body.starts_with(start));
            if is_function {
                let end = format!("{}}}", &line[..line.len() - body.len()]);
                let length = lines[index..].iter().position(|l| *l == end).map_or(0, |at| at + 1);
                if length > FUNCTION_LIMIT {
                    broken.push(format!("{}:{}: {length} lines", source.path, index + 1));
                }
            }
        }
    }
    let rule = format!("files up to {FILE_LIMIT} lines, functions up to {FUNCTION_LIMIT}");
    assert_none(&broken, &rule);
}

/// What deny.toml says of licences and sources, held against what the build is made of. The known
/// vulnerabilities, which only the network tells, are for scripts/release.sh.
#[test]
fn every_dependency_is_what_deny_toml_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("deny.toml")).expect("it is there");
    let rules: toml::Value = toml::from_str(&rules).expect("TOML");
    let allowed = rules["licenses"]["allow"].as_array().expect("a list").iter();
    let allowed = allowed.map(|name| name.as_str().expect("a name"));
    let allowed: Vec<spdx::Licensee> =
        allowed.map(|name| spdx::Licensee::parse(name).expect(name)).collect();
    let said = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "host-tuple"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let packages = said["packages"].as_array().expect("a list");
    let (mut refused, mut sources) = (Vec::new(), BTreeSet::new());
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or_default();
        let parsed = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX);
        let may = |wanted: &spdx::LicenseReq| allowed.iter().any(|one| one.satisfies(wanted));
        if !parsed.is_ok_and(|expression| expression.evaluate(may)) {
            refused.push(format!("{name}: {licence:?}"));
        }
        sources.extend(package["source"].as_str());
    }
    assert!(packages.len() > 100, "{}", packages.len());
    assert_eq!(refused, [""; 0], "neither in deny.toml nor looked at");
    assert!(sources.len() == 1 && sources.iter().all(|one| one.starts_with("registry+")));
}
