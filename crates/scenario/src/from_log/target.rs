//! Path and query of a request, part by part.

use chrono::NaiveDate;
use url::form_urlencoded;

use super::{LogOptions, private};

/// One part of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Segment {
    /// The same in every request of its kind.
    Word(String),
    Org(String),
    /// Digits.
    Number(String),
    Date(String),
    /// A UUID, a slug or another text that differs between requests.
    Text(String),
    /// What must not be kept.
    Private,
}

/// A query parameter, decoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Param {
    pub name: String,
    pub value: Value,
}

/// What is known of a parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Org(String),
    Plain(String),
    Private,
}

/// Path and query.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Target {
    pub segments: Vec<Segment>,
    /// By name, each name once.
    pub params: Vec<Param>,
    /// Parameters that stood more than once, or whose names are no names.
    pub odd_params: u64,
}

/// Longer paths and queries are no traffic of people.
const MOST_SEGMENTS: usize = 24;
const MOST_PARAMS: usize = 24;
const LONGEST_WORD: usize = 40;
const LONGEST_VALUE: usize = 100;

impl Target {
    /// Takes a target apart; `None` if it has no path.
    pub(super) fn parse(target: &str, options: &LogOptions) -> Option<Self> {
        let target = target.split('#').next().unwrap_or_default();
        let path = match target.split_once("://") {
            // As a proxy is asked: http://host/path.
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                rest.find(['/', '?']).map_or("/", |at| &rest[at..])
            }
            _ => target,
        };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.strip_prefix('/')?;
        let mut parsed = Self::default();
        for (number, segment) in path.split('/').take(MOST_SEGMENTS).enumerate() {
            let before = parsed.segments.last();
            let segment = classify(segment, before, number + 1, options);
            parsed.segments.push(segment);
        }
        parsed.read_query(query, options);
        Some(parsed)
    }

    fn read_query(&mut self, query: &str, options: &LogOptions) {
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(MOST_PARAMS) {
            if name.is_empty() && value.is_empty() {
                continue;
            }
            let known = self.params.iter().any(|param| param.name == name);
            if known || !is_param_name(&name) {
                self.odd_params += 1;
                continue;
            }
            let org = match (&options.org_param, &options.org_field, &options.org_segment) {
                (Some(param), ..) => *param == name,
                (None, None, None) => private::names_an_org(&name),
                _ => false,
            };
            let value = match value.into_owned() {
                value if org && !value.is_empty() => Value::Org(value),
                value if private::names_a_secret(&name) || private::is_private(date_or(&value)) => {
                    Value::Private
                }
                value if value.len() > LONGEST_VALUE => Value::Private,
                value => Value::Plain(value),
            };
            self.params.push(Param { name: name.into_owned(), value });
        }
        self.params.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// The org that the target itself names.
    pub(super) fn org(&self) -> Option<&str> {
        let of_param = self.params.iter().find_map(|param| match &param.value {
            Value::Org(org) => Some(org.as_str()),
            _ => None,
        });
        of_param.or_else(|| {
            self.segments.iter().find_map(|segment| match segment {
                Segment::Org(org) => Some(org.as_str()),
                _ => None,
            })
        })
    }
}

/// A text that begins with a day is looked at without it: a time is no secret.
fn date_or(value: &str) -> &str {
    match day_of(value) {
        Some((_, rest)) => rest,
        None => value,
    }
}

/// The day that a text begins with, and what follows it.
pub(super) fn day_of(text: &str) -> Option<(NaiveDate, &str)> {
    let day =
        text.get(..10).filter(|day| day.as_bytes()[4] == b'-' && day.as_bytes()[7] == b'-')?;
    let rest = &text[10..];
    let right = rest.is_empty() || (rest.starts_with(['T', ' ']) && rest.len() <= 25);
    Some((day.parse().ok()?, rest)).filter(|_| right)
}

fn is_param_name(name: &str) -> bool {
    (1..=LONGEST_WORD).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.[]$:".contains(&byte))
        && !private::is_private(name)
}

fn classify(raw: &str, before: Option<&Segment>, number: usize, options: &LogOptions) -> Segment {
    // Parameters of a segment (`;jsessionid=…`) are dropped.
    let raw = raw.split(';').next().unwrap_or_default();
    let escaped = format!("x={}", raw.replace('+', "%2B").replace('&', "%26"));
    let decoded = form_urlencoded::parse(escaped.as_bytes()).next();
    let text = decoded.map_or_else(String::new, |(_, text)| text.into_owned());
    let follows = |wanted: &str| matches!(before, Some(Segment::Word(word)) if word == wanted);
    let after_org = matches!(before, Some(Segment::Word(word))
        if private::names_an_org(word) || private::names_an_org(word.trim_end_matches('s')));
    let word = is_word(&text);
    let org = match (&options.org_segment, &options.org_param, &options.org_field) {
        (Some(wanted), ..) => wanted.parse() == Ok(number) || follows(wanted),
        (None, None, None) => after_org && !word,
        _ => false,
    };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text {
        text if org && !text.is_empty() => Segment::Org(text),
        text if word => Segment::Word(text),
        text if digits => Segment::Number(text),
        text if day_of(&text).is_some_and(|(_, rest)| rest.is_empty()) => Segment::Date(text),
        text if private::is_private(&text) || text.len() > LONGEST_VALUE => Segment::Private,
        text => Segment::Text(text),
    }
}

/// Whether a segment belongs to the address of an operation: a name, perhaps with a few digits in it
/// (`v2`, `oauth2`).
fn is_word(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let starts = text.bytes().next().is_none_or(|byte| !byte.is_ascii_digit());
    text.len() <= LONGEST_WORD
        && starts
        && digits <= 3
        && (digits == 0 || text.len() <= 12)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
        && !private::is_private(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> Target {
        Target::parse(target, &LogOptions::default()).expect(target)
    }

    #[test]
    fn a_path_is_taken_apart() {
        let segments =
            parse("/api/v2/orgs/17/days/2026-01-31/4711/f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
                .segments;
        let word = |text: &str| Segment::Word(text.into());
        assert_eq!(
            segments,
            [
                word("api"),
                word("v2"),
                word("orgs"),
                Segment::Org("17".into()),
                word("days"),
                Segment::Date("2026-01-31".into()),
                Segment::Number("4711".into()),
                Segment::Text("f81d4fae-7dec-11d0-a765-00a0c91e6bf6".into()),
            ]
        );
        assert_eq!(parse("http://host:80/a;jsessionid=5?x=1#y").segments, [word("a")]);
        assert_eq!(parse("/").segments, [word("")]);
        assert!(Target::parse("*", &LogOptions::default()).is_none());
    }

    #[test]
    fn an_org_stands_where_it_is_said_to() {
        let of = |options: LogOptions| {
            let target = Target::parse("/a/17/b?who=5&org=9", &options).expect("a path");
            target.org().map(str::to_owned)
        };
        assert_eq!(of(LogOptions::default()).as_deref(), Some("9"));
        let param = LogOptions { org_param: Some("who".into()), ..LogOptions::default() };
        assert_eq!(of(param).as_deref(), Some("5"));
        for segment in ["2", "a"] {
            let segment = LogOptions { org_segment: Some(segment.into()), ..LogOptions::default() };
            assert_eq!(of(segment).as_deref(), Some("17"));
        }
    }

    #[test]
    fn secrets_are_dropped_where_they_are_met() {
        let target = parse(
            "/reset/4f9a8b7c6d5e4f3a2b1c0d?token=abc&orgId=5&from=2026-01-01T00:00:00Z&next=eyJx.y",
        );
        assert_eq!(target.segments[1], Segment::Private);
        let values: Vec<&Value> = target.params.iter().map(|param| &param.value).collect();
        let plain = Value::Plain("2026-01-01T00:00:00Z".into());
        assert_eq!(values, [&plain, &Value::Private, &Value::Org("5".into()), &Value::Private]);
    }
}
