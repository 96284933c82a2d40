//! A rig as people start it: PostgreSQL, Redis and the reference platform, by the executable.

use serde_json::Value;
use tempfile::TempDir;

use super::cutover;

/// A rig of the test's own, stopped with this value.
pub struct Rig {
    /// The test's own folder; the rig is below it.
    pub dir: TempDir,
    /// What `rig up` said.
    pub urls: Value,
}

impl Rig {
    /// Starts one.
    pub fn up() -> Self {
        let dir = TempDir::new().expect("a folder");
        // PostgreSQL runs as another user if root runs the tests.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("our own folder");
        let output = cutover()
            .args(["rig", "up", "--detach", "--format", "json", "--dir"])
            .arg(dir.path().join("rig"))
            .output()
            .expect("cutover runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let urls = serde_json::from_slice(&output.stdout).expect("one JSON object");
        Self { dir, urls }
    }

    /// One of its URLs, by the name it has in JSON.
    pub fn url(&self, name: &str) -> &str {
        self.urls[name].as_str().expect("the rig names it")
    }

    /// Fills its database.
    pub fn seed(&self, orgs: &str) {
        cutover()
            .args(["seed", "--orgs", orgs, "--database-url", self.url("database_url"), "--out"])
            .arg(self.dir.path().join("seed"))
            .assert()
            .success();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let down = cutover()
            .args(["rig", "down", "--purge", "--dir"])
            .arg(self.dir.path().join("rig"))
            .output()
            .expect("cutover runs");
        assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    }
}
