//! TLS to a real PostgreSQL, by an authority of its owner's, named in the configuration.

use tempfile::tempdir;

use crate::support::rig::Rig;
use crate::support::{cutover, execute};

const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/timed/drive/tls/ca.pem");

/// Puts a text into a file of the server's data folder, readable by the server alone.
async fn place(url: &str, file: &str, text: &str) {
    let lines = text.trim_end().replace('\n', "','");
    let statement =
        format!("COPY (SELECT unnest(ARRAY['{lines}'])) TO PROGRAM 'umask 077; cat > {file}'");
    execute(url, &statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_spoken_to_by_tls_and_only_where_its_authority_is_known() {
    let rig = Rig::up();
    rig.seed("20");
    let url = rig.url("database_url").to_owned();
    place(&url, "server.crt", include_str!("../../timed/drive/tls/server.pem")).await;
    place(&url, "server.key", include_str!("../../timed/drive/tls/server.key")).await;
    for statement in [
        "ALTER SYSTEM SET ssl = on",
        "ALTER SYSTEM SET log_connections = on",
        "ALTER SYSTEM SET log_min_messages = 'log'",
        "SELECT pg_reload_conf()",
    ] {
        execute(&url, statement).await;
    }
    let log = || {
        let bytes = std::fs::read(rig.dir.path().join("rig/postgres.log")).expect("the log");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let desk = tempdir().expect("a folder");
    // The certificate names localhost.
    let mut named = url::Url::parse(&url).expect("a URL");
    named.set_host(Some("localhost")).expect("a URL with a host");
    let diff = |database: &str, out: &str| {
        let config = format!("[database]\nurl_env = \"DESK_DATABASE\"\n{database}\n");
        std::fs::write(desk.path().join("cutover.toml"), config).expect("our own folder");
        cutover()
            .current_dir(desk.path())
            .env("DESK_DATABASE", named.as_str())
            .args(["diff", "--no-probe", "--out", out])
            .output()
            .expect("cutover runs")
    };
    let from = log().len();
    let output = diff(&format!("ca_file = \"{AUTHORITY}\""), "known");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let seen = log()[from..].to_owned();
    let authorized: Vec<&str> = seen
        .lines()
        // The platform says its name at once; ours is set once the session is known to be ours.
        .filter(|line| {
            line.contains("connection authorized") && !line.contains("application_name=")
        })
        .collect();
    assert!(authorized.len() >= 3, "{seen}");
    assert!(authorized.iter().all(|line| line.contains("SSL enabled")), "{authorized:?}");
    // Nobody vouches for the server: not a byte of data goes over.
    let output = diff("ssl_mode = \"verify-full\"", "unknown");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.to_lowercase().contains("certificate") || told.contains("UnknownIssuer"),
        "{told}"
    );
    let output = diff("ca_file = \"nowhere.pem\"", "nowhere");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    // A certificate of the first version, as some servers make for themselves: whatever is asked for, in words.
    place(&url, "server.crt", include_str!("../../timed/drive/tls/v1.pem")).await;
    execute(&url, "SELECT pg_reload_conf()").await;
    for mode in ["prefer", "require", "verify-full"] {
        let output = diff(&format!("ssl_mode = \"{mode}\""), "old");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{mode}: {told}");
        assert!(told.contains("X.509 version 1"), "{mode}: {told}");
    }
}
