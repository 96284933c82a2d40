//! One kind of request, checked and compiled.

use std::collections::BTreeMap;

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use serde_json::Value;

use super::answer::{self, Check};
use super::blank::Names;
use super::file::{RawOperation, RawWrite, RawWrites, Spread};
use super::places::Places;
use super::template::{Place, Row, Template, Values, url_encode};
use cutover_evidence::ledger::WriteKind;

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name in reports.
    pub name: String,
    /// Its share of the arrivals is `weight` over the sum of all weights.
    pub weight: f64,
    /// HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: Template,
    /// Body.
    pub body: Option<Template>,
    /// Further request headers, the body's content type among them.
    pub headers: Vec<(HeaderName, Template)>,
    /// Statuses of a right answer.
    pub expect: Vec<u16>,
    /// What a right answer holds.
    pub checks: Vec<Check>,
    /// If a right answer names the org that asked, and no other.
    pub own: Vec<Places>,
    /// Whether it changes data.
    pub writes: bool,
    /// Which data it changes, if the scenario says so.
    pub write: Option<Write>,
    /// How unevenly orgs ask for it.
    pub orgs: Spread,
    /// Keeps the answer as a row under this index of [`super::Scenario::rows`].
    pub remember: Option<usize>,
    /// Works on a row of this index; nobody else does meanwhile.
    pub row: Option<usize>,
    /// Whether the row is gone afterwards.
    pub consumes: bool,
    take: Vec<(String, String)>,
}

/// Which data an operation changes.
#[derive(Debug, Clone)]
pub struct Write {
    /// The table pair, by its name in the configuration.
    pub table: String,
    /// How it changes it.
    pub kind: WriteKind,
    /// Key column → where its value is; of an insert, in the answer.
    pub key: Vec<(String, WrittenValue)>,
    /// Column → where its value is.
    pub values: Vec<(String, WrittenValue)>,
    /// The column that no other write sets to the same.
    pub tag: Option<String>,
    /// Of an insert: the header that carries its idempotency key.
    pub idempotency_header: Option<HeaderName>,
}

/// Where the value of a written column is.
#[derive(Debug, Clone)]
pub enum WrittenValue {
    /// A JSON pointer into the body that is sent; in an insert's key, into the answer.
    Pointer(String),
    /// Text with blanks.
    Filled(Template),
}

impl Operation {
    /// Whether the answer has to be taken apart.
    pub fn reads_answer(&self) -> bool {
        self.remember.is_some() || !self.checks.is_empty() || !self.own.is_empty()
    }

    /// The row that an answer tells of; `None` if it lacks a field.
    pub fn row_of(&self, answer: Value) -> Option<Row> {
        answer::row(answer, &self.take)
    }
}

/// Heaviest weight: far more than any share needs, far less than sums overflow at.
const HEAVIEST: f64 = 1e9;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// A key and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

impl RawOperation {
    /// Checks an operation by itself; `row_names` numbers the names of rows.
    pub(super) fn check(
        self,
        orgs: Spread,
        row_names: &BTreeMap<String, usize>,
        names: Names<'_>,
    ) -> Result<Operation, Wrong> {
        if !(0.0..=HEAVIEST).contains(&self.weight) {
            let why = format!("{} is not a number from 0 to {HEAVIEST}", self.weight);
            return Err(("weight", why));
        }
        if !METHODS.contains(&self.method.as_str()) {
            let why = format!("`{}` is none of {}", self.method, METHODS.join(", "));
            return Err(("method", why));
        }
        if self.expect.is_empty() || self.expect.iter().any(|s| !(100..=599).contains(s)) {
            return Err(("expect", "needs statuses from 100 to 599".into()));
        }
        let orgs = self.orgs.unwrap_or(orgs);
        check_spread(orgs).map_err(|why| ("orgs", why))?;
        let path = compile_path(&self.path, &self.query, names)?;
        let (headers, body) = compile_body(&self.headers, self.body.as_deref(), names)?;
        let mut checks = Vec::new();
        for check in self.check {
            checks.push(Check::new(check, names).map_err(|why| ("check", why))?);
        }
        let own = self.own.iter().map(|text| Places::parse(text));
        let own = own.collect::<Result<_, _>>().map_err(|why| ("own", why))?;
        for pointer in self.take.values() {
            answer::check_pointer(pointer).map_err(|why| ("take", why))?;
        }
        if !self.take.is_empty() && self.remember.is_none() {
            return Err((
                "take",
                "what is taken needs remember = \"NAME\" to be kept under".into(),
            ));
        }
        let (writes, write) = match self.writes {
            None => (!matches!(self.method.as_str(), "GET" | "HEAD"), None),
            Some(RawWrites::Plain(writes)) => (writes, None),
            Some(RawWrites::Table(write)) => {
                (true, Some(write.check(names).map_err(|why| ("writes", why))?))
            }
        };
        let needs_row = path.needs_row()
            || body.as_ref().is_some_and(Template::needs_row)
            || headers.iter().any(|(_, value)| value.needs_row())
            || checks.iter().any(Check::needs_row)
            || write.as_ref().is_some_and(Write::needs_row);
        if needs_row && self.row.is_none() {
            return Err(("row", "a blank {{row.…}} needs row = \"NAME\"".into()));
        }
        Ok(Operation {
            name: self.name,
            weight: self.weight,
            method: self.method.parse().map_err(|_| ("method", self.method))?,
            path,
            body,
            headers,
            expect: self.expect,
            checks,
            own,
            writes,
            write,
            orgs,
            remember: self.remember.map(|name| row_names[&name]),
            row: self.row.map(|name| row_names[&name]),
            consumes: self.consumes,
            take: self.take.into_iter().collect(),
        })
    }
}

impl RawWrite {
    fn check(self, names: Names<'_>) -> Result<Write, String> {
        let value = |text: &str| match text.starts_with('/') {
            true => Ok(WrittenValue::Pointer(text.to_owned())),
            false => Template::compile(text, Place::Plain, names).map(WrittenValue::Filled),
        };
        let compile = |places: &BTreeMap<String, String>| {
            let places = places.iter().map(|(column, text)| Ok((column.clone(), value(text)?)));
            places.collect::<Result<Vec<_>, String>>()
        };
        let (key, values) = (compile(&self.key)?, compile(&self.values)?);
        let insert = self.kind == WriteKind::Insert;
        let answered = key.iter().all(|(_, place)| matches!(place, WrittenValue::Pointer(_)));
        if insert && !answered {
            return Err("key: an insert's key stands in the answer; give a JSON pointer".into());
        }
        if !insert && key.is_empty() {
            return Err("key: needs the columns that say which row is changed".into());
        }
        if insert && !self.tag.as_ref().is_some_and(|tag| self.values.contains_key(tag)) {
            return Err(
                "tag: an insert needs the name of the column among its values whose value \
                        holds {{unique}}; without it a row that nobody acknowledged cannot be found"
                    .into(),
            );
        }
        let header = self.idempotency_header.as_deref().unwrap_or("Idempotency-Key");
        let idempotency_header = match insert && !header.is_empty() {
            true => Some(header.parse().map_err(|_| format!("idempotency_header: `{header}`"))?),
            false => None,
        };
        if self.tag.as_ref().is_some_and(|tag| !self.values.contains_key(tag)) {
            return Err("tag: is none of the columns of values".into());
        }
        let (table, kind, tag) = (self.table, self.kind, self.tag);
        Ok(Write { table, kind, key, values, tag, idempotency_header })
    }
}

impl Write {
    /// Whether a place needs a row.
    fn needs_row(&self) -> bool {
        let needs =
            |place: &WrittenValue| matches!(place, WrittenValue::Filled(t) if t.needs_row());
        self.key.iter().chain(&self.values).any(|(_, place)| needs(place))
    }
}

impl WrittenValue {
    /// The value as text, from a JSON document or from what blanks are filled with; the outer `None`
    /// if the document does not hold it, the inner one for null.
    pub fn read(&self, document: &Value, values: &Values<'_>) -> Option<Option<String>> {
        match self {
            Self::Filled(template) => Some(Some(template.fill(values))),
            Self::Pointer(pointer) => document.pointer(pointer).map(|value| match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            }),
        }
    }
}

pub(super) fn check_spread(spread: Spread) -> Result<(), String> {
    let right = (0.0..=5.0).contains(&spread.exponent) && (0.0..=1e6).contains(&spread.flat_head);
    right.then_some(()).ok_or("exponent goes from 0 to 5, flat_head from 0 to 1000000".into())
}

fn compile_path(
    path: &str,
    query: &BTreeMap<String, String>,
    names: Names<'_>,
) -> Result<Template, Wrong> {
    if !path.starts_with('/') {
        return Err(("path", "must begin with /".into()));
    }
    let outside_blanks = path.replace("{{ ", "{{").replace(" }}", "}}");
    if !outside_blanks.chars().all(|c| c.is_ascii_graphic() && c != '#') {
        let why = "holds a space or a character that no URL may hold; write it as %XX";
        return Err(("path", why.into()));
    }
    let mut compiled = Template::compile(path, Place::Url, names).map_err(|why| ("path", why))?;
    if without_blanks(path).parse::<Uri>().is_err() {
        return Err(("path", "holds a character that no URL may hold; write it as %XX".into()));
    }
    let mut separator = if path.contains('?') { '&' } else { '?' };
    for (name, value) in query {
        let mut before = String::from(separator);
        url_encode(&mut before, name);
        before.push('=');
        // What stands outside of blanks is text, too.
        let mut encoded = String::new();
        let mut rest = value.as_str();
        while let Some(open) = rest.find("{{") {
            url_encode(&mut encoded, &rest[..open]);
            let end = rest[open..].find("}}").map_or(rest.len(), |close| open + close + 2);
            encoded.push_str(&rest[open..end]);
            rest = &rest[end..];
        }
        url_encode(&mut encoded, rest);
        let value = Template::compile(&encoded, Place::Url, names).map_err(|why| ("query", why))?;
        compiled.append(&before, value);
        separator = '&';
    }
    Ok(compiled)
}

/// A template's text with something harmless in each blank.
fn without_blanks(text: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, blank)) = rest.split_once("{{") {
        filled.push_str(before);
        filled.push('0');
        rest = blank.split_once("}}").map_or("", |(_, after)| after);
    }
    filled + rest
}

type Compiled = (Vec<(HeaderName, Template)>, Option<Template>);

/// Headers and body; a body is JSON unless the headers say otherwise.
fn compile_body(
    raw_headers: &BTreeMap<String, String>,
    body: Option<&str>,
    names: Names<'_>,
) -> Result<Compiled, Wrong> {
    let mut headers = Vec::new();
    for (name, value) in raw_headers {
        let refuse = || ("headers", format!("`{name}: {value}` is no header that can be sent"));
        let header = HeaderName::try_from(name).map_err(|_| refuse())?;
        HeaderValue::try_from(value).map_err(|_| refuse())?;
        let value =
            Template::compile(value, Place::Plain, names).map_err(|why| ("headers", why))?;
        headers.push((header, value));
    }
    let Some(body) = body else { return Ok((headers, None)) };
    let content_type = headers.iter().find(|(name, _)| *name == CONTENT_TYPE);
    let json = content_type.is_none_or(|(_, value)| value.fixed().is_some_and(is_json));
    if content_type.is_none() {
        let json = Template::compile("application/json", Place::Plain, names)
            .map_err(|why| ("headers", why))?;
        headers.push((CONTENT_TYPE, json));
    }
    let place = if json { Place::Json } else { Place::Plain };
    let compiled = Template::compile(body, place, names).map_err(|why| ("body", why))?;
    if json {
        // A number stands for every blank, within quotes and outside.
        let mut sample = String::new();
        let mut rest = body;
        while let Some((before, after)) = rest.split_once("{{") {
            sample.push_str(before);
            sample.push('1');
            rest = after.split_once("}}").map_or("", |(_, rest)| rest);
        }
        sample.push_str(rest);
        if let Err(error) = serde_json::from_str::<Value>(&sample) {
            let why = format!("is not JSON, even with its blanks filled: {error}");
            return Err(("body", why));
        }
    }
    Ok((headers, Some(compiled)))
}

/// Whether a media type is JSON.
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
