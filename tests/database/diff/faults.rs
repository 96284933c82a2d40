//! Every fault of the catalogue, planted in a real database: SQL in, exact findings out.
//!
//! A case is a file of `fixtures/faults/`; a new one needs no code.

use std::path::Path;

use cutover::diff::Options;
use cutover::evidence::finding::{Finding, Severity};

use cutover::drill::faults::Case;

use crate::diff::cases::{self, told};
use crate::diff::{BOTH, compare_into, repair, support};

#[tokio::test]
async fn each_fault_yields_its_own_findings_and_nothing_else() {
    let role = format!("case_reader_{}", std::process::id());
    let mut wrong = Vec::new();
    for case in cases::all() {
        let database = cases::plant(&case, &role).await;
        for digest in BOTH {
            let options = Options { digest, ..Options::default() };
            let outcome = check(&case, &database.url, &role, &options).await;
            wrong.extend(outcome.err().map(|why| format!("{} ({digest:?}): {why}", case.name)));
        }
        if case.refused.is_some() {
            let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
            support::execute(&database.url, &gone).await;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Compares what was planted with what is expected; what is wrong, in words.
async fn check(
    case: &Case,
    url: &str,
    role: &str,
    options: &Options,
) -> std::result::Result<(), String> {
    let out = tempfile::tempdir().expect("a folder");
    if let Some(why) = &case.refused {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_username(role).expect("a user");
        url.set_password(Some("reads")).expect("a password");
        let refused = compare_into(url.as_str(), &case.tables, options, out.path()).await;
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        return if error.contains(why) { Ok(()) } else { Err(format!("refused with `{error}`")) };
    }
    let outcome = compare_into(url, &case.tables, options, out.path()).await;
    let (evidence, findings) = outcome.map_err(|e| format!("{e}; {:?}", e.hint()))?;
    let mut found: Vec<String> = findings.iter().map(told).collect();
    let mut expected = case.expect.clone();
    found.sort();
    expected.sort();
    if found != expected {
        let details = findings.iter().filter_map(|f| f.detail.as_deref()).collect::<Vec<_>>();
        return Err(format!("expected {expected:#?}\n  found {found:#?}\n{}", details.join("\n")));
    }
    let errors = findings.iter().filter(|f| f.severity == Some(Severity::Error)).count();
    let rows = findings.iter().filter(|f| !f.is_of_catalog()).count();
    let counted: u64 = evidence.tables.iter().map(|table| table.counts.total()).sum();
    let sums = (evidence.integrity_errors, evidence.has_differences(), counted);
    if sums != (errors as u64, errors + rows > 0, rows as u64) {
        return Err(format!("{errors} errors and {rows} rows are summed up as {sums:?}"));
    }
    Ok(())
}

/// Every row class is mended, and what cannot be is refused without a trace.
#[tokio::test]
async fn the_repair_of_each_fault_makes_the_next_diff_clean() {
    let mut wrong = Vec::new();
    let mut mended = 0;
    for case in cases::all().into_iter().filter(|case| case.refused.is_none()) {
        let rows = |findings: &[Finding]| findings.iter().filter(|f| !f.is_of_catalog()).count();
        let database = cases::plant(&case, "").await;
        let out = tempfile::tempdir().expect("a folder");
        // Few rows, of which most are planted, and triggers that are gone.
        let options = Options { repair: true, repair_any: true, ..Options::default() };
        let compare = || compare_into(&database.url, &case.tables, &options, out.path());
        let (_, before) = compare().await.expect("a diff");
        let applied = repair(&database.url, out.path());
        let (_, after) = compare().await.expect("a diff");
        mended += rows(&before) - rows(&after);
        let as_expected = match (&case.unrepairable, &applied) {
            (None, Ok(())) => rows(&after) == 0,
            (Some(why), Err(told)) => told.contains(why) && rows(&after) == rows(&before),
            _ => false,
        };
        if !as_expected {
            let after: Vec<String> = after.iter().map(told).collect();
            wrong.push(format!("{}: {applied:?}, then found {after:#?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(mended > 40, "only {mended} rows were mended");
}

#[test]
fn the_scoreboard_is_made_from_the_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let text = cases::scoreboard(&cases::all());
    if std::env::var_os("CUTOVER_WRITE_SCOREBOARD").is_some() {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/faults.md is out of date; see its own text on how to make it");
}
