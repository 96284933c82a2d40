//! PostgreSQL's binary representation of values, as `COPY … (FORMAT binary)` reads it.
//!
//! Each function appends the value's length (a 32-bit integer) and its bytes.

use chrono::NaiveDate;

/// What stands before the first tuple: signature, no flags, no header extension.
pub const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands behind the last tuple.
pub const TRAILER: &[u8] = &[0xff, 0xff];
/// The length that means NULL.
pub const NULL: [u8; 4] = (-1i32).to_be_bytes();

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// The largest scale [`numeric`] takes.
pub const MAX_SCALE: u32 = 16;

/// Days since 2000-01-01, which is how PostgreSQL counts.
pub fn days_since_2000(date: NaiveDate) -> i32 {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1).expect("a valid day");
    i32::try_from(date.signed_duration_since(epoch).num_days()).expect("chrono's range fits")
}

/// The date of a count of days since 2000-01-01.
pub fn date_of(days: i32) -> NaiveDate {
    let epoch = NaiveDate::from_ymd_opt(2000, 1, 1).expect("a valid day");
    epoch + chrono::TimeDelta::days(i64::from(days))
}

/// `smallint`.
pub fn int2(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&[0, 0, 0, 2]);
    out.extend_from_slice(&value.to_be_bytes());
}

/// `integer`, and `date` as days since 2000-01-01.
pub fn int4(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&[0, 0, 0, 4]);
    out.extend_from_slice(&value.to_be_bytes());
}

/// `bigint`, and timestamps as microseconds since 2000-01-01 00:00 (UTC for `timestamptz`).
pub fn int8(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&[0, 0, 0, 8]);
    out.extend_from_slice(&value.to_be_bytes());
}

/// `double precision`.
pub fn float8(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&[0, 0, 0, 8]);
    out.extend_from_slice(&value.to_be_bytes());
}

/// `boolean`.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(&[0, 0, 0, 1, u8::from(value)]);
}

/// `text` and everything that is sent like it.
pub fn text(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&(value.len() as i32).to_be_bytes());
    out.extend_from_slice(value);
}

/// `jsonb`: a version byte, then the text.
pub fn jsonb(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&(value.len() as i32 + 1).to_be_bytes());
    out.push(1);
    out.extend_from_slice(value);
}

/// `uuid`.
pub fn uuid(out: &mut Vec<u8>, value: u128) {
    out.extend_from_slice(&[0, 0, 0, 16]);
    out.extend_from_slice(&value.to_be_bytes());
}

/// `numeric`: `unscaled` · 10^−`scale`, the scale kept, so that 1.0 and 1.00 stay different.
///
/// PostgreSQL groups decimal digits by four around the decimal point and leaves out groups of
/// zeros at both ends; the display scale travels apart. `scale` is at most [`MAX_SCALE`].
pub fn numeric(out: &mut Vec<u8>, unscaled: i64, scale: u32) {
    debug_assert!(scale <= MAX_SCALE);
    let magnitude = unscaled.unsigned_abs();
    let power = 10u64.pow(scale);
    let fraction_groups = scale.div_ceil(4) as usize;
    let padding = 10u64.pow(fraction_groups as u32 * 4 - scale);
    let mut fraction = (magnitude % power) * padding;
    let mut integer = magnitude / power;

    // At most 4 groups of fraction and 5 of integer, filled from the right.
    let mut groups = [0u16; 9];
    let mut start = groups.len();
    for _ in 0..fraction_groups {
        start -= 1;
        groups[start] = (fraction % 10_000) as u16;
        fraction /= 10_000;
    }
    while integer > 0 {
        start -= 1;
        groups[start] = (integer % 10_000) as u16;
        integer /= 10_000;
    }
    let mut weight = (groups.len() - fraction_groups) as i16 - start as i16 - 1;
    let mut digits = &groups[start..];
    while let [0, rest @ ..] = digits {
        digits = rest;
        weight -= 1;
    }
    while let [rest @ .., 0] = digits {
        digits = rest;
    }
    if digits.is_empty() {
        weight = 0;
    }
    let sign: u16 = if unscaled < 0 { 0x4000 } else { 0 };
    out.extend_from_slice(&(8 + 2 * digits.len() as i32).to_be_bytes());
    out.extend_from_slice(&(digits.len() as i16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(scale as i16).to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length 4 bytes, then digits, weight, sign, scale, groups.
    fn words(unscaled: i64, scale: u32) -> Vec<i16> {
        let mut out = Vec::new();
        numeric(&mut out, unscaled, scale);
        out[4..].chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn numerics_are_grouped_by_four_around_the_point() {
        assert_eq!(words(0, 2), [0, 0, 0, 2]);
        assert_eq!(words(10, 1), [1, 0, 0, 1, 1]);
        assert_eq!(words(100, 2), [1, 0, 0, 2, 1]);
        assert_eq!(words(1, 4), [1, -1, 0, 4, 1]);
        assert_eq!(words(1, 5), [1, -2, 0, 5, 1000]);
        assert_eq!(words(12_345_678, 2), [3, 1, 0, 2, 12, 3456, 7800]);
        assert_eq!(words(-100_000_000, 0), [1, 2, 0x4000, 0, 1]);
    }

    #[test]
    fn days_count_from_2000() {
        let leap_day = NaiveDate::from_ymd_opt(2000, 2, 29).expect("a leap year");
        assert_eq!(days_since_2000(leap_day), 59);
        assert_eq!(date_of(59), leap_day);
    }
}
