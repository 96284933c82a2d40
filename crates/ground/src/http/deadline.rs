//! A time limit that costs next to nothing while it is kept.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Limits one future after the other. The runtime's timer is set anew only when it fires, once in a
/// limit's length, instead of for every request.
pub(super) struct Deadline {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, timer: None }
    }

    /// Runs `work`; `None` if it did not end in time.
    pub(super) async fn limit<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let end = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(value) = work.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            expired(timer, end, context).map(|()| None)
        })
        .await
    }
}

/// Ready once `end` has passed; a timer that fired for an earlier request is set to this one's end.
fn expired(timer: &mut Pin<Box<Sleep>>, end: Instant, context: &mut Context<'_>) -> Poll<()> {
    while timer.as_mut().poll(context).is_ready() {
        if Instant::now() >= end {
            return Poll::Ready(());
        }
        timer.as_mut().reset(end);
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_piece_of_work_has_the_whole_limit() {
        let mut deadline = Deadline::new(Duration::from_millis(200));
        let nap = |ms| tokio::time::sleep(Duration::from_millis(ms));
        // Together longer than one limit, so that the timer of the first fires during another.
        for _ in 0..4 {
            assert!(deadline.limit(nap(90)).await.is_some());
        }
        let began = Instant::now();
        assert!(deadline.limit(std::future::pending::<()>()).await.is_none());
        assert!(began.elapsed() >= Duration::from_millis(200));
        assert!(deadline.limit(nap(1)).await.is_some());
    }
}
