//! No more than so many rows or bytes a second, over all connections together.

use std::str::FromStr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A limit on reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Throttle {
    /// Rows a second.
    Rows(f64),
    /// Bytes a second.
    Bytes(f64),
}

impl FromStr for Throttle {
    type Err = String;

    /// Reads `50000rows/s` or `20MB/s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = "give rows or megabytes a second, for example 50000rows/s or 20MB/s";
        let rate = |number: &str| match number.trim().replace('_', "").parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
            _ => Err(allowed.to_owned()),
        };
        let text = text.strip_suffix("/s").unwrap_or(text);
        if let Some(number) = text.strip_suffix("rows") {
            rate(number).map(Self::Rows)
        } else if let Some(number) = text.strip_suffix("MB") {
            rate(number).map(|megabytes| Self::Bytes(megabytes * 1e6))
        } else {
            Err(allowed.to_owned())
        }
    }
}

/// What was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

/// Lets readers go on when it is their turn.
pub(super) struct Pace {
    throttle: Option<Throttle>,
    /// When everything that was read so far is paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(throttle: Option<Throttle>) -> Self {
        Self { throttle, paid: Mutex::new(Instant::now()) }
    }

    /// Waits until what was just read is paid for.
    pub(super) async fn pay(&self, read: Amount) {
        let seconds = match self.throttle {
            None => return,
            Some(Throttle::Rows(rate)) => read.rows as f64 / rate,
            Some(Throttle::Bytes(rate)) => read.bytes as f64 / rate,
        };
        let until = {
            let mut paid = self.paid.lock().expect("no panic while held");
            // Time in which nothing was read is not saved up.
            *paid = (*paid).max(Instant::now()) + Duration::from_secs_f64(seconds);
            *paid
        };
        let wait = until.saturating_duration_since(Instant::now());
        tracing::trace!(wait_s = wait.as_secs_f64(), "throttled");
        tokio::time::sleep_until(until.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_unit() {
        assert_eq!("50_000rows/s".parse(), Ok(Throttle::Rows(50_000.0)));
        assert_eq!("20MB/s".parse(), Ok(Throttle::Bytes(2e7)));
        for bad in ["", "20", "0rows/s", "-1MB/s", "NaNMB", "20GB/s"] {
            assert!(bad.parse::<Throttle>().is_err_and(|e| e.contains("20MB/s")), "{bad}");
        }
    }
}
