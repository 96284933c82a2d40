//! `rig.json`: what a rig consists of, written down before it is needed.
//!
//! The file lets anyone who comes later (the watchdog, the next rig, `cutover rig down`) stop exactly
//! what was started and nothing else. It holds the passwords, so only its owner may read it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::component::Component;
use super::process::{ProcessId, World};
use cutover_error::{Context, Error, Result};
use cutover_ground::run_folder::hex;
use cutover_ground::whole_file::WholeFile;

/// Name of the file in the rig's folder.
pub(super) const FILE: &str = "rig.json";

/// Raised when the meaning of a field changes.
const VERSION: u32 = 1;

/// What a rig consists of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub version: u32,
    /// A mark that no other rig carries; it stands on PostgreSQL's command lines.
    pub mark: String,
    pub world: World,
    /// Whether the folder goes with the rig.
    pub temporary: bool,
    /// Left running on purpose, without owner or watchdog, until `cutover rig down`.
    pub detached: bool,
    /// Who started it and will stop it; `None` if it is down or detached.
    pub owner: Option<ProcessId>,
    /// Password of PostgreSQL's user.
    pub password: String,
    /// Another one, because the platform is given it on its command line, where everybody reads.
    pub redis_password: String,
    /// Whether `initdb` has run to its end, so that the data folder may be trusted.
    pub initialised: bool,
    pub members: Vec<Member>,
    #[serde(default)]
    pub urls: Urls,
}

/// A process of the rig.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Member {
    pub component: Component,
    pub process: ProcessId,
}

/// Where the components answer; `None` if a component was not asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Urls {
    /// PostgreSQL, with user, password and database.
    pub database_url: Option<String>,
    /// The reference platform.
    pub base_url: Option<String>,
    /// Redis, with its password.
    pub redis_url: Option<String>,
    /// PgBouncer in front of PostgreSQL.
    pub pgbouncer_url: Option<String>,
    /// The streaming replica.
    pub replica_url: Option<String>,
    /// PgBouncer in front of the replica.
    #[serde(default)]
    pub pgbouncer_replica_url: Option<String>,
}

impl State {
    /// A rig that is about to start, owned by this process.
    pub(super) fn new(temporary: bool) -> Result<Self> {
        Ok(Self {
            version: VERSION,
            mark: format!("cutover-rig-{}", random_hex(8)?),
            world: World::here(),
            temporary,
            detached: false,
            owner: ProcessId::me(),
            password: random_hex(16)?,
            redis_password: random_hex(16)?,
            initialised: false,
            members: Vec::new(),
            urls: Urls::default(),
        })
    }

    /// Reads the file; `None` if there is none.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE);
        let hint = "not made by this version of cutover? move it away, or choose another folder";
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).or_run(format!("cannot read {}", path.display()), ""),
        };
        let state: Self = serde_json::from_str(&text)
            .or_run(format!("{} is not the state of a rig", path.display()), hint)?;
        if state.version != VERSION {
            let what = format!("{} has version {}, not {VERSION}", path.display(), state.version);
            return Err(Error::run(what, hint));
        }
        Ok(Some(state))
    }

    /// Writes the file in one step: a reader sees the old one or the new one, never half of one.
    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let place = format!("cannot write {}", path.display());
        let text = serde_json::to_string_pretty(self).expect("plain data serialises");
        let write = || {
            let mut file = WholeFile::create(&path)?;
            // It holds passwords.
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())?;
            file.finish()
        };
        write().or_run(place, "is the disk full?")
    }

    /// Whether one of its processes still runs.
    pub(super) fn has_life(&self) -> bool {
        !self.world.is_past() && self.members.iter().any(|member| member.process.is_alive())
    }

    /// Whether somebody answers for it: a living owner, or the wish that it stay up.
    pub(super) fn is_in_use(&self) -> bool {
        let owned = self.owner.as_ref().is_some_and(ProcessId::is_alive);
        self.world.is_next_door() || (!self.world.is_past() && owned) || self.is_left_running()
    }

    /// Whether it was detached and still runs.
    pub(super) fn is_left_running(&self) -> bool {
        self.detached && self.has_life()
    }

    /// The process of a component, if it was started.
    pub(super) fn member(&self, component: Component) -> Option<&Member> {
        self.members.iter().find(|member| member.component == component)
    }
}

/// So many random bytes from the kernel, as hexadecimal digits.
pub(super) fn random_hex(bytes: usize) -> Result<String> {
    use std::io::Read;
    let mut buffer = vec![0; bytes];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut buffer))
        .or_run("cannot read /dev/urandom", "")?;
    Ok(hex(&buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rig_in(world: impl FnOnce(&mut serde_json::Value)) -> State {
        let mut value =
            serde_json::to_value(State::new(true).expect("random bytes")).expect("plain");
        world(&mut value["world"]);
        serde_json::from_value(value).expect("the same shape")
    }

    #[test]
    fn a_rig_is_in_use_while_its_owner_lives() {
        let mut rig = rig_in(|_| {});
        assert!(rig.is_in_use());
        rig.owner.as_mut().expect("us").start_ticks += 1;
        assert!(!rig.is_in_use());
    }

    #[test]
    fn after_a_restart_of_the_machine_the_same_process_id_proves_nothing() {
        let rig = rig_in(|world| world["boot_id"] = "another".into());
        assert!(!rig.is_in_use());
    }

    #[test]
    fn the_rig_of_another_container_is_left_alone_whatever_its_process_ids_say() {
        let mut rig = rig_in(|world| world["pid_namespace"] = "another".into());
        rig.owner.as_mut().expect("us").start_ticks += 1;
        assert!(rig.is_in_use());
    }

    #[test]
    fn only_its_owner_may_read_the_file_with_the_passwords() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().expect("a folder");
        let rig = State::new(true).expect("random bytes");
        rig.save(dir.path()).expect("written");
        let mode = fs::metadata(dir.path().join(FILE)).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = State::load(dir.path()).expect("readable").expect("there");
        assert_eq!(read.password, rig.password);
    }
}
