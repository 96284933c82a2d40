//! One run at a time moves a flag: whoever does so holds a name that only one process of a machine can
//! hold, and shares it with the watchdog that it may leave behind. Another run would take for the flag's
//! own what the first has made of it.

use std::time::{Duration, Instant};

use cutover_error::{Error, Result};

/// A watchdog whose platform answers has put the flag back within this.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A flag that is ours to move, for as long as this value or a watchdog's share of it lives.
#[derive(Debug)]
pub struct Claim {
    held: Held,
}

impl Claim {
    /// Takes hold of a flag, and waits a little for one that is being put back.
    ///
    /// # Errors
    /// A run error if somebody else does not let go of it.
    pub(super) async fn take(flag: &str) -> Result<Self> {
        let name = format!("cutover-{:032x}", xxhash_rust::xxh3::xxh3_128(flag.as_bytes()));
        let end = Instant::now() + CLAIM_TIMEOUT;
        loop {
            match hold(&name) {
                Ok(held) => return Ok(Self { held }),
                Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                    return Err(Error::run(format!("cannot take hold of the flag: {error}"), ""));
                }
                Err(_) if Instant::now() < end => tokio::time::sleep(LOOK_EVERY).await,
                Err(_) => {
                    let what = "another run moves this flag, or one that was killed is still having \
                                it put back";
                    let hint =
                        "wait until that has ended; what was killed is tried for five minutes";
                    return Err(Error::run(what, hint));
                }
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod here {
    use std::io::Result;
    use std::os::fd::OwnedFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    use std::process::Stdio;

    pub(super) type Held = UnixListener;

    /// A name without a file: it is gone with the last process that holds it, however that ends.
    pub(super) fn hold(name: &str) -> Result<Held> {
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
    }

    impl super::Claim {
        /// A share in it, for a child to inherit.
        pub(in crate::routing) fn share(&self) -> Result<Stdio> {
            Ok(Stdio::from(OwnedFd::from(self.held.try_clone()?)))
        }
    }
}

/// Elsewhere there are no such names, and two runs at once are not told.
#[cfg(not(target_os = "linux"))]
mod here {
    use std::io::Result;
    use std::process::Stdio;

    pub(super) type Held = ();

    pub(super) fn hold(_: &str) -> Result<Held> {
        Ok(())
    }

    impl super::Claim {
        pub(in crate::routing) fn share(&self) -> Result<Stdio> {
            Ok(Stdio::null())
        }
    }
}

use here::{Held, hold};

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flag_is_one_runs_until_its_watchdog_is_gone_too() {
        let name = format!("a test's own flag {}", std::process::id());
        let claim = Claim::take(&name).await.expect("nobody has it");
        let mut watchdog = std::process::Command::new("sleep")
            .arg("600")
            .stdout(claim.share().expect("a descriptor"))
            .spawn()
            .expect("it starts");
        drop(claim);
        let refused = tokio::time::timeout(Duration::from_millis(500), Claim::take(&name)).await;
        assert!(refused.is_err(), "the watchdog holds it");
        watchdog.kill().expect("it runs");
        watchdog.wait().expect("it ends");
        Claim::take(&name).await.expect("nobody has it any longer");
        Claim::take(&name).await.expect("it was dropped");
    }
}
