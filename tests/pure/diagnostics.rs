//! What `-v` and `RUST_LOG` show of the inside, and what nobody is shown.

use std::process::Output;

use crate::support::cutover;

/// A comparison that cannot reach its server.
fn diff(arguments: &[&str], rust_log: Option<&str>) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = cutover();
    command.args(["diff", "--database-url", "postgres://somebody:hunter2@127.0.0.1:9/finance"]);
    command.arg("--out").arg(folder.path().join("run")).args(arguments);
    command.env_remove("RUST_LOG");
    command.envs(rust_log.map(|wanted| ("RUST_LOG", wanted)));
    command.output().expect("it runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn whoever_asks_sees_what_is_done_and_no_secret() {
    let silent = diff(&[], None);
    assert_eq!(silent.status.code(), Some(1));
    assert!(!stderr(&silent).contains("connecting"), "{}", stderr(&silent));
    for asked in [diff(&["-v"], None), diff(&["-vv"], None), diff(&[], Some("cutover=debug"))] {
        let said = stderr(&asked);
        assert!(said.contains("connecting") && said.contains("127.0.0.1:9/finance"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // What is named goes before what is counted.
    let other = diff(&["-vv"], Some("sqlx=info"));
    assert!(!stderr(&other).contains("connecting"), "{}", stderr(&other));
}

#[test]
fn a_filter_that_cannot_be_read_is_refused_before_anything_is_done() {
    let refused = diff(&[], Some("cutover=loud"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("RUST_LOG"), "{}", stderr(&refused));
}
