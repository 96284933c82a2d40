//! The house keeps its order: what the compiler does not check, this does.
//!
//! Cargo lets a crate use only what its manifest names; here stands what no manifest may come to
//! name, and the rules of ARCHITECTURE.md that a machine can see in the text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file, its tests left out.
const FILE_LIMIT: usize = 400;
/// Lines of a function.
const FUNCTION_LIMIT: usize = 70;

/// Crates of several rooms: their files are named by the room, those of the others by the crate.
const HOUSES: [&str; 2] = ["ground", "verdict"];

struct Source {
    /// Relative to the `src` of its crate, with the crate's name before it unless the crate has
    /// several rooms.
    path: String,
    /// Without the tests at its end.
    text: String,
}

impl Source {
    /// `drive` for `drive/worker.rs`, `pg` for `pg/copy.rs`.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut homes = vec![(PathBuf::new(), root.join("src"))];
    for name in crates() {
        let prefix =
            if HOUSES.contains(&name.as_str()) { PathBuf::new() } else { name.clone().into() };
        homes.push((prefix, root.join("crates").join(name).join("src")));
    }
    let mut sources = Vec::new();
    for (prefix, home) in homes {
        let mut found = Vec::new();
        walk(&home, &mut found);
        sources.extend(found.into_iter().map(|path| {
            let text = std::fs::read_to_string(&path).expect("source is text");
            let text = text.split("#[cfg(test)]\nmod ").next().expect("a first part").to_owned();
            let path = path.strip_prefix(&home).expect("below its home");
            Source { path: prefix.join(path).display().to_string(), text }
        }));
    }
    assert!(sources.len() > 300, "only {} sources found", sources.len());
    sources
}

/// The folders below `crates`.
fn crates() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let entries = std::fs::read_dir(folder).expect("crates can be read");
    let names = entries.map(|entry| entry.expect("crates can be read").file_name());
    names.map(|name| name.into_string().expect("a name")).collect()
}

fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

/// What `cargo tree` says a crate is made of.
fn made_of(name: &str) -> BTreeSet<String> {
    let told = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"])
        .args(["--package", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).expect("text");
    let mut parts: BTreeSet<String> =
        told.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(parts.remove(name) && !parts.is_empty(), "{name}: {told}");
    parts
}

#[test]
fn judges_are_made_without_what_reaches_the_world() {
    let parts = made_of("cutover-verdict");
    for name in ["tokio", "sqlx", "sqlx-core", "hyper", "goose", "reqwest"] {
        assert!(!parts.contains(name), "the verdict's crate has {name}");
    }
    assert!(made_of("cutover-drive").contains("goose"), "it would be seen if it were there");
}

#[test]
fn the_platform_knows_nothing_of_the_harness() {
    let ours: Vec<String> = made_of("cutover-platform")
        .into_iter()
        .filter(|name| name.starts_with("cutover"))
        .collect();
    assert_eq!(ours, [""; 0]);
}

#[test]
fn no_act_knows_another() {
    let shared = ["error", "evidence", "ground", "scenario"];
    for name in crates() {
        if name == "verdict" || shared.contains(&name.as_str()) {
            continue;
        }
        for part in made_of(&format!("cutover-{name}")) {
            let other = part.strip_prefix("cutover-");
            assert!(other.is_none_or(|other| shared.contains(&other)), "{name} uses {part}");
        }
    }
}

#[test]
fn goose_is_a_part_of_the_load_alone() {
    for name in crates().into_iter().filter(|name| name != "drive") {
        assert!(!made_of(&format!("cutover-{name}")).contains("goose"), "{name} has Goose");
    }
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
fn what_lies_below_does_not_know_what_lies_above_it_in_the_same_crate() {
    let below = |room: &'static str| move |source: &Source| source.room() != room;
    only_in(&["crate::cli", "super::cli"], below("rehearsal"), "the acts know no command line");
    only_in(&["crate::report"], below("gate"), "the gate knows no report");
    only_in(&["crate::gate"], below("report"), "reports know no gate");
}

#[test]
fn arguments_and_printing_live_in_the_command_line() {
    let words = ["clap", "println!", "print!(", "eprint!(", "dbg!(", "std::io::stdout"];
    only_in(&words, |source| source.room() == "cli", "clap and printing in cli only");
}

#[test]
fn processes_are_started_by_the_rig() {
    let words = ["process::Command", "Command::new("];
    // `report --open` hands the page to the desktop's own program.
    let opens = "cli/commands/report.rs";
    // A flag of the platform may be switched by a command of its owner's.
    let switches = "routing/program.rs";
    // And is put back by a process of its own if we are killed.
    let keeps = "routing/watchdog.rs";
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
    // What a killed drill has changed is put back.
    let keeps = |source: &Source| source.path == "routing/watchdog.rs";
    let belongs =
        |source: &Source| writes.contains(&source.room()) || probes(source) || keeps(source);
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
    let words = ["std::fs", "Instant::now", "SystemTime", "Utc::now", "std::net"];
    let belongs = |source: &Source| !["gate", "report"].contains(&source.room());
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
