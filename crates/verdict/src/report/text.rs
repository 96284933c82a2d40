//! Figures as people read them, and labels short enough for charts.

pub use cutover_error::foreign::{clip, tame};

/// What stands if nothing was measured.
pub const NOTHING: &str = "–";

/// At most `limit` characters, ending in `…` if something was cut: for labels in charts.
pub fn label(text: &str, limit: usize) -> String {
    let tamed = tame(text);
    match tamed.char_indices().nth(limit) {
        None => tamed.into_owned(),
        Some(_) => tamed.chars().take(limit.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A count with thousands separated: `1,234,567`.
pub fn count(value: u64) -> String {
    indicatif::HumanCount(value).to_string()
}

/// A difference with its sign: `+12`, `−3`, `0`.
pub fn signed_count(value: i64) -> String {
    match value {
        0 => "0".to_owned(),
        1.. => format!("+{}", count(value.unsigned_abs())),
        _ => format!("−{}", count(value.unsigned_abs())),
    }
}

/// Microseconds as a number of milliseconds, with three digits that matter.
pub fn ms(latency_us: u64) -> String {
    let value = latency_us as f64 / 1000.0;
    match latency_us {
        0..10_000 => format!("{value:.2}"),
        10_000..100_000 => format!("{value:.1}"),
        _ => count(latency_us.saturating_add(500) / 1000),
    }
}

/// A difference in microseconds as milliseconds with its sign: `+0.42`.
pub fn signed_ms(difference_us: i64) -> String {
    let size = ms(difference_us.unsigned_abs());
    match difference_us {
        0 => size,
        1.. => format!("+{size}"),
        _ => format!("−{size}"),
    }
}

/// A ratio with three decimals, or a dash if it is no positive number.
pub fn ratio(value: f64) -> String {
    match value {
        v if !v.is_finite() || v <= 0.0 => NOTHING.to_owned(),
        v if v < 100.0 => format!("{v:.3}"),
        v => number(v, 0),
    }
}

/// A ratio as a change in percent: 1.034 → `+3.4 %`; from tenfold on as a factor: `×12.3`.
pub fn change(value: f64) -> String {
    let percent = (value - 1.0) * 100.0;
    match percent {
        _ if !value.is_finite() => NOTHING.to_owned(),
        _ if value >= 10.0 => format!("×{}", number(value, 1)),
        p if p.abs() < 0.05 => "±0.0 %".to_owned(),
        p if p > 0.0 => format!("+{p:.1} %"),
        p => format!("−{} %", number(p.abs(), 1)),
    }
}

/// A share of a whole in percent, with enough digits that a small share is not shown as zero.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return NOTHING.to_owned();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    match part {
        0 => "0 %".to_owned(),
        _ if percent < 0.01 => "< 0.01 %".to_owned(),
        _ if percent < 10.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// What a margin leaves: `45 % room`, or `12 % beyond` the limit.
pub fn room(margin: f64) -> String {
    let percent = (margin.abs() * 100.0).min(999.0);
    format!("{} % {}", number(percent, 0), if margin < 0.0 { "beyond" } else { "room" })
}

/// A number with so many decimals, in powers of ten if it has very many digits, or a dash if
/// it is no number.
pub fn number(value: f64, decimals: usize) -> String {
    match value {
        v if !v.is_finite() => NOTHING.to_owned(),
        v if v.abs() >= 1e12 => format!("{v:.1e}"),
        // Without this, a tiny negative figure reads `-0`.
        v if v.abs() < 0.5 * 10f64.powf(-(decimals as f64)) => format!("{:.decimals$}", 0.0),
        v => format!("{v:.decimals$}"),
    }
}

/// A span of time: `0.4 s`, `12.3 s`, `4 min 05 s`, `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.to_owned();
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    // The cast saturates, which is as good as any answer for such a span.
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{} h {minutes:02} min", count(hours))
    } else {
        format!("{minutes} min {rest:02} s")
    }
}

/// A size in binary units: `23.4 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// `1 row`, `2 rows`: a count with its noun.
pub fn counted(value: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(value), if value == 1 { singular } else { plural })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(signed_count(i64::MIN), "−9,223,372,036,854,775,808");
        assert_eq!(ms(1_234), "1.23");
        assert_eq!(ms(1_234_500), "1,235");
        assert_eq!(ratio(f64::NAN), NOTHING);
        assert_eq!(ratio(f64::MAX), "1.8e308");
        assert_eq!(change(1.034), "+3.4 %");
        assert_eq!(change(f64::MAX), "×1.8e308");
        assert_eq!(number(-0.001, 1), "0.0");
        assert_eq!(share(1, 1_000_000), "< 0.01 %");
        assert_eq!(share(0, 0), NOTHING);
        assert_eq!(duration(245.0), "4 min 05 s");
        assert_eq!(duration(59.97), "1 min 00 s");
        assert_eq!(duration(f64::INFINITY), NOTHING);
        assert_eq!(size(25 * 1024 * 1024 * 1024), "25.0 GiB");
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        assert_eq!(label("äöüß", 3), "äö…");
    }
}
