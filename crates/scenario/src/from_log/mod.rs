//! A scenario from an access log: what people really asked, how often, when, and for which org.
//!
//! One pass over the log, in memory that does not grow with it: what may be kept of each kind
//! (patterns, values, orgs) is capped, and [`Summary`] says where a cap was hit, as it says of every
//! line that could not be read why. Query values that look like secrets or name a person are
//! dropped where they are met.

mod combined;
mod curve;
mod entry;
mod json;
mod line;
mod lines;
mod operations;
mod orgs;
mod patterns;
mod private;
mod tally;
mod target;
mod text;
mod values;
mod zipf;

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;

use super::check::Scenario;
use cutover_error::{Context, Error, Result};
use entry::Unread;
use lines::{Line, Lines};
use tally::Tally;

/// If a log says which org asks. If nothing is named, the usual names are looked for.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// The query parameter that names it.
    pub org_param: Option<String>,
    /// The field of a JSON line that names it, dots leading inside; of a line in combined format
    /// `user` or the name of a `name=value` at its end.
    pub org_field: Option<String>,
    /// The path segment that names it: its number from 1, or the segment before it.
    pub org_segment: Option<String>,
    /// The request header that carries it, for the scenario.
    pub org_header: Option<String>,
}

/// A scenario made from a log.
#[derive(Debug, Clone)]
pub struct FromLog {
    /// The scenario file.
    pub text: String,
    /// What it was made from.
    pub summary: Summary,
}

/// What was read, what was made of it, and what was left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Lines of the log, blank ones left out.
    pub lines: u64,
    /// Lines that could be read, each a request.
    pub requests: u64,
    /// Lines that could not be read, by reason, the most frequent first.
    pub unread: Vec<UnreadLines>,
    /// First and last moment of the log, RFC 3339.
    pub from: String,
    /// See `from`.
    pub to: String,
    /// Mean requests per second, for `--rate`.
    pub rate_per_s: f64,
    /// The arrival process, in words.
    pub arrivals: String,
    /// Different orgs seen, for `--orgs`.
    pub orgs: u64,
    /// Popularity of orgs, in words.
    pub popularity: String,
    /// Median time between two requests of one org, seconds; `None` if no org asked twice.
    pub think_gap_s: Option<f64>,
    /// Operations of the scenario, by weight.
    pub operations: Vec<MadeOperation>,
    /// What the scenario does not hold, and caps that were hit.
    pub left_out: Vec<String>,
}

/// Lines that could not be read for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadLines {
    /// Why.
    pub reason: String,
    /// How many.
    pub lines: u64,
    /// The number of one of them, from 1.
    pub example_line: u64,
}

/// One operation of the scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MadeOperation {
    /// Its name.
    pub name: String,
    /// HTTP method.
    pub method: String,
    /// Path with its blanks, without the query.
    pub path: String,
    /// Requests of the log.
    pub requests: u64,
    /// Their share of all requests that were read, percent.
    pub weight: f64,
    /// Whether it is driven; else it stands in comments, waiting for a body or a row.
    pub driven: bool,
}

/// Reads a log, plain or gzip, and makes a scenario of it; `place` names the log in messages.
///
/// The same log and options give the same bytes.
///
/// # Errors
/// A usage error if the log cannot be read to its end, or nothing in it can be driven.
pub fn from_log(
    place: &str,
    input: impl Read + Send + 'static,
    options: &LogOptions,
) -> Result<FromLog> {
    let hint = "give an access log in combined format or JSON lines, plain or gzip";
    let mut lines = Lines::new(input).or_usage(format!("cannot read {place}"), hint)?;
    let mut tally = Tally::new(options);
    let mut unread: BTreeMap<Unread, (u64, u64)> = BTreeMap::new();
    let mut number = 0;
    let mut count = 0;
    loop {
        number += 1;
        let line = lines.next().or_usage(format!("cannot read {place}, line {number}"), hint)?;
        let read = match line {
            None => break,
            Some(Line::Blank) => continue,
            Some(Line::TooLong) => Err(Unread::TooLong),
            Some(Line::Text(line)) => {
                line::read(&line, options).and_then(|entry| tally.add(&entry))
            }
        };
        count += 1;
        if let Err(why) = read {
            unread.entry(why).or_insert((0, number)).0 += 1;
        }
    }
    let mut unread: Vec<UnreadLines> = unread
        .into_iter()
        .map(|(why, (lines, example_line))| UnreadLines {
            reason: why.to_string(),
            lines,
            example_line,
        })
        .collect();
    unread.sort_by_key(|unread| std::cmp::Reverse(unread.lines));
    if tally.requests == 0 {
        return Err(Error::usage(nothing_read(place, count, &unread), hint));
    }
    let (text, summary) = text::write(tally, count, unread, options).ok_or_else(|| {
        let what = format!("{place}: holds nothing that can be driven as it is");
        let hint = "a scenario needs at least one GET or HEAD that was answered with 2xx or 3xx and \
                    asks for no row that a write makes; bodies of writes are not in a log";
        Error::usage(what, hint)
    })?;
    // Whatever the log held: a file that is written can be driven.
    Scenario::parse("the scenario made from the log", &text)
        .map_err(|error| Error::run(format!("{place}: {error}"), "this is an error of ours"))?;
    Ok(FromLog { text, summary })
}

fn nothing_read(place: &str, lines: u64, unread: &[UnreadLines]) -> String {
    match unread.first() {
        None => format!("{place}: holds no line"),
        Some(UnreadLines { reason, example_line, .. }) => {
            format!(
                "{place}: none of its {lines} lines can be read: {reason} (as line {example_line})"
            )
        }
    }
}
