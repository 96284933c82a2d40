//! Where the servers' programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::user::ServiceUser;
use cutover_error::{Error, Result};

/// Partitioned tables and the statistics views the harness reads are what they should be from here.
const OLDEST_POSTGRES: u32 = 15;

/// Set by people who want one particular PostgreSQL: the folder that holds `initdb` and `postgres`.
const POSTGRES_VARIABLE: &str = "CUTOVER_POSTGRES_BIN";

/// Set by people who want one particular Redis: the program itself.
const REDIS_VARIABLE: &str = "CUTOVER_REDIS_SERVER";

/// Set by people who want one particular PgBouncer: the program itself.
const PGBOUNCER_VARIABLE: &str = "CUTOVER_PGBOUNCER";

const HINT: &str = "run scripts/install.sh, or install the Debian packages postgresql and \
                    redis-server, or set CUTOVER_POSTGRES_BIN (the folder of initdb \
                    and postgres, 15 or newer) and CUTOVER_REDIS_SERVER (the program itself)";

/// The folder of PostgreSQL's programs: the variable's, else the first on `PATH`, else the newest
/// the system has, else the one that `scripts/install.sh` unpacked; 15 or newer in each case.
pub(super) fn postgres_bin(user: Option<&ServiceUser>) -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os(POSTGRES_VARIABLE).map(PathBuf::from) {
        return match usable(&chosen, user) {
            Ok(_) => Ok(chosen),
            Err(why) => {
                let what = format!("{POSTGRES_VARIABLE}={}: {why}", chosen.display());
                Err(Error::run(what, HINT))
            }
        };
    }
    let on_path = path_folders().into_iter().find(|folder| usable(folder, user).is_ok());
    if let Some(folder) = on_path {
        return Ok(folder);
    }
    let mut looked = vec!["PATH".to_owned()];
    for (home, programs) in postgres_homes() {
        looked.push(format!("{}/*/{programs}", home.display()));
        let mut found: Vec<(u32, PathBuf)> = subfolders(&home)
            .into_iter()
            .map(|folder| folder.join(programs))
            .filter_map(|bin| Some((usable(&bin, user).ok()?, bin)))
            .collect();
        found.sort();
        if let Some((_, newest)) = found.pop() {
            return Ok(newest);
        }
    }
    let what = format!(
        "no PostgreSQL {OLDEST_POSTGRES} or newer with initdb found (looked in {})",
        looked.join(", ")
    );
    Err(Error::run(what, HINT))
}

/// Redis: the variable's, else the first on `PATH` or in a place where servers are kept, else the
/// one that `scripts/install.sh` unpacked.
pub(super) fn redis_server(user: Option<&ServiceUser>) -> Result<PathBuf> {
    server(user, REDIS_VARIABLE, "redis-server", "redis", HINT)
}

/// PgBouncer, looked for in the same way.
pub(super) fn pgbouncer(user: Option<&ServiceUser>) -> Result<PathBuf> {
    let hint = "run scripts/install.sh --full, or install the Debian package pgbouncer, or set \
                CUTOVER_PGBOUNCER (the program itself)";
    server(user, PGBOUNCER_VARIABLE, "pgbouncer", "pgbouncer", hint)
}

/// A program that comes with PostgreSQL, from the same folder or the one that links there lead to.
pub(super) fn postgres_tool(bin: &Path, name: &str) -> Result<PathBuf> {
    let real = bin.join("postgres").canonicalize().ok();
    let homes = [Some(bin), real.as_deref().and_then(Path::parent)];
    let found = homes.into_iter().flatten().map(|home| home.join(name)).find(|file| file.is_file());
    if let Some(file) = found {
        return Ok(file);
    }
    let what = format!("there is no {name} in {}", bin.display());
    Err(Error::run(what, "install the Debian package postgresql, which brings it"))
}

fn server(
    user: Option<&ServiceUser>,
    variable: &str,
    name: &str,
    unpacked: &str,
    hint: &str,
) -> Result<PathBuf> {
    if let Some(chosen) = std::env::var_os(variable).map(PathBuf::from) {
        if chosen.is_file() {
            return Ok(chosen);
        }
        let what = format!("{variable}={}: there is no such file", chosen.display());
        return Err(Error::run(what, hint));
    }
    let more = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    path_folders()
        .into_iter()
        .chain(more)
        .chain(caches().into_iter().map(|cache| cache.join(unpacked)))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file() && user.is_none_or(|user| user.barred_from(file).is_none()))
        .ok_or_else(|| Error::run(format!("no {name} found on PATH"), hint))
}

/// Whether that installation of PostgreSQL brings `pg_stat_statements`, which is a package of its
/// own in some distributions.
pub(super) fn has_pg_stat_statements(bin: &Path) -> bool {
    // What stands on PATH may be a link into the real installation.
    let Ok(program) = bin.join("postgres").canonicalize() else { return false };
    let home = program.parent().unwrap_or(bin);
    // Debian keeps modules in ../lib, most others in ../lib/postgresql.
    ["../lib", "../lib/postgresql", "../lib64/pgsql"]
        .iter()
        .any(|lib| home.join(lib).join("pg_stat_statements.so").is_file())
}

/// The major version in `folder`, or why nothing there can be used.
fn usable(folder: &Path, user: Option<&ServiceUser>) -> Result<u32, String> {
    for program in ["initdb", "postgres"] {
        let file = folder.join(program);
        if !file.is_file() {
            return Err(format!("there is no {program} in it"));
        }
        if let Some((user, barrier)) =
            user.and_then(|user| Some((user, user.barred_from(&file.canonicalize().ok()?)?)))
        {
            let barrier = barrier.display();
            return Err(format!("user {}, as whom it would run, may not use {barrier}", user.name));
        }
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output();
    let text = output.map_err(|error| format!("postgres does not run: {error}"))?.stdout;
    let text = String::from_utf8_lossy(&text);
    // "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)", "postgres (PostgreSQL) 18beta1"
    let major = text.split_whitespace().nth(2).and_then(|version| {
        let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
        version[..digits].parse::<u32>().ok()
    });
    match major {
        Some(major) if major >= OLDEST_POSTGRES => Ok(major),
        Some(major) => Err(format!("it is version {major}, {OLDEST_POSTGRES} or newer is needed")),
        None => Err(format!("postgres --version says `{}`", text.trim())),
    }
}

/// Folders that hold one PostgreSQL per subfolder, and where in that its programs are.
fn postgres_homes() -> Vec<(PathBuf, &'static str)> {
    let system = (PathBuf::from("/usr/lib/postgresql"), "bin");
    let unpacked = caches().into_iter().map(|cache| (cache.join("postgresql"), "native/bin"));
    std::iter::once(system).chain(unpacked).collect()
}

/// Where `scripts/install.sh` unpacks what it may not install: the user's cache, and root's.
fn caches() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    own.into_iter().chain([PathBuf::from("/var/cache")]).map(|c| c.join("cutover")).collect()
}

fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}
