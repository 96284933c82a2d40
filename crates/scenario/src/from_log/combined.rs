//! Apache's and nginx's combined format: `host ident user [time] "request" status …`.

use std::borrow::Cow;

use chrono::DateTime;

use super::LogOptions;
use super::entry::{Entry, FieldOrg, Unread, request_line};

/// The format of times, shared with JSON logs that hold nginx's `$time_local`.
pub(super) const TIME: &str = "%d/%b/%Y:%H:%M:%S %z";

/// Reads a line.
pub(super) fn read<'a>(line: &'a str, options: &LogOptions) -> Result<Entry<'a>, Unread> {
    let (head, rest) = line.split_once('[').ok_or(Unread::NotALog)?;
    let (time, rest) = rest.split_once(']').ok_or(Unread::NotALog)?;
    let rest = rest.trim_start().strip_prefix('"').ok_or(Unread::NotALog)?;
    let (request, rest) = quoted(rest).ok_or(Unread::NotALog)?;
    let at = DateTime::parse_from_str(time, TIME).map_err(|_| Unread::NoTime)?;
    let (method, target) = request_line(request).ok_or(Unread::NoRequest)?;
    let status = rest.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    let status = status.ok_or(Unread::NoStatus)?;
    let org = options.org_field.as_deref().and_then(|field| match field {
        "user" => head.split_ascii_whitespace().nth(2).filter(|user| *user != "-"),
        name => named(rest, name),
    });
    let org = org.map(|org| FieldOrg { org: Cow::Borrowed(org), header: None });
    Ok(Entry { method: method.into(), target: target.into(), status, at, org })
}

/// A text until its closing quote, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

/// The value of `name=value` or `name="value"`.
fn named<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.match_indices(name).find_map(|(at, _)| {
        let begins = at == 0 || text[..at].ends_with([' ', '"']);
        text[at + name.len()..].strip_prefix('=').filter(|_| begins)
    })?;
    let value = match value.strip_prefix('"') {
        Some(value) => quoted(value)?.0,
        None => value.split([' ', '"']).next()?,
    };
    (!value.is_empty() && value != "-").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_apache_and_one_of_nginx_with_more_at_its_end() {
        let apache = r#"1.2.3.4 - ann [10/Oct/2025:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326 "http://x/" "Mozilla \"x\"""#;
        let nginx = format!("{apache} 0.012 org=17 tenant=\"t 5\"");
        let entry = read(apache, &LogOptions::default()).expect("a request");
        assert_eq!(
            (entry.method.as_ref(), entry.target.as_ref(), entry.status),
            ("GET", "/a?b=c", 200)
        );
        assert_eq!(entry.at.to_rfc3339(), "2025-10-10T13:55:36-07:00");
        for (field, org) in [("user", "ann"), ("org", "17"), ("tenant", "t 5")] {
            let options = LogOptions { org_field: Some(field.into()), ..LogOptions::default() };
            let entry = read(&nginx, &options).expect("a request");
            assert_eq!(entry.org.expect(field).org, org);
        }
    }

    #[test]
    fn each_way_to_be_wrong_has_its_reason() {
        for (line, why) in [
            ("", Unread::NotALog),
            ("h - - [10/Oct/2025:13:55:36 -0700] GET / 200", Unread::NotALog),
            ("h - - [10/Oct/2025] \"GET / HTTP/1.1\" 200 1", Unread::NoTime),
            ("h - - [10/Oct/2025:13:55:36 -0700] \"\\x16\\x03\" 400 1", Unread::NoRequest),
            ("h - - [10/Oct/2025:13:55:36 -0700] \"GET /a b HTTP/1.1\" 400 1", Unread::NoRequest),
            ("h - - [10/Oct/2025:13:55:36 -0700] \"GET / HTTP/1.1\" - 1", Unread::NoStatus),
        ] {
            assert_eq!(read(line, &LogOptions::default()), Err(why), "{line}");
        }
    }
}
