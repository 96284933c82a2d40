//! JSON lines as nginx, Caddy, Envoy and others write them: known by the names of their fields.

use std::borrow::Cow;

use chrono::{DateTime, FixedOffset, TimeZone, Utc};
use serde_json::Value;

use super::entry::{Entry, FieldOrg, Unread, request_line};
use super::{LogOptions, combined, private};

/// How deep fields are looked for, and how many are looked at.
const DEEPEST: usize = 4;
const MOST_FIELDS: usize = 512;

// Names without case, `_` and `-`; a dot leads inside. The first one that is there counts.
const LINES: [&str; 2] = ["request", "requestline"];
const METHODS: [&str; 8] = [
    "method",
    "requestmethod",
    "httpmethod",
    "verb",
    "request.method",
    "http.request.method",
    "httprequest.requestmethod",
    ":method",
];
const TARGETS: [&str; 14] = [
    "uri",
    "requesturi",
    "request.uri",
    "path",
    "url",
    "requestpath",
    "xenvoyoriginalpath",
    "originalpath",
    ":path",
    "url.original",
    "request.url",
    "request.path",
    "url.path",
    "httprequest.requesturl",
];
const QUERIES: [&str; 6] =
    ["args", "query", "querystring", "url.query", "request.query", "request.querystring"];
const STATUSES: [&str; 9] = [
    "status",
    "statuscode",
    "responsecode",
    "httpstatus",
    "response.status",
    "response.statuscode",
    "http.response.statuscode",
    "httprequest.status",
    "responsestatus",
];
const TIMES: [&str; 11] = [
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "timeiso8601",
    "timelocal",
    "starttime",
    "msec",
    "datetime",
    "date",
    "requesttimestamp",
];

/// The fields of a line, by their names within each other.
struct Fields<'a>(Vec<(String, &'a Value)>);

impl<'a> Fields<'a> {
    fn of(line: &'a Value) -> Self {
        fn walk<'a>(
            prefix: &str,
            value: &'a Value,
            depth: usize,
            found: &mut Vec<(String, &'a Value)>,
        ) {
            let Value::Object(fields) = value else { return };
            for (name, value) in fields {
                if found.len() >= MOST_FIELDS {
                    return;
                }
                let name = format!("{prefix}{name}");
                if depth < DEEPEST && value.is_object() {
                    walk(&format!("{name}."), value, depth + 1, found);
                }
                found.push((name, value));
            }
        }
        let mut found = Vec::new();
        walk("", line, 1, &mut found);
        Self(found)
    }

    /// The first of `names` that holds a text or a number, with its own name.
    fn first(&self, names: &[&str]) -> Option<(&str, Cow<'a, str>)> {
        names.iter().find_map(|wanted| {
            self.0.iter().find_map(|(name, value)| {
                let same = private::plain_name(name) == *wanted;
                Some((name.as_str(), plain(value)?)).filter(|_| same)
            })
        })
    }

    fn text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        self.first(names).map(|(_, text)| text)
    }

    fn org(&self, options: &LogOptions) -> Option<FieldOrg<'a>> {
        let (name, org) = match &options.org_field {
            Some(field) => self.first(&[&private::plain_name(field)])?,
            None if options.org_param.is_some() || options.org_segment.is_some() => return None,
            None => self.0.iter().find_map(|(name, value)| {
                let last = name.rsplit('.').next().unwrap_or_default();
                Some((name.as_str(), plain(value)?)).filter(|_| private::names_an_org(last))
            })?,
        };
        let (within, header) = name.rsplit_once('.').unwrap_or(("", name));
        let within = within.to_ascii_lowercase();
        // `request.headers.X-Org-Id` tells how the request carried it.
        let is_header = within.ends_with("headers") || within.ends_with("header");
        let header = is_header.then(|| header.to_owned()).filter(|name| private::is_token(name));
        (!org.is_empty() && org != "-").then_some(FieldOrg { org, header })
    }
}

/// Reads a line.
pub(super) fn read<'a>(line: &'a str, options: &LogOptions) -> Result<Entry<'a>, Unread> {
    let line: Value = serde_json::from_str(line).map_err(|_| Unread::NotJson)?;
    let fields = Fields::of(&line);
    let asked = fields.text(&LINES);
    let asked = asked.as_deref().and_then(request_line);
    let method = fields.text(&METHODS).or(asked.map(|(method, _)| method.into()));
    let method = method.ok_or(Unread::NoMethod)?.to_ascii_uppercase();
    let target = fields.text(&TARGETS).or(asked.map(|(_, target)| target.into()));
    let mut target = target.ok_or(Unread::NoPath)?.into_owned();
    if !target.contains('?')
        && let Some(query) = fields.text(&QUERIES).filter(|query| !matches!(&**query, "" | "-"))
    {
        target.push('?');
        target.push_str(query.trim_start_matches('?'));
    }
    let status =
        fields.text(&STATUSES).and_then(|text| text.parse().ok()).ok_or(Unread::NoStatus)?;
    let at = fields.text(&TIMES).and_then(|text| time(&text)).ok_or(Unread::NoTime)?;
    let org = fields.org(options);
    let org = org.map(|FieldOrg { org, header }| FieldOrg { org: org.into_owned().into(), header });
    Ok(Entry { method: method.into(), target: target.into(), status, at, org })
}

/// A text or a number; of a list, as headers are, its first element.
fn plain(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(number) => Some(number.to_string().into()),
        Value::Array(values) => values.first().filter(|first| !first.is_array()).and_then(plain),
        _ => None,
    }
}

/// RFC 3339, nginx's own format, or seconds (from the year 5138 on: milliseconds, and so on) since
/// 1970.
fn time(text: &str) -> Option<DateTime<FixedOffset>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at);
    }
    for format in [combined::TIME, "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f %z"] {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Some(at);
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"] {
        if let Ok(at) = chrono::NaiveDateTime::parse_from_str(text, format) {
            return Some(at.and_utc().fixed_offset());
        }
    }
    let mut seconds: f64 = text.parse().ok().filter(|seconds| (0.0..1e20).contains(seconds))?;
    while seconds >= 1e11 {
        seconds /= 1000.0;
    }
    let at = Utc.timestamp_millis_opt((seconds * 1000.0) as i64).single()?;
    Some(at.fixed_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, target, status, time, and org with its header.
    type Entry = (String, String, u16, String, Option<(String, Option<String>)>);

    fn of(line: &str) -> Entry {
        let entry =
            read(line, &LogOptions::default()).unwrap_or_else(|why| panic!("{line}: {why}"));
        let org = entry.org.map(|org| (org.org.into_owned(), org.header));
        (
            entry.method.into(),
            entry.target.into(),
            entry.status,
            entry.at.to_utc().to_rfc3339(),
            org,
        )
    }

    #[test]
    fn nginx_caddy_and_envoy_are_understood() {
        let at = "2025-10-10T13:55:36+00:00".to_owned();
        let plain = ("GET".to_owned(), "/a?b=1".to_owned(), 200, at, None);
        for line in [
            r#"{"time_local":"10/Oct/2025:13:55:36 +0000","request":"GET /a?b=1 HTTP/1.1","status":"200","request_time":"0.1"}"#,
            r#"{"time_iso8601":"2025-10-10T13:55:36+00:00","request_method":"GET","uri":"/a","args":"b=1","status":200}"#,
            r#"{"start_time":"2025-10-10T13:55:36.000Z","method":"GET","path":"/a?b=1","response_code":200}"#,
            r#"{"ts":1760104536.0,"request":{"method":"GET","uri":"/a?b=1"},"status":200}"#,
            r#"{"timestamp":1760104536000,"method":"get","url":"/a?b=1","status_code":200}"#,
            r#"{"@timestamp":"2025-10-10T13:55:36Z","http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"path":"/a","query":"b=1"}}"#,
        ] {
            assert_eq!(of(line), plain, "{line}");
        }
        let caddy = r#"{"ts":1760104536.5,"request":{"method":"GET","uri":"/a?b=1","headers":{"X-Org-Id":["17"]}},"status":200}"#;
        assert_eq!(of(caddy).4, Some(("17".into(), Some("X-Org-Id".into()))));
        let field = r#"{"ts":1760104536,"method":"GET","path":"/","status":200,"tenant_id":17}"#;
        assert_eq!(of(field).4, Some(("17".into(), None)));
    }

    #[test]
    fn each_way_to_be_wrong_has_its_reason() {
        for (line, why) in [
            ("{", Unread::NotJson),
            ("{}", Unread::NoMethod),
            (r#"{"method":"GET"}"#, Unread::NoPath),
            (r#"{"method":"GET","path":"/"}"#, Unread::NoStatus),
            (r#"{"method":"GET","path":"/","status":200}"#, Unread::NoTime),
            (r#"{"method":"GET","path":"/","status":200,"ts":-5}"#, Unread::NoTime),
        ] {
            assert_eq!(read(line, &LogOptions::default()), Err(why), "{line}");
        }
    }
}
