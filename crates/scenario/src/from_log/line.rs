//! One line of a log as a request.

use super::entry::{Entry, Unread};
use super::{LogOptions, combined, json};

/// Reads a line of either format.
pub(super) fn read<'a>(line: &'a str, options: &LogOptions) -> Result<Entry<'a>, Unread> {
    let entry = match line.starts_with('{') {
        true => json::read(line, options)?,
        false => combined::read(line, options)?,
    };
    if !matches!(entry.method.as_ref(), "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "HEAD") {
        return Err(Unread::OtherMethod);
    }
    if !(100..=599).contains(&entry.status) {
        return Err(Unread::NoStatus);
    }
    Ok(entry)
}
