//! File handles of this process: a connection takes one, and a load that runs out of them would blame
//! the target for what it lacks itself.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use cutover_error::{Error, Result};
use cutover_ground::routing::Switch;

/// Beside those of the load's connections: files of the run, the database, monitoring, the runtime.
const RESERVE: u64 = 64;

/// Has the system let this process open as many files as so many connections take, to each side where
/// both have an address of their own.
///
/// # Errors
/// A usage error if it may not.
pub fn make_room(connections: usize, switch: &Switch) -> Result<()> {
    let needed = (connections as u64).saturating_mul(endpoints(switch)).saturating_add(RESERVE);
    let allowed = raise_to(needed);
    if allowed >= needed {
        return Ok(());
    }
    let what = format!(
        "--connections {connections}: this process may open {allowed} files, and needs {needed}: one \
         for each connection, and {RESERVE} for the rest"
    );
    Err(Error::usage(what, format!("fewer --connections, or ulimit -n {needed} before")))
}

/// How many connections there is room for, at most `wanted`.
pub fn room_for(wanted: usize, switch: &Switch) -> usize {
    let needed = (wanted as u64).saturating_mul(endpoints(switch)).saturating_add(RESERVE);
    let free = raise_to(needed).saturating_sub(RESERVE) / endpoints(switch);
    wanted.min(usize::try_from(free).unwrap_or(usize::MAX))
}

fn endpoints(switch: &Switch) -> u64 {
    if switch.has_two_endpoints() { 2 } else { 1 }
}

/// The limit, raised where it is lower and may be raised so far or at least farther.
fn raise_to(needed: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        // Whoever does not tell is not asked.
        return needed;
    };
    let wanted = needed.max(soft).min(hard);
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}
