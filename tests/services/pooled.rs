//! Sessions that others use as well: behind a real PgBouncer nothing of ours stays in them, and whoever
//! needs one alone says so before anything is asked.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor, Row};
use tempfile::TempDir;
use url::Url;

use crate::support::rig::Rig;
use crate::support::{cutover, cutover_command, wait_until};

const LIMIT: Duration = Duration::from_secs(20);
/// Sessions of the server that all of its clients share.
const SESSIONS: usize = 3;

/// `ignore_startup_parameters` of a pooler that drops what a first message asks for, in silence.
const SILENT: &str = "extra_float_digits,options";

/// What an application sets for itself once, on its session.
const OWN_SETTINGS: &str = "SET statement_timeout = '77s'; SET lock_timeout = '66s'; \
    SET idle_in_transaction_session_timeout = '55s'; SET search_path = app, public; \
    SET row_security = on; SET extra_float_digits = 0; SET bytea_output = escape; \
    SET intervalstyle = iso_8601; SET default_transaction_isolation = 'repeatable read'";

/// What a session says of itself: its settings, and the statements that somebody left in it.
const SETTINGS: &str = "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name),
    (SELECT count(*) FROM pg_prepared_statements)
    FROM pg_settings WHERE source = 'session' OR name IN
    ('statement_timeout', 'lock_timeout', 'row_security', 'default_transaction_read_only')";

/// A PgBouncer in front of a rig's server, which resets nothing between two of its clients.
struct Pooler {
    process: Child,
    url: String,
    _dir: TempDir,
}

impl Pooler {
    fn start(server: &str, mode: &str, ignored: &str) -> Self {
        let server = Url::parse(server).expect("a URL");
        let dir = TempDir::new().expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("our own folder");
        let port = {
            let any = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            any.local_addr().expect("it is bound").port()
        };
        let name = server.path().trim_start_matches('/');
        let settings = format!(
            "[databases]\n{name} = host=127.0.0.1 port={} user={} password={}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\ndefault_pool_size = {SESSIONS}\nmin_pool_size = {SESSIONS}\n\
             server_reset_query =\nignore_startup_parameters = {ignored}\n",
            server.port().expect("the rig's port"),
            server.username(),
            server.password().expect("a rig has one"),
        );
        let ini = dir.path().join("pgbouncer.ini");
        std::fs::write(&ini, settings).expect("our own folder");
        let mut command = Command::new("pgbouncer");
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let process = command.arg(&ini).stderr(Stdio::null()).spawn().expect("scripts/install.sh");
        let url = format!("postgres://{}@127.0.0.1:{port}/{name}", server.username());
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(wait_until(LIMIT, answers), "the pooler does not start");
        Self { process, url, _dir: dir }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Connects as an application does, asking for nothing that a pooler refuses.
async fn application(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("a URL");
    let options = options.extra_float_digits(None);
    PgConnection::connect_with(&options).await.expect("the pooler answers")
}

/// Enters a transaction on every session that there is, so that each client has another; then does
/// something there.
async fn on_each(clients: &mut [PgConnection], statement: &'static str) -> Vec<(String, i64)> {
    for client in &mut *clients {
        client.execute("BEGIN").await.expect("a session for each");
    }
    let mut said = Vec::new();
    for client in &mut *clients {
        let row = client.fetch_optional(statement).await.expect("it answers");
        said.extend(row.map(|row| {
            let count: &str = row.get_unchecked(1);
            (row.get_unchecked::<String, _>(0), count.parse().expect("a number"))
        }));
        client.execute("COMMIT").await.expect("it ends");
    }
    said
}

async fn clients(url: &str) -> Vec<PgConnection> {
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        clients.push(application(url).await);
    }
    clients
}

/// The commands that look at a database without a session of their own.
fn look(rig: &Rig, url: &str) {
    let base_url = rig.url("base_url").to_owned();
    let place = ["--database-url", url, "--base-url", &base_url];
    let out = |name: &str| rig.dir.path().join(name).display().to_string();
    let every = |name: &str, more: &[&str], codes: &[i32]| {
        let output = cutover().arg(name).args(more).output().expect("cutover runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        let code = output.status.code().expect("it ends by itself");
        assert!(codes.contains(&code), "{name}: {code}\n{said}");
        said
    };
    // 20: the backup's age is known to nobody; 10: reads do not come from the partitioned side.
    let said = every("preflight", &place, &[20]);
    assert!(said.contains("the dual-write trigger is active: revenue"), "{said}");
    let said = every("post-rollout", &[&["month-1"][..], &place].concat(), &[10]);
    assert!(said.contains("nothing hangs on the legacy table"), "{said}");
    every("smoke", &["--base-url", &base_url], &[0]);
    every("pilot", &["--database-url", url, "--out", &out("pilot")], &[0]);
    let init = ["--database-url", url, "--force", "--out", &out("init")];
    let said = every("init", &init, &[0]);
    assert!(said.contains("3 table pairs"), "{said}");
    let config = out("init") + "/cutover.toml";
    every("check-config", &["--database-url", url, "--config", &config], &[0]);
    let watch = ["--for", "2s", "--every", "1s", "--out", &out("watch")];
    every("watch", &[&watch[..], &place].concat(), &[0]);
    let looks = std::fs::read_to_string(rig.dir.path().join("watch/watch.jsonl")).expect("looks");
    assert!(!looks.contains("\"connections_max\":null"), "{looks}");
}

/// Kills a watch while its question waits for a lock.
async fn kill_a_look(rig: &Rig, url: &str) {
    let mut server = cutover::pg::connect(rig.url("database_url")).await.expect("it answers");
    server
        .execute("BEGIN; LOCK TABLE pg_catalog.pg_trigger IN ACCESS EXCLUSIVE MODE")
        .await
        .expect("ours");
    let mut command = cutover_command();
    command.args(["watch", "--every", "1s", "--database-url", url, "--base-url"]);
    command.arg(rig.url("base_url")).arg("--out").arg(rig.dir.path().join("killed"));
    let mut watch = command.stderr(Stdio::null()).spawn().expect("cutover runs");
    let waits = "SELECT count(*)::text FROM pg_locks WHERE NOT granted";
    let end = std::time::Instant::now() + LIMIT;
    while server.fetch_one(waits).await.expect("a count").get_unchecked::<&str, _>(0) == "0" {
        assert!(std::time::Instant::now() < end, "no look came");
    }
    watch.kill().expect("it still runs");
    watch.wait().expect("it ends");
    server.execute("ROLLBACK").await.expect("ours");
}

/// `is_silent`: the pooler drops what it is asked for rather than to refuse it.
fn assert_refused(rig: &Rig, url: &str, is_silent: bool) {
    let base_url = rig.url("base_url").to_owned();
    let desk = TempDir::new().expect("a folder");
    let drive = ["--duration", "2s", "--rate", "20", "--base-url", &base_url];
    let many: [&[&str]; 5] = [
        &["diff"],
        &["diff", "--wal"],
        &["seed", "--orgs", "3"],
        &[&["drive"][..], &drive].concat(),
        &["rehearse", "--orgs", "3", "--base-url", &base_url, "--duration", "2s"],
    ];
    for arguments in many {
        let output = cutover()
            .args(arguments)
            .args(["--database-url", url])
            .current_dir(desk.path())
            .output()
            .expect("cutover runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("give the server's own address"), "{arguments:?}: {said}");
        assert_eq!(said.contains("ignore_startup_parameters"), is_silent, "{arguments:?}: {said}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(left_in(desk.path()), [""; 0], "{arguments:?}");
    }
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("our own folder");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The settings of each session, none of which may hold a statement of ours.
fn settings(said: Vec<(String, i64)>) -> Vec<String> {
    assert!(said.iter().all(|(_, statements)| *statements == 0), "{said:?}");
    said.into_iter().map(|(settings, _)| settings).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_ours_stays_in_a_session_of_a_pooler() {
    let rig = Rig::up();
    rig.seed("40");
    for (mode, ignored) in
        [("transaction", ""), ("session", ""), ("transaction", SILENT), ("session", SILENT)]
    {
        let pooler = Pooler::start(rig.url("database_url"), mode, ignored);
        let fresh = settings(on_each(&mut clients(&pooler.url).await, SETTINGS).await);
        let mut before = clients(&pooler.url).await;
        on_each(&mut before, OWN_SETTINGS).await;
        let own = settings(on_each(&mut before, SETTINGS).await);
        assert!(own.iter().all(|own| own.contains("statement_timeout=77000")), "{own:?}");
        if mode == "session" {
            // A client keeps its session there until it goes.
            before.clear();
        }
        look(&rig, &pooler.url);
        assert_refused(&rig, &pooler.url, ignored == SILENT);
        if mode == "session" {
            before = clients(&pooler.url).await;
        }
        let after = settings(on_each(&mut before, SETTINGS).await);
        assert_eq!(own, after, "{mode} {ignored}");

        before.clear();
        kill_a_look(&rig, &pooler.url).await;
        let after = settings(on_each(&mut clients(&pooler.url).await, SETTINGS).await);
        let known = |settings: &String| own.contains(settings) || fresh.contains(settings);
        assert!(after.iter().all(known), "{mode} {ignored}: {after:?}");
    }
}

/// A role that sees the rows of one org in three, and may read every table.
const BOUND: &str = "
CREATE ROLE bound LOGIN PASSWORD 'bound';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO bound;
ALTER TABLE revenue_transactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE revenue_transactions_partitioned ENABLE ROW LEVEL SECURITY;
CREATE POLICY third ON revenue_transactions USING (org_id % 3 = 0);
CREATE POLICY third ON revenue_transactions_partitioned USING (org_id % 3 = 0);
ALTER TABLE revenue_transactions DISABLE TRIGGER USER;
UPDATE revenue_transactions SET amount = amount + 1 WHERE org_id % 3 <> 0";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_says_identical_about_rows_that_he_could_not_see() {
    let rig = Rig::up();
    rig.seed("40");
    crate::support::execute(rig.url("database_url"), BOUND).await;
    let mut server = Url::parse(rig.url("database_url")).expect("a URL");
    server.set_username("bound").expect("a name");
    server.set_password(Some("bound")).expect("a password");
    let mut urls = vec![("none", server.to_string())];
    let mut poolers = Vec::new();
    for mode in ["transaction", "session"] {
        let pooler = Pooler::start(server.as_str(), mode, SILENT);
        urls.push((mode, pooler.url.clone()));
        poolers.push(pooler);
    }
    let out = rig.dir.path().join("bound").display().to_string();
    let base = ["--base-url", rig.url("base_url")];
    for (mode, url) in &urls {
        let place = ["--database-url", url, "--out", &out];
        let many: [&[&str]; 9] = [
            &["diff", "--digest", "client"],
            &["diff", "--digest", "server"],
            &["diff", "--table", "revenue", "--since", "1d"],
            &["diff", "--wal"],
            &["increment", "5", "--for", "1s"],
            &["preflight"],
            &["post-rollout", "month-1"],
            &["watch", "--for", "2s", "--every", "1s"],
            &["pilot"],
        ];
        for arguments in many {
            let takes_base = !["diff", "pilot"].contains(&arguments[0]);
            let mut command = cutover();
            command.args(arguments).args(place).args(base.iter().filter(|_| takes_base));
            let output = command.output().expect("cutover runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            println!("{mode} {arguments:?} {:?}: {said}", output.status.code());
            assert!(!said.contains("IDENTICAL"), "{mode} {arguments:?}: {said}");
            assert_ne!(output.status.code(), Some(101), "{mode} {arguments:?}: {said}");
            let is_look = ["watch", "pilot"].contains(&arguments[0]);
            assert!(is_look || output.status.code() != Some(0), "{mode} {arguments:?}: {said}");
        }
    }
}
