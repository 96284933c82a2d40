//! SIGINT, SIGTERM and SIGHUP become one cancelled token; a second signal ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use crate::error::{Context, Result};

/// Installs the handler. It must be the first in the process: Goose brings one of its own, which
/// stands back if there is one already.
pub(super) fn install() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let asked = AtomicBool::new(false);
    let token = stop.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            // The watchdog of a rig sees our pipe close and cleans up behind us.
            std::process::exit(130);
        }
        token.cancel();
    })
    .or_run("cannot install the signal handler", "")?;
    Ok(stop)
}
