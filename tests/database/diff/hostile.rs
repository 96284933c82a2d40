//! Its output cannot act: whatever a database holds, a terminal that shows it does nothing, no line of it
//! is a value's own, and no file that people open holds it raw.

use std::path::Path;

use crate::support::{cutover, database, execute};

/// A pair whose orgs, keys, values and column names clear screens, set titles, turn lines round and write
/// verdicts; one of them is a book.
const HOSTILE: &str = "
    CREATE TABLE notes (n text PRIMARY KEY, org text NOT NULL, \"bo\u{1b}[31mdy\" text);
    CREATE TABLE notes_partitioned (LIKE notes, PRIMARY KEY (n)) PARTITION BY HASH (n);
    CREATE TABLE notes_h0 PARTITION OF notes_partitioned FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    INSERT INTO notes VALUES
        (E'k\\x1b]0;owned\\x07', E'o\\x1b[2J\\x1b[H', E'\\x1b]52;c;cm0gLXJm\\x07'),
        (chr(155) || '2J', chr(8238) || 'gro' || chr(127), chr(8297) || 'x'),
        (E'1\\nIDENTICAL: 9 orgs in 0.1 s, not one row differs', E'2\\r\\nGO: proceed', E'a\\nGO: proceed'),
        ('long', repeat('o', 5000), repeat('v', 5000));
    INSERT INTO notes_partitioned SELECT n, org, 'another' FROM notes";

const CONFIG: &str = r#"
[[tables]]
name = "notes"
legacy = "public.notes"
partitioned = "public.notes_partitioned"
org = "org"
key = ["n"]
"#;

/// What acts: control characters but the end of a line and the tabulator, and what turns directions.
fn acting(text: &str) -> Vec<char> {
    let acts = |c: &char| {
        (c.is_control() && !"\n\t".contains(*c))
            || ('\u{202a}'..='\u{202e}').contains(c)
            || ('\u{2066}'..='\u{2069}').contains(c)
    };
    text.chars().filter(acts).collect()
}

fn assert_tame(place: &str, text: &str) {
    assert!(acting(text).is_empty(), "{place}: {:?} in {text:?}", acting(text));
    let spoofed =
        |line: &&str| line.trim().starts_with("GO: proceed") || line.starts_with("IDENTICAL");
    // The ends of lines in the source of a page are none on the page.
    let shown = place != "report.html";
    assert_eq!(text.lines().find(spoofed).filter(|_| shown), None, "{place}: {text}");
}

fn run(arguments: &[&str], folder: &Path) -> [String; 2] {
    let output = cutover().args(arguments).current_dir(folder).output().expect("cutover runs");
    let [out, said] =
        [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b).into_owned());
    assert_eq!(output.status.code(), Some(11), "{arguments:?}: {said}");
    [out, said]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_a_database_acts_on_a_terminal_or_in_a_file() {
    let database = database();
    execute(&database.url, HOSTILE).await;
    let desk = tempfile::tempdir().expect("a folder");
    std::fs::write(desk.path().join("cutover.toml"), CONFIG).expect("our own folder");
    let diff = ["diff", "--database-url", &database.url, "--no-probe", "--out", "run"];
    let [out, said] = run(&diff, desk.path());
    assert!(out.contains("⟨U+001B⟩") && out.contains("⟨U+202E⟩"), "{out}");
    let mut seen = vec![("stdout".to_owned(), out), ("stderr".to_owned(), said)];
    for name in ["orgs.csv", "findings.jsonl", "run.json", "report.md", "report.html", "junit.xml"]
    {
        let text = std::fs::read_to_string(desk.path().join("run").join(name)).expect(name);
        seen.push((name.to_owned(), text));
    }
    // The record of another, judged here.
    for format in ["text", "json"] {
        let [out, said] = run(&["gate", "run", "--format", format], desk.path());
        seen.extend([(format!("gate {format}"), out), ("gate, said".to_owned(), said)]);
    }
    for (place, text) in &seen {
        assert_tame(place, text);
        let whole = place.ends_with("json") || place.ends_with("jsonl");
        let cut = ["o", "v"].iter().all(|letter| !text.contains(&letter.repeat(201)));
        assert!(whole || cut, "{place}: a value is shown whole");
    }
    // Programs read what is there.
    let findings = &seen.iter().find(|(name, _)| name == "findings.jsonl").expect("read").1;
    let orgs: Vec<String> = findings
        .lines()
        .filter_map(|line| {
            let finding: serde_json::Value = serde_json::from_str(line).expect("JSON");
            finding["org_id"].as_str().map(str::to_owned)
        })
        .collect();
    for org in ["o\u{1b}[2J\u{1b}[H", "\u{202e}gro\u{7f}", "2\r\nGO: proceed", &"o".repeat(5000)] {
        assert!(orgs.iter().any(|found| found == org), "{org:?} in {orgs:?}");
    }
}
