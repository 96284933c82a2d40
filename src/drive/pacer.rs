//! Lets arrivals go at the moment they are due.
//!
//! tokio's timer ticks in milliseconds, which would add up to two of them to every latency. A
//! thread of its own sleeps on the kernel's clock instead and hands out permits: one permit, one
//! arrival.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::scenario::Plan;

/// Longest sleep, so that a stop is seen soon.
const NAP: Duration = Duration::from_millis(50);

/// The plan while it is being drained.
pub(super) struct Queue {
    pub plan: Arc<Plan>,
    permits: Semaphore,
    next: AtomicUsize,
    stop: CancellationToken,
}

/// An arrival that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    /// Its index in the plan.
    pub index: usize,
    /// Whether it waited until a connection was free: then the target was slow, not the generator.
    pub queued: bool,
}

impl Queue {
    pub(super) fn new(plan: Arc<Plan>, stop: CancellationToken) -> Self {
        Self { plan, permits: Semaphore::new(0), next: AtomicUsize::new(0), stop }
    }

    /// The next arrival once it is due; `None` when the plan is drained or stopped.
    pub(super) async fn next(&self) -> Option<Due> {
        if self.stopped() {
            return None;
        }
        let queued = match self.permits.try_acquire() {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return None,
                    permit = self.permits.acquire() => permit.ok()?.forget(),
                }
                false
            }
        };
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.plan.arrivals.len()).then_some(Due { index, queued })
    }

    /// Whether a stop was asked for.
    pub(super) fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs on a thread of its own until every arrival is let go; then lets `workers` go too.
    pub(super) fn pace(&self, start: Instant, workers: usize) {
        for arrival in &self.plan.arrivals {
            let due = start + Duration::from_micros(arrival.due_us);
            loop {
                if self.stop.is_cancelled() {
                    return;
                }
                let now = Instant::now();
                if now >= due {
                    break;
                }
                std::thread::sleep((due - now).min(NAP));
            }
            self.permits.add_permits(1);
        }
        // One more for each worker: it finds the plan drained and goes home.
        self.permits.add_permits(workers);
    }
}
