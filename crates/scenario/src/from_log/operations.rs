//! From patterns of requests to the operations of a scenario.

use std::collections::{BTreeMap, BTreeSet};

use super::LogOptions;
use super::patterns::{ParamValues, Part, Pattern, blank_of};
use super::values::Stand;
use crate::template::encode_segment;

/// Operations that are written; a report of more is not read.
const MOST_OPERATIONS: usize = 200;
/// The rarest expected status, as a share of an operation's good answers, percent.
const RAREST_STATUS: u64 = 1;

/// One operation as it is written.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub name: String,
    pub weight: f64,
    pub method: String,
    pub path: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, String>,
    pub expect: Vec<u16>,
    pub requests: u64,
    /// Why it stands in comments.
    pub waits_for: Option<&'static str>,
    /// The name of the rows that it makes or works on.
    pub remember: Option<String>,
    pub row: Option<String>,
    /// What people should know about it.
    pub notes: Vec<String>,
}

/// The operations by weight, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub operations: Vec<Operation>,
    pub left_out: Vec<String>,
}

/// Makes operations of the patterns of `total` requests.
pub(super) fn make(patterns: &[Pattern], total: u64, options: &LogOptions) -> Made {
    let mut made = Made::default();
    let (mut refused, mut private, mut rare) = ((0, 0), (0, 0), (0, 0));
    let makers: BTreeSet<&[Part]> = patterns
        .iter()
        .filter(|pattern| pattern.method == "POST" && good(pattern) > 0)
        .map(|pattern| pattern.parts.as_slice())
        .collect();
    for pattern in patterns {
        let to = match () {
            () if good(pattern) == 0 => &mut refused,
            () if pattern.parts.contains(&Part::Private) => &mut private,
            () if made.operations.len() >= MOST_OPERATIONS => &mut rare,
            () => {
                made.operations.push(operation(pattern, total, options, &makers));
                continue;
            }
        };
        *to = (to.0 + 1, to.1 + pattern.count);
    }
    for ((kinds, requests), why) in [
        (refused, "never answered with 2xx or 3xx"),
        (private, "with what looks like a secret or a person in their path"),
        (rare, "beyond the 200 most frequent"),
    ] {
        if kinds > 0 {
            made.left_out.push(format!("{requests} requests of {kinds} kinds, {why}"));
        }
    }
    name(&mut made.operations);
    made
}

fn good(pattern: &Pattern) -> u64 {
    pattern.statuses.range(200..400).map(|(_, times)| times).sum()
}

fn operation(
    pattern: &Pattern,
    total: u64,
    options: &LogOptions,
    makers: &BTreeSet<&[Part]>,
) -> Operation {
    let writes = !matches!(pattern.method.as_str(), "GET" | "HEAD");
    // `/finance/revenue/17` works on what `POST /finance/revenue` makes.
    let made_at = pattern.parts.iter().position(|part| blank_of(part).is_some());
    let made_at = made_at.filter(|at| makers.contains(&pattern.parts[..*at]));
    let row = made_at.map(|at| last_word(&pattern.parts[..at]));
    let mut notes = Vec::new();
    let (path, writable) = path(pattern, made_at, &mut notes);
    let mut query = query(pattern, &mut notes);
    if row.is_some() {
        // The row's own org, not that of the arrival.
        for (name, value) in query.iter_mut().filter(|(_, value)| *value == "{{org}}") {
            *value = format!("{{{{row.{name}}}}}");
        }
    }
    let waits_for = match () {
        () if row.is_some() && writes => Some("a row and a body, which a log does not hold"),
        () if row.is_some() => Some("a row that another operation makes"),
        () if writes => Some("a body, which a log does not hold"),
        () if !writable => Some("a value for its path: none that was seen can be written"),
        () => None,
    };
    let (headers, in_header) = headers(pattern, options);
    let in_target = pattern.parts.contains(&Part::Org) || query.values().any(|v| v == "{{org}}");
    if pattern.field_orgs > 0 && !in_target && !in_header && row.is_none() {
        notes.push("the log names the org in a field; say how a request carries it".into());
    }
    let makes = pattern.method == "POST" && made_at.is_none();
    let used = makes.then(|| last_word(&pattern.parts));
    Operation {
        name: String::new(),
        weight: share(pattern.count, total),
        method: pattern.method.clone(),
        path,
        query,
        headers,
        expect: expect(pattern, &mut notes),
        requests: pattern.count,
        waits_for,
        remember: used,
        row,
        notes,
    }
}

/// Percent, to four digits.
fn share(count: u64, total: u64) -> f64 {
    let percent = 100.0 * count as f64 / total.max(1) as f64;
    let digits = 10_f64.powi(3 - percent.max(1e-9).log10().floor() as i32);
    (percent * digits).round() / digits
}

fn last_word(parts: &[Part]) -> String {
    let word = parts.iter().rev().find_map(|part| match part {
        Part::Word(word) if !word.is_empty() => Some(snake(word)),
        _ => None,
    });
    word.unwrap_or_else(|| "row".into())
}

/// The path with blanks, and whether each of them could be written.
fn path(pattern: &Pattern, made_at: Option<usize>, notes: &mut Vec<String>) -> (String, bool) {
    let (mut path, mut writable) = (String::new(), true);
    let mut blanks = pattern.blanks.iter();
    for (number, part) in pattern.parts.iter().enumerate() {
        path.push('/');
        match part {
            Part::Word(word) => path.push_str(word),
            Part::Org => path.push_str("{{org}}"),
            Part::Private => {}
            Part::Blank(_) => {
                let values = blanks.next();
                if made_at == Some(number) {
                    path.push_str("{{row.id}}");
                    continue;
                }
                let stand = values.map_or(Stand::Nothing, |values| values.stand("", true));
                writable &= stand != Stand::Nothing;
                match &stand {
                    // It was decoded: what no URL may hold goes back into its escapes.
                    Stand::Fixed(text) => encode_segment(&mut path, text),
                    _ => path.push_str(&stand.text().unwrap_or_else(|| "FILL-IN".into())),
                }
                if !matches!(stand, Stand::Days { .. } | Stand::Fixed(_)) {
                    notes.push("asks for ids of the log, which your target has to hold".into());
                }
                let more = values.is_some_and(|values| values.beyond > 0);
                if more && matches!(&stand, Stand::Blank(text) if text.contains("choice")) {
                    notes.push("more values were seen in its path".into());
                }
            }
        }
    }
    (path, writable)
}

fn query(pattern: &Pattern, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut stands: BTreeMap<&str, Stand> = BTreeMap::new();
    let (mut private, mut dropped) = (Vec::new(), Vec::new());
    for (name, seen) in &pattern.params {
        match seen {
            ParamValues::Org => {
                stands.insert(name, Stand::Blank("{{org}}".into()));
            }
            ParamValues::Private => private.push(name.as_str()),
            ParamValues::Plain(values) => match values.stand(name, false) {
                Stand::Nothing => dropped.push(name.as_str()),
                stand => {
                    if values.beyond > 0
                        && matches!(&stand, Stand::Blank(t) if t.contains("choice"))
                    {
                        notes.push(format!("`{name}` took more values than those written here"));
                    }
                    stands.insert(name, stand);
                }
            },
        }
    }
    if !private.is_empty() {
        notes.push(format!("left out as private: {}", private.join(", ")));
    }
    if !dropped.is_empty() {
        notes.push(format!(
            "left out, as no value of theirs can be written: {}",
            dropped.join(", ")
        ));
    }
    part_ranges(&mut stands, notes);
    let text = |(name, stand): (&str, Stand)| Some((name.to_owned(), stand.text()?));
    stands.into_iter().filter_map(text).collect()
}

/// Two days that bound a range are drawn by themselves: if they could cross, each keeps to its
/// half.
fn part_ranges(stands: &mut BTreeMap<&str, Stand>, notes: &mut Vec<String>) {
    let find = |starts: &[&str]| {
        let begins = |name: &&str| {
            let name = name.to_ascii_lowercase();
            starts.iter().any(|start| name.starts_with(start) || name.ends_with(start))
        };
        let days = |name: &&str| matches!(stands.get(name), Some(Stand::Days { .. }));
        stands.keys().copied().find(|name| begins(name) && days(name))
    };
    let from = find(&["from", "start", "since", "after", "begin", "gte"]);
    let to = find(&["to", "end", "until", "before", "lte", "lt"]);
    let (Some(from), Some(to)) = (from, to) else { return };
    let (Some(Stand::Days { low, high: first, .. }), Some(Stand::Days { low: second, high, .. })) =
        (stands.get(from), stands.get(to))
    else {
        return;
    };
    if from == to || first <= second || low > high {
        return;
    }
    let middle = i64::midpoint(*low.max(second), *high.min(first));
    notes.push(format!("`{from}` and `{to}` keep to their halves, so that they never cross"));
    if let Some(Stand::Days { high, .. }) = stands.get_mut(from) {
        *high = middle;
    }
    if let Some(Stand::Days { low, .. }) = stands.get_mut(to) {
        *low = middle;
    }
}

/// Headers, and whether one of them carries the org.
fn headers(pattern: &Pattern, options: &LogOptions) -> (BTreeMap<String, String>, bool) {
    let seen = pattern.org_header.clone().filter(|_| pattern.field_orgs > 0);
    let header = options.org_header.clone().or(seen);
    let headers: BTreeMap<String, String> =
        header.into_iter().map(|name| (name, "{{org}}".to_owned())).collect();
    let carries = !headers.is_empty();
    (headers, carries)
}

fn expect(pattern: &Pattern, notes: &mut Vec<String>) -> Vec<u16> {
    let all = good(pattern);
    let often =
        |(status, times): (&u16, &u64)| (times * 100 >= all * RAREST_STATUS).then_some(*status);
    let mut expect: Vec<u16> = pattern.statuses.range(200..400).filter_map(often).collect();
    // "Not modified" answers a condition, and we set none.
    if let Some(at) = expect.iter().position(|status| *status == 304) {
        expect.remove(at);
        if !expect.contains(&200) {
            expect.insert(0, 200);
        }
    }
    let other: Vec<String> = pattern
        .statuses
        .iter()
        .filter(|(status, _)| !expect.contains(status))
        .map(|(status, times)| format!("{status} ({times})"))
        .collect();
    if !other.is_empty() {
        notes.push(format!("not expected, though the log has them: {}", other.join(", ")));
    }
    expect
}

/// Gives each operation a name of its own.
fn name(operations: &mut [Operation]) {
    let base = |operation: &Operation| {
        let words = operation.path.split('/').filter(|word| !word.is_empty());
        let words = words.map(|word| match word.starts_with("{{") {
            true if word == "{{org}}" => "org".to_owned(),
            true => "one".to_owned(),
            false => snake(word),
        });
        let words: Vec<String> =
            std::iter::once(operation.method.to_ascii_lowercase()).chain(words).collect();
        words.join("_").chars().take(60).collect::<String>()
    };
    let bases: Vec<String> = operations.iter().map(base).collect();
    let mut taken = BTreeSet::new();
    for (number, operation) in operations.iter_mut().enumerate() {
        let mut name = bases[number].clone();
        if bases.iter().filter(|other| **other == name).count() > 1 {
            let own = operation.query.iter().filter(|(_, value)| !value.starts_with("{{org}}"));
            own.for_each(|(param, _)| name = format!("{name}_{}", snake(param)));
        }
        let mut unique = name.clone();
        let mut next = 2;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}_{next}");
            next += 1;
        }
        operation.name = unique;
    }
}

/// Letters, digits and `_`.
fn snake(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    text.chars().map(plain).collect()
}
