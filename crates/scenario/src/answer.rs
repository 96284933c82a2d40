//! What a right answer holds, and which of its fields become a row.

use serde_json::Value;

use super::blank::Names;
use super::file::{JsonType, RawCheck};
use super::template::{Place, Row, Template, Values};

/// One thing that a right answer holds.
#[derive(Debug, Clone)]
pub struct Check {
    /// JSON pointer into the answer.
    pub at: String,
    exists: bool,
    equals: Option<Template>,
    min: Option<f64>,
    max: Option<f64>,
    kind: Option<JsonType>,
    count: Option<usize>,
}

impl Check {
    pub(super) fn new(raw: RawCheck, names: Names<'_>) -> Result<Self, String> {
        check_pointer(&raw.at)?;
        let exists = raw.exists.unwrap_or(true);
        let asks = raw.equals.is_some()
            || raw.min.is_some()
            || raw.max.is_some()
            || raw.kind.is_some()
            || raw.count.is_some();
        if asks && !exists {
            return Err(format!("`{}`: what does not exist has no value to check", raw.at));
        }
        if !asks && raw.exists.is_none() {
            let one = "exists, equals, min, max, type, count";
            return Err(format!("`{}`: says nothing to check; give one of {one}", raw.at));
        }
        if raw.min.zip(raw.max).is_some_and(|(min, max)| min > max) {
            return Err(format!("`{}`: min is above max", raw.at));
        }
        let compile = |text: String| Template::compile(&text, Place::Plain, names);
        let equals = raw.equals.map(compile).transpose()?;
        let RawCheck { at, min, max, kind, count, .. } = raw;
        Ok(Self { at, exists, equals, min, max, kind, count })
    }

    /// Whether the answer holds it.
    pub fn holds(&self, answer: &Value, values: &Values<'_>) -> bool {
        let Some(found) = answer.pointer(&self.at) else { return !self.exists };
        let size = match found {
            Value::Array(elements) => Some(elements.len() as f64),
            other => other.as_f64(),
        };
        self.exists
            && self.equals.as_ref().is_none_or(|wanted| is_text(found, &wanted.fill(values)))
            && self.min.is_none_or(|min| size.is_some_and(|size| size >= min))
            && self.max.is_none_or(|max| size.is_some_and(|size| size <= max))
            && self.kind.is_none_or(|kind| is_kind(found, kind))
            && self.count.is_none_or(|n| found.as_array().is_some_and(|a| a.len() == n))
    }

    /// Whether its template needs a row.
    pub(super) fn needs_row(&self) -> bool {
        self.equals.as_ref().is_some_and(Template::needs_row)
    }
}

fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        other => {
            let written = other.to_string();
            written == text
        }
    }
}

fn is_kind(value: &Value, kind: JsonType) -> bool {
    match kind {
        JsonType::Null => value.is_null(),
        JsonType::Boolean => value.is_boolean(),
        JsonType::Number => value.is_number(),
        JsonType::Integer => value.is_i64() || value.is_u64(),
        JsonType::String => value.is_string(),
        JsonType::Array => value.is_array(),
        JsonType::Object => value.is_object(),
    }
}

/// The row of an answer: the fields named by `take`, or all of its object if none is named.
pub(super) fn row(answer: Value, take: &[(String, String)]) -> Option<Row> {
    if take.is_empty() {
        return match answer {
            Value::Object(row) => Some(row),
            _ => None,
        };
    }
    take.iter().map(|(field, at)| Some((field.clone(), answer.pointer(at)?.clone()))).collect()
}

/// Whether a text is a JSON pointer (RFC 6901).
pub(super) fn check_pointer(text: &str) -> Result<(), String> {
    match text.is_empty() || text.starts_with('/') {
        true => Ok(()),
        false => Err(format!("`{text}` is no JSON pointer; it begins with /, as in /data/0/id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(check: RawCheck) -> bool {
        let answer = serde_json::json!({"data": [{"org": 7, "name": "a"}], "total": 2.5});
        let as_of = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date");
        let values = Values {
            org: 7,
            draw: 0,
            turn: 0,
            unique: 0,
            as_of,
            row: None,
            feeders: &[],
            signer: None,
        };
        Check::new(check, Names::default()).expect("a check").holds(&answer, &values)
    }

    #[test]
    fn each_kind_of_check_can_hold_and_fail() {
        let at = |at: &str| RawCheck { at: at.into(), ..RawCheck::default() };
        for (right, wrong) in [
            (
                RawCheck { exists: Some(true), ..at("/total") },
                RawCheck { exists: Some(true), ..at("/sum") },
            ),
            (
                RawCheck { exists: Some(false), ..at("/x") },
                RawCheck { exists: Some(false), ..at("/total") },
            ),
            (
                RawCheck { equals: Some("{{org}}".into()), ..at("/data/0/org") },
                RawCheck { equals: Some("{{org}}".into()), ..at("/data/0/name") },
            ),
            (
                RawCheck { min: Some(2.5), ..at("/total") },
                RawCheck { min: Some(2.6), ..at("/total") },
            ),
            (
                RawCheck { max: Some(1.0), ..at("/data") },
                RawCheck { max: Some(0.0), ..at("/data") },
            ),
            (
                RawCheck { kind: Some(JsonType::Number), ..at("/total") },
                RawCheck { kind: Some(JsonType::Integer), ..at("/total") },
            ),
            (
                RawCheck { count: Some(1), ..at("/data") },
                RawCheck { count: Some(1), ..at("/total") },
            ),
        ] {
            assert!(holds(right.clone()), "{right:?}");
            assert!(!holds(wrong.clone()), "{wrong:?}");
        }
    }

    #[test]
    fn a_row_is_taken_from_where_it_stands() {
        let answer = serde_json::json!({"data": {"id": 5, "day": "x"}});
        let take = vec![("id".to_owned(), "/data/id".to_owned())];
        let row = row(answer.clone(), &take).expect("a row");
        assert_eq!(Value::Object(row), serde_json::json!({"id": 5}));
        assert_eq!(super::row(answer, &[("id".to_owned(), "/id".to_owned())]), None);
    }
}
