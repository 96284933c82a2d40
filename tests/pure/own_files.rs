//! What a run leaves is its own: no link is followed, no other user's folder taken, and nobody else
//! reads it unless that was asked for.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use crate::support::cutover_command;

/// Watches for a moment what is not there, which leaves a line per look.
fn watch(out: &Path, more: &[&str]) -> (Option<i32>, String) {
    let watch = ["watch", "--for", "1s", "--every", "1s", "--base-url", "http://127.0.0.1:9"];
    let output = cutover_command().args(watch).args(more).arg("--out").arg(out).output();
    let output = output.expect("cutover runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").mode() & 0o777
}

fn desk() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let desk = desk();
    let (run, other) = (desk.path().join("run"), desk.path().join("other"));
    std::fs::create_dir(&run).expect("our own folder");
    std::fs::write(&other, "somebody else's\n").expect("our own folder");
    symlink(&other, run.join("watch.jsonl")).expect("a link");
    let (code, said) = watch(&run, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("symbolic link"), "{said}");
    assert_eq!(std::fs::read_to_string(&other).expect("there"), "somebody else's\n");
    // What is read is not followed either.
    let record = desk.path().join("elsewhere.json");
    std::fs::write(&record, "{}").expect("our own folder");
    symlink(&record, run.join("run.json")).expect("a link");
    let gate = cutover_command().arg("gate").arg(&run).output().expect("cutover runs");
    let said = String::from_utf8_lossy(&gate.stderr);
    assert_eq!(gate.status.code(), Some(2), "{said}");
    assert!(said.contains("symbolic link"), "{said}");
}

#[test]
fn a_folder_of_another_user_or_open_to_all_is_refused_and_left_alone() {
    let desk = desk();
    let open = desk.path().join("open");
    std::fs::create_dir(&open).expect("our own folder");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).expect("our own folder");
    let mut refused: Vec<(PathBuf, &str)> = vec![(open, "everybody may write")];
    if nix::unistd::geteuid().is_root() {
        // Only root can make one, and only root is tempted.
        let theirs = desk.path().join("theirs");
        std::fs::create_dir(&theirs).expect("our own folder");
        chown(&theirs, Some(65_534), Some(65_534)).expect("we are root");
        let link = desk.path().join("link");
        symlink(&theirs, &link).expect("a link");
        refused.extend([(theirs, "another user"), (link, "another user")]);
    }
    for (folder, why) in refused {
        let (code, said) = watch(&folder, &[]);
        assert!(code == Some(2) && said.contains(why), "{}: {code:?} {said}", folder.display());
        assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0, "{}", folder.display());
    }
}

#[test]
fn only_its_owner_reads_a_run_unless_it_is_shared() {
    let desk = desk();
    let usual = {
        // What the umask of whoever runs the tests makes of an ordinary folder and file.
        let (folder, file) = (desk.path().join("usual"), desk.path().join("usual/file"));
        std::fs::create_dir(&folder).expect("our own folder");
        std::fs::write(&file, "").expect("our own folder");
        (mode(&folder), mode(&file))
    };
    let (run, shared) = (desk.path().join("reports/run"), desk.path().join("shared"));
    watch(&run, &[]);
    assert_eq!((mode(&run), mode(&run.join("watch.jsonl"))), (0o700, 0o600));
    watch(&shared, &["--share"]);
    assert_eq!((mode(&shared), mode(&shared.join("watch.jsonl"))), usual);
    // One that was there keeps what its owner gave it; the files in it are ours.
    let there = desk.path().join("there");
    std::fs::create_dir(&there).expect("our own folder");
    watch(&there, &[]);
    assert_eq!((mode(&there), mode(&there.join("watch.jsonl"))), (usual.0, 0o600));
}
