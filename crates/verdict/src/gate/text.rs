//! Figures and phrases that criteria share.

/// Of a criterion that a load would have answered.
pub(super) const NO_LOAD: &str = "no request was measured";

/// A ratio as a signed difference in per cent.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

pub(super) fn milliseconds(us: u64) -> String {
    format!("{:.2} ms", us as f64 / 1000.0)
}
