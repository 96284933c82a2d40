//! Lets arrivals go at the moment they are due.
//!
//! tokio's timer ticks in milliseconds, which would add up to two of them to every latency. A
//! thread of its own sleeps on the kernel's clock instead and hands out permits: one permit, one
//! arrival. Another thread draws the next windows meanwhile, so that a long plan needs little
//! memory and drawing it never makes anybody late.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use cutover_scenario::{Arrival, Plan, WindowPlan};

/// Longest sleep, so that a stop is seen soon.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// Windows drawn ahead: two, or as many as make so long a time.
const AHEAD_US: u64 = 3_000_000;
/// Before the first measured window after a look somebody has to have looked.
const LOOKS_BEFORE: Duration = Duration::from_millis(200);
/// Different requests of a load without a rate; they are sent again and again.
const ENDLESS: usize = 1 << 16;

/// An arrival that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub arrival: Arrival,
    /// Whether it waited until a connection was free: then the target was slow, not the generator.
    pub queued: bool,
}

/// Where workers get their arrivals.
pub(super) struct Queue {
    pub windows: Vec<WindowPlan>,
    plan: Plan,
    source: Source,
    start: OnceLock<Instant>,
    stop: CancellationToken,
    /// Arrivals handed out so far.
    handed_out: AtomicU64,
    /// Measured arrivals of each window, once it was drawn; `u64::MAX` until then.
    planned: Vec<AtomicU64>,
    /// Says at each look of the plan whether it goes on.
    look: OnceLock<GoesOn>,
}

/// Whether a load goes on, asked before the windows that may not be needed.
pub(super) type GoesOn = Box<dyn Fn() -> bool + Send + Sync>;

enum Source {
    /// At the plan's times.
    Paced { due: Mutex<VecDeque<Arrival>>, permits: Semaphore },
    /// At once, again and again, until the plan's time is over.
    Endless { arrivals: Vec<Arrival>, window: AtomicUsize },
}

impl Queue {
    /// A queue that lets arrivals go when the plan says so, or as fast as they are answered.
    pub(super) fn new(plan: Plan, closed_loop: bool, stop: &CancellationToken) -> Self {
        let source = if closed_loop {
            Source::Endless { arrivals: plan.endless(ENDLESS), window: AtomicUsize::new(0) }
        } else {
            Source::Paced { due: Mutex::default(), permits: Semaphore::new(0) }
        };
        Self {
            planned: plan.windows.iter().map(|_| AtomicU64::new(u64::MAX)).collect(),
            windows: plan.windows.clone(),
            plan,
            source,
            start: OnceLock::new(),
            // Of our own, for the load may have to end without a signal.
            stop: stop.child_token(),
            handed_out: AtomicU64::new(0),
            look: OnceLock::new(),
        }
    }

    /// Whom to ask whether the plan goes on; without anybody it ends at its first look.
    pub(super) fn ask_at_looks(&self, goes_on: GoesOn) {
        // Only the first to come is asked.
        let _ = self.look.set(goes_on);
    }

    /// Whether the plan goes on with this window; `None` if a stop came first.
    fn goes_on_with(&self, window: usize, start: Instant) -> Option<bool> {
        if !self.plan.looks.contains(&window) {
            return Some(true);
        }
        // Until then, what was asked last is answered.
        let begins = Duration::from_micros(self.windows[window].start_us);
        let there = self.wait_until(start + begins.saturating_sub(LOOKS_BEFORE));
        there.then(|| self.look.get().is_some_and(|goes_on| goes_on()))
    }

    /// Lets an arrival go when it is due; false if a stop came first.
    fn let_go(
        &self,
        arrival: Arrival,
        start: Instant,
        due: &Mutex<VecDeque<Arrival>>,
        permits: &Semaphore,
    ) -> bool {
        let go = self.wait_until(start + Duration::from_micros(arrival.due_us));
        if go {
            due.lock().expect("no panic while held").push_back(arrival);
            self.handed_out.fetch_add(1, Ordering::Relaxed);
            permits.add_permits(1);
        }
        go
    }

    /// The next arrival once it is due; `None` when the plan is drained or stopped.
    pub(super) async fn next(&self) -> Option<Due> {
        match &self.source {
            Source::Paced { due, permits } => {
                let (permit, queued) = match permits.try_acquire() {
                    Ok(permit) => (permit, true),
                    // Closed by the pacer when the run is stopped.
                    Err(_) => (permits.acquire().await.ok()?, false),
                };
                permit.forget();
                let arrival = due.lock().expect("no panic while held").pop_front()?;
                Some(Due { arrival, queued })
            }
            Source::Endless { arrivals, window } => {
                if self.stop.is_cancelled() {
                    return None;
                }
                let due_us = self.start.get()?.elapsed().as_micros() as u64;
                let mut at = window.load(Ordering::Relaxed);
                while due_us >= self.windows.get(at)?.end_us {
                    at += 1;
                    window.store(at, Ordering::Relaxed);
                }
                let index = self.handed_out.fetch_add(1, Ordering::Relaxed);
                let arrival = Arrival {
                    index,
                    due_us,
                    window: at as u32,
                    measured: self.windows[at].measures(due_us),
                    ..arrivals[index as usize % arrivals.len()]
                };
                Some(Due { arrival, queued: false })
            }
        }
    }

    /// Requests like the plan's, for what is sent before the clock starts.
    pub(super) fn samples_ahead(&self, count: usize) -> Vec<Arrival> {
        self.plan.endless(count)
    }

    /// Whether a stop was asked for, or the load given up.
    pub(super) fn stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends the load early: going on would be in vain.
    pub(super) fn give_up(&self) {
        self.stop.cancel();
    }

    /// Arrivals handed out so far.
    pub(super) fn handed_out(&self) -> u64 {
        self.handed_out.load(Ordering::Relaxed)
    }

    /// How many measured arrivals a window has; `None` until it was drawn.
    pub(super) fn planned(&self, window: usize) -> Option<u64> {
        let planned = self.planned[window].load(Ordering::Acquire);
        (planned != u64::MAX).then_some(planned)
    }

    /// Sets the clock; nothing is let go before.
    pub(super) fn begin(&self, start: Instant) {
        self.start.set(start).expect("a plan begins once");
    }

    /// Runs on a thread of its own until every arrival is let go; then lets `workers` go too.
    /// True if the plan came to its end.
    pub(super) fn pace(&self, workers: usize) -> bool {
        let start = *self.start.get().expect("the clock is set before anything is let go");
        match &self.source {
            Source::Paced { due, permits } => {
                let to_the_end = std::thread::scope(|scope| {
                    let (sender, windows) = mpsc::sync_channel(self.ahead());
                    scope.spawn(move || self.draw(&sender));
                    for (window, arrivals) in windows.iter().enumerate() {
                        match self.goes_on_with(window, start) {
                            Some(true) => {}
                            Some(false) => return true,
                            None => return false,
                        }
                        let let_go = |arrival| self.let_go(arrival, start, due, permits);
                        if !arrivals.into_iter().all(let_go) {
                            return false;
                        }
                    }
                    true
                });
                match to_the_end {
                    // One more for each worker: it finds nothing left and goes home.
                    true => permits.add_permits(workers),
                    false => permits.close(),
                }
                to_the_end
            }
            Source::Endless { .. } => {
                self.wait_until(start + Duration::from_micros(self.plan.length_us()))
            }
        }
    }

    fn ahead(&self) -> usize {
        let lengths = self.windows.iter().map(|window| window.end_us - window.start_us);
        let shortest_us = lengths.filter(|us| *us > 0).min().unwrap_or(AHEAD_US);
        (AHEAD_US / shortest_us).clamp(2, 256) as usize
    }

    /// Draws window after window; ends early once the pacer no longer listens.
    fn draw(&self, sender: &mpsc::SyncSender<Vec<Arrival>>) {
        for (window, arrivals) in self.plan.walk().enumerate() {
            let measured = arrivals.iter().filter(|arrival| arrival.measured).count() as u64;
            self.planned[window].store(measured, Ordering::Release);
            if sender.send(arrivals).is_err() {
                return;
            }
        }
    }

    /// Sleeps until then; false if a stop came first.
    fn wait_until(&self, due: Instant) -> bool {
        loop {
            if self.stop.is_cancelled() {
                return false;
            }
            let now = Instant::now();
            if now >= due {
                return true;
            }
            std::thread::sleep((due - now).min(LONGEST_SLEEP));
        }
    }
}
