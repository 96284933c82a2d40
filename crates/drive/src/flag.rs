//! Follows the plan's windows with the platform's flag: switch, see it proven, put it back at the
//! end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use cutover_error::{Error, Result};
use cutover_evidence::drive::Side;
use cutover_ground::act::ActContext;
use cutover_ground::routing::Flag;
use cutover_scenario::WindowPlan;

/// Time between two looks at a flag that has just been switched.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The mode that the flag stands in before anything is touched.
///
/// # Errors
/// If the probe does not answer or names neither side: then nobody could put the flag back.
pub(super) async fn found(flag: &Flag) -> Result<Side> {
    flag.seen().await?.ok_or_else(|| {
        let what = "[routing] probe: its answer names neither side, so the flag cannot be put back";
        Error::run(what, "check url, header or pointer, and the values of both sides")
    })
}

/// Switches at the start of each window whose mode is another and looks again at the end of what is
/// measured, until the plan ends or `stop`; returns how many windows were measured without proof of
/// their mode at either end.
pub(super) async fn follow(
    flag: Arc<Flag>,
    windows: Vec<WindowPlan>,
    begin: Instant,
    context: ActContext,
    stop: CancellationToken,
) -> u64 {
    let mut unproven = 0;
    let mut now_in = None;
    for window in windows {
        let sleep = begin + Duration::from_micros(window.start_us);
        tokio::select! {
            () = stop.cancelled() => return unproven,
            () = tokio::time::sleep_until(sleep.into()) => {}
        }
        let proven = tokio::select! {
            () = stop.cancelled() => return unproven,
            proven = holds(&flag, &window, begin, now_in, &context) => proven,
        };
        now_in = proven.then_some(window.mode);
        unproven += u64::from(!proven && window.pair.is_some());
    }
    unproven
}

/// Whether the flag stands in the window's mode before anything is measured, and still does when the
/// last has been: whoever else moves it does so at any time.
async fn holds(
    flag: &Flag,
    window: &WindowPlan,
    begin: Instant,
    now_in: Option<Side>,
    context: &ActContext,
) -> bool {
    let at = |moment_us| begin + Duration::from_micros(moment_us);
    let proven = now_in == Some(window.mode)
        || switch(flag, window.mode, at(window.measured_from_us), context).await;
    if !proven {
        return false;
    }
    tokio::time::sleep_until(at(window.measured_to_us()).into()).await;
    let stands = sees(flag, window.mode, at(window.end_us)).await.is_some();
    if !stands {
        context
            .note(format!("the flag no longer stands at {}: who moved it?", window.mode.as_str()));
    }
    stands
}

/// Switches once and looks until the mode is proven; false if that took too long.
async fn switch(flag: &Flag, mode: Side, proven_by: Instant, context: &ActContext) -> bool {
    if let Err(error) = flag.switch(mode).await {
        context.note(format!("switching to {}: {error}", mode.as_str()));
    }
    let seen_at = sees(flag, mode, proven_by).await;
    if seen_at.is_none() {
        context.note(format!("the probe did not see {} in time", mode.as_str()));
    }
    seen_at.is_some_and(|at| at <= proven_by)
}

/// Looks until the probe sees the mode, once at the least; when it did.
async fn sees(flag: &Flag, mode: Side, until: Instant) -> Option<Instant> {
    loop {
        if matches!(flag.seen().await, Ok(Some(seen)) if seen == mode) {
            return Some(Instant::now());
        }
        if Instant::now() >= until {
            return None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A flag may take at least this long, however short its settling time is.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// Switches, sees it proven and waits until it has settled; false if a stop came first or the mode
/// was not seen.
pub(super) async fn settle(flag: &Flag, mode: Side, context: &ActContext) -> bool {
    let settled = async {
        let settled_at = Instant::now() + flag.settle();
        let proven_by = settled_at.max(Instant::now() + LEAST_PATIENCE);
        let proven = switch(flag, mode, proven_by, context).await;
        if proven {
            tokio::time::sleep_until(settled_at.into()).await;
        }
        proven
    };
    tokio::select! {
        () = context.stop.cancelled() => false,
        settled = settled => settled,
    }
}

/// Puts the flag back; the reason if that did not work, for people to do it by hand.
pub(super) async fn put_back(flag: &Flag, found: Side, context: &ActContext) -> Option<String> {
    let error = flag.put_back(found).await.err()?;
    let text = format!("the flag could not be put back to {}: {error}", found.as_str());
    context.note(format!("{text}; do it by hand now"));
    Some(text)
}
