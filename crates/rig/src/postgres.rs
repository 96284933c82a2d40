//! PostgreSQL: a cluster of its own, on a free port of the loopback interface.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sqlx::Connection;

use super::component::Component;
use super::guard::Guard;
use super::ports::Attempts;
use super::{folder, programs, sql};
use cutover_error::{Context, Result};
use cutover_ground::act::ActContext;
use cutover_ground::pg;

/// What holds for every machine; the rest is appended by [`settings`].
const SETTINGS: &str = include_str!("postgresql.conf");

pub(super) const USER: &str = "cutover";
pub(super) const DATABASE: &str = "hospitality_platform";
const INITDB_LIMIT: Duration = Duration::from_secs(120);
pub(super) const START_LIMIT: Duration = Duration::from_secs(60);

/// Longest path of a UNIX socket, in bytes; the kernel's `sun_path` less its final zero.
const SOCKET_PATH_MAX: usize = 107;

/// Starts PostgreSQL and makes the database; returns its URL.
pub(super) async fn start(
    guard: &mut Guard,
    port: Option<u16>,
    context: &ActContext,
) -> Result<String> {
    let bin = programs::postgres_bin(guard.user.as_ref())?;
    folder::component(&guard.dir, Component::Postgres.folder(), guard.user.as_ref())?;
    if !guard.state.initialised {
        initialise(guard, &bin, context).await?;
    }
    let mut attempts = Attempts::new(port);
    loop {
        let port = attempts.next()?;
        match start_on(guard, &bin, port, context).await {
            Ok(()) => return with_database(guard, port).await,
            Err(error) if attempts.may_retry(port) => {
                context.note(format!("port {port} was taken meanwhile, trying another: {error}"));
                guard.forget(Component::Postgres)?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn data(guard: &Guard, component: Component) -> PathBuf {
    guard.dir.join(component.folder()).join("data")
}

/// Makes the cluster. One that was begun and never finished is thrown away first.
async fn initialise(guard: &mut Guard, bin: &Path, context: &ActContext) -> Result<()> {
    let (data, password) = (data(guard, Component::Postgres), guard.dir.join("password"));
    if data.exists() {
        std::fs::remove_dir_all(&data).or_run(format!("cannot remove {}", data.display()), "")?;
    }
    folder::write_private(&password, &guard.state.password, guard.user.as_ref())?;
    let mut command = Command::new(bin.join("initdb"));
    command
        .arg("-D")
        .arg(&data)
        .arg("--pwfile")
        .arg(&password)
        .args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
        // Sorts by bytes on every machine, so that a result never depends on the system's locales.
        .args(["--locale", "C", "--no-sync"])
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    if let Some(user) = &guard.user {
        user.apply(&mut command);
    }
    guard.spawn(Component::Initdb, &mut command, None)?;
    let outcome = guard.wait_for_end(Component::Initdb, INITDB_LIMIT, context).await;
    let _ = std::fs::remove_file(&password);
    outcome?;
    guard.state.initialised = true;
    guard.forget(Component::Initdb)
}

async fn start_on(guard: &mut Guard, bin: &Path, port: u16, context: &ActContext) -> Result<()> {
    let text = settings(guard, bin, Component::Postgres, port);
    launch(guard, bin, Component::Postgres, &text, context).await
}

/// Starts a postmaster on its data folder with these settings, and waits until it says that it is
/// ready; a replica says so once it takes reads.
pub(super) async fn launch(
    guard: &mut Guard,
    bin: &Path,
    component: Component,
    settings: &str,
    context: &ActContext,
) -> Result<()> {
    let name = match component {
        Component::Replica => "replica.conf",
        _ => "postgresql.conf",
    };
    let config = guard.dir.join(name);
    folder::write_private(&config, settings, guard.user.as_ref())?;
    let mut command = Command::new(bin.join("postgres"));
    command
        .arg("-D")
        .arg(data(guard, component))
        .arg("-c")
        .arg(format!("config_file={}", config.display()))
        // On the command line as well as in the settings, so that the postmaster carries the mark.
        .args(["-c", &format!("cluster_name={}", guard.state.mark)])
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    if let Some(user) = &guard.user {
        user.apply(&mut command);
    }
    guard.spawn(component, &mut command, None)?;
    let is_ready = |guard: &Guard| is_ready(guard, component).then_some(());
    guard.wait_for(component, START_LIMIT, context, is_ready).await
}

/// The postmaster says so itself: its lock file holds its process id in the first line and, once
/// it takes connections, `ready` in the eighth. Asking the port could reach somebody else's server.
fn is_ready(guard: &Guard, component: Component) -> bool {
    let Ok(text) = std::fs::read_to_string(data(guard, component).join("postmaster.pid")) else {
        return false;
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pid = lines.first().and_then(|line| line.parse::<u32>().ok());
    let ours = guard.state.member(component).map(|member| member.process.pid);
    ours.is_some() && pid == ours && lines.get(7) == Some(&"ready")
}

/// If a database of the rig's answers on a port.
pub(super) fn url(guard: &Guard, port: u16, database: &str) -> String {
    format!("postgres://{USER}:{}@127.0.0.1:{port}/{database}", guard.state.password)
}

/// Writes the password into a file in a component's folder, for the programs that run there; returns
/// its path as a connection string wants it.
pub(super) fn passfile(guard: &Guard, home: &Path) -> Result<String> {
    let path = home.join("passwords");
    let line = format!("127.0.0.1:*:*:{USER}:{}\n", guard.state.password);
    folder::write_private(&path, &line, guard.user.as_ref())?;
    let text = path.display().to_string();
    Ok(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")))
}

async fn with_database(guard: &Guard, port: u16) -> Result<String> {
    let mut connection = pg::connect(&url(guard, port, "postgres")).await?;
    let exists: bool = sqlx::query_scalar(sql::DATABASE_EXISTS)
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await
        .or_run("cannot look for the rig's database", "")?;
    if !exists {
        let made = sqlx::query(sql::CREATE_DATABASE).execute(&mut connection).await;
        made.or_run("cannot make the rig's database", "is the disk full?")?;
    }
    // It has served its purpose whether or not it closes politely.
    let _ = connection.close().await;
    Ok(url(guard, port, DATABASE))
}

/// The settings of this machine and this rig; a replica takes a quarter of the primary's memory.
pub(super) fn settings(guard: &Guard, bin: &Path, component: Component, port: u16) -> String {
    let mut text = SETTINGS.to_owned();
    let mut set = |name: &str, value: String| {
        writeln!(text, "{name} = {value}").expect("writing to a string succeeds");
    };
    set("port", port.to_string());
    let share = if component == Component::Replica { 4 } else { 1 };
    set("shared_buffers", format!("'{}MB'", shared_buffers_mib(memory_bytes()) / share));
    set("max_wal_size", format!("'{}MB'", max_wal_mib(free_bytes(&guard.dir))));
    let sockets = guard.dir.join(component.folder());
    let longest = sockets.join(".s.PGSQL.65535");
    // A folder too deep for a socket still has the loopback interface.
    let fits = longest.as_os_str().len() <= SOCKET_PATH_MAX;
    let sockets = if fits { sockets.display().to_string() } else { String::new() };
    set("unix_socket_directories", quoted(&list_item(&sockets)));
    set("unix_socket_permissions", "0700".into());
    if programs::has_pg_stat_statements(bin) {
        set("shared_preload_libraries", "'pg_stat_statements'".into());
    }
    if !has_room_in_dev_shm() {
        // Parallel queries would fail for want of room there, as they do in small containers.
        set("dynamic_shared_memory_type", "mmap".into());
    }
    text
}

/// A quarter of the memory, at most 2 GiB, so that a rig fits beside the rest of a workstation.
fn shared_buffers_mib(memory_bytes: u64) -> u64 {
    (memory_bytes / 4 / 1024 / 1024).clamp(64, 2048)
}

/// Memory of this machine, or of the container we are in if that has less.
fn memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    });
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    machine.unwrap_or(0).min(container.unwrap_or(u64::MAX))
}

fn has_room_in_dev_shm() -> bool {
    const ENOUGH_BYTES: u64 = 512 * 1024 * 1024;
    free_bytes(Path::new("/dev/shm")) >= ENOUGH_BYTES
}

/// An eighth of the free disk, at most 16 GiB: enough to load millions of rows without a
/// checkpoint, and never what fills the disk.
fn max_wal_mib(free_bytes: u64) -> u64 {
    (free_bytes / 8 / 1024 / 1024).clamp(256, 16 * 1024)
}

fn free_bytes(path: &Path) -> u64 {
    nix::sys::statvfs::statvfs(path).map_or(0, |fs| fs.blocks_available() * fs.fragment_size())
}

/// A name in a list of PostgreSQL's settings; the quotes keep a comma or a space in it.
fn list_item(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// A string in PostgreSQL's settings.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_are_shared_with_others() {
        const GIB: u64 = 1024 * 1024 * 1024;
        assert_eq!(shared_buffers_mib(4 * GIB), 1024);
        assert_eq!(shared_buffers_mib(64 * GIB), 2048);
        assert_eq!(shared_buffers_mib(0), 64);
        assert_eq!(max_wal_mib(80 * GIB), 10 * 1024);
        assert_eq!(max_wal_mib(1024 * GIB), 16 * 1024);
    }

    #[test]
    fn a_folder_with_a_comma_and_quotes_stays_one_folder() {
        assert_eq!(quoted(&list_item("/a, 'b'")), r#"'"/a, ''b''"'"#);
        assert_eq!(quoted(&list_item("")), "''");
    }
}
