//! Planted secrets, and a look into everything that could give one away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::tempdir;

use super::service::{self, SECRET, SECRET_VARIABLE};
use crate::support::{cutover_command, database, execute};

const PASSWORD: &str = "pl4nted-p4ssword!of/the@desk";
const SCENARIO: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/second_platform/scenario.toml");

/// A secret as it is, and as it stands in a URL.
fn forms() -> Vec<String> {
    let mut url = url::Url::parse("postgres://u@h/d").expect("a URL");
    url.query_pairs_mut().append_pair("p", PASSWORD);
    let encoded = url.query().expect("a query").trim_start_matches("p=").to_owned();
    url.set_password(Some(PASSWORD)).expect("a URL with a host");
    let other = url.password().expect("just set").to_owned();
    vec![PASSWORD.into(), encoded, other, SECRET.into()]
}

fn leaks(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    forms().iter().any(|secret| text.contains(secret.as_str()))
}

/// Every file below a folder, the ones that hold the secrets aside.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("our own folder") {
        let path = entry.expect("our own folder").path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The command lines of a process and all below it.
fn command_lines(root: u32) -> Vec<Vec<u8>> {
    let mut family = BTreeSet::from([root]);
    let mut lines = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if id != root && !parent.is_some_and(|p| p.parse().is_ok_and(|p| family.contains(&p))) {
            continue;
        }
        family.insert(id);
        lines.push(std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
    }
    lines
}

/// Runs a command, looking at the process list meanwhile; all that it said.
fn watched(mut command: Command) -> (Option<i32>, Vec<u8>) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("cutover runs");
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        std::io::Read::read_to_end(err.as_mut().expect("piped"), &mut said).expect("a pipe");
        said
    });
    let other = std::thread::spawn(move || {
        let mut said = Vec::new();
        std::io::Read::read_to_end(out.as_mut().expect("piped"), &mut said).expect("a pipe");
        said
    });
    let mut seen = 0;
    let status = loop {
        for line in command_lines(child.id()) {
            assert!(!leaks(&line), "{}", String::from_utf8_lossy(&line));
            seen += 1;
        }
        if let Some(status) = child.try_wait().expect("our own child") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(seen > 0);
    let mut said = reader.join().expect("it reads");
    said.extend(other.join().expect("it reads"));
    (status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_output_shows_a_secret() {
    let database = database();
    execute(&database.url, include_str!("../../fixtures/second_platform/schema.sql")).await;
    let role = format!("desk_{}", std::process::id());
    let make = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{PASSWORD}'");
    execute(&database.url, &make).await;
    let address = service::serve(&database.url).await;
    let (desk, safe) = (tempdir().expect("a folder"), tempdir().expect("a folder"));
    let password_file = safe.path().join("password");
    std::fs::write(&password_file, format!("{PASSWORD}\n")).expect("our own folder");
    let mut url = url::Url::parse(&database.url).expect("a URL");
    url.set_password(None).expect("a URL with a host");
    url.set_username(&role).expect("a URL with a host");
    let command = |arguments: &[&str]| {
        let mut command = cutover_command();
        command.current_dir(desk.path()).env(SECRET_VARIABLE, SECRET).args(arguments);
        command
    };
    let mut init = command(&["init"]);
    init.env("CUTOVER_DATABASE_URL", &database.url);
    assert_eq!(watched(init).0, Some(0));
    let config = desk.path().join("cutover.toml");
    let found = std::fs::read_to_string(&config).expect("init wrote it");
    let named = format!(
        "base_url = \"http://{address}\"\n[database]\nurl = \"{url}\"\npassword_file = \"{}\"\n{found}",
        password_file.display()
    );
    let named = named.replace("X-Cutover-Mode", "X-Read-From");
    std::fs::write(&config, &named).expect("our own folder");

    let mut all = Vec::new();
    let mut run = |code: &[i32], arguments: &[&str]| {
        let (ended, said) = watched(command(arguments));
        let told = String::from_utf8_lossy(&said).into_owned();
        assert!(code.iter().any(|code| ended == Some(*code)), "{arguments:?} {ended:?}: {told}");
        all.extend(said);
        told
    };
    run(&[0], &["seed", "-v", "--profile-file", "seed.toml", "--orgs", "20", "--out", "seeded"]);
    let load = ["--scenario", SCENARIO, "--orgs", "20", "--rate", "30", "--duration", "4s"];
    let drive = ["drive", "-v", "--pairs", "1", "--connections", "4", "--out", "driven"];
    run(&[0, 30], &[drive.as_slice(), load.as_slice()].concat());
    run(&[11], &["diff", "-v", "--format", "json", "--out", "compared"]);
    run(&[0], &["check-config", "--scenario", SCENARIO]);
    // Errors are where secrets get out: a wrong password, a password in the file, a slip beside one.
    std::fs::write(&password_file, format!("{PASSWORD}-not")).expect("our own folder");
    run(&[1], &["diff", "--out", "refused"]);
    let with_password = format!("[database]\nurl = \"postgres://u:{}@h/d\"\n", forms()[2]);
    for (slip, word) in [
        (with_password.clone(), "a password stands in it"),
        (with_password.replace("url =", "urll ="), "urll"),
        (format!("[database]\npasword = \"{PASSWORD}\""), "pasword"),
        (format!("[routing]\nkind = \"{PASSWORD} token\""), "line 2"),
        (format!("base_url = \"token {PASSWORD}\""), "line 1"),
    ] {
        std::fs::write(desk.path().join("slip.toml"), slip).expect("our own folder");
        let told = run(&[2], &["diff", "--config", "slip.toml", "--out", "refused"]);
        assert!(told.contains(word), "should say {word}: {told}");
    }
    std::fs::remove_file(desk.path().join("slip.toml")).expect("our own file");
    assert!(!leaks(&all), "{}", String::from_utf8_lossy(&all));
    let mut left = Vec::new();
    files(desk.path(), &mut left);
    assert!(left.len() > 10, "{left:?}");
    for path in left {
        let text = std::fs::read(&path).expect("our own file");
        assert!(!leaks(&text), "{} holds a secret", path.display());
    }
    // The scan sees one that is there.
    assert!(leaks(format!("x{PASSWORD}x").as_bytes()) && leaks(SECRET.as_bytes()));
    execute(
        &database.url,
        &format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        ),
    )
    .await;
}
