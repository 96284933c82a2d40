//! Two answers to one question, field by field. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use cutover_evidence::class::AnswerFault;
use cutover_evidence::ledger::Columns;
use cutover_scenario::Places;

/// Fields of one answer that are told.
const MOST_FIELDS: usize = 20;
/// Characters of a value that is told.
const MOST_CHARACTERS: usize = 200;

/// How two answers differ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    pub what: AnswerFault,
    /// JSON pointers of the fields.
    pub fields: Vec<String>,
    pub legacy: Columns,
    pub partitioned: Columns,
}

/// An answer as it is compared: JSON without known noise, anything else as text.
pub(super) fn readable(body: &[u8], masks: &[Places]) -> Value {
    let text = || Value::String(String::from_utf8_lossy(body).into_owned());
    let mut value = serde_json::from_slice(body).unwrap_or_else(|_| text());
    masks.iter().for_each(|mask| mask.mask(&mut value));
    value
}

/// How the answers differ; `None` if they do not. Numbers are the same only if they are
/// written the same: `100` is not `100.00`.
pub(super) fn compare(legacy: &Value, partitioned: &Value) -> Option<Difference> {
    let mut fields = BTreeMap::new();
    walk(&mut String::new(), Some(legacy), Some(partitioned), &mut fields);
    // The worst of them names the answer.
    let what = fields.values().map(|(what, ..)| *what).max()?;
    let of_class = || fields.iter().filter(|(_, (of, ..))| *of == what).take(MOST_FIELDS);
    let shown = |value: &Option<Value>| value.as_ref().map(short);
    Some(Difference {
        what,
        fields: of_class().map(|(at, _)| at.clone()).collect(),
        legacy: of_class().map(|(at, (_, one, _))| (at.clone(), shown(one))).collect(),
        partitioned: of_class().map(|(at, (_, _, other))| (at.clone(), shown(other))).collect(),
    })
}

type Fields = BTreeMap<String, (AnswerFault, Option<Value>, Option<Value>)>;

fn walk(at: &mut String, legacy: Option<&Value>, partitioned: Option<&Value>, fields: &mut Fields) {
    let class = match (legacy, partitioned) {
        (one, other) if one == other => return,
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let step = name.replace('~', "~0").replace('/', "~1");
                below(at, &step, one.get(name), other.get(name), fields);
            }
            return;
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) if is_reordered(one, other) => {
            AnswerFault::Order
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) if one.len() == other.len() => {
            for (place, (one, other)) in one.iter().zip(other).enumerate() {
                below(at, &place.to_string(), Some(one), Some(other), fields);
            }
            return;
        }
        (Some(Value::Array(_)), Some(Value::Array(_))) => AnswerFault::Shape,
        (Some(one), Some(other)) if is_alike(one, other) => AnswerFault::Value,
        _ => AnswerFault::Shape,
    };
    fields.insert(at.clone(), (class, legacy.cloned(), partitioned.cloned()));
}

fn below(
    at: &mut String,
    step: &str,
    one: Option<&Value>,
    other: Option<&Value>,
    fields: &mut Fields,
) {
    let length = at.len();
    at.push('/');
    at.push_str(step);
    walk(at, one, other, fields);
    at.truncate(length);
}

/// Whether two lists hold the same elements.
fn is_reordered(one: &[Value], other: &[Value]) -> bool {
    let sorted = |list: &[Value]| {
        let mut texts: Vec<String> = list.iter().map(Value::to_string).collect();
        texts.sort_unstable();
        texts
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

/// Whether two scalars are of one type; null goes with any.
fn is_alike(one: &Value, other: &Value) -> bool {
    one.is_null() || other.is_null() || std::mem::discriminant(one) == std::mem::discriminant(other)
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn class(one: &Value, other: &Value) -> Option<(AnswerFault, Vec<String>)> {
        compare(one, other).map(|difference| (difference.what, difference.fields))
    }

    #[test]
    fn what_differs_is_named_with_its_place() {
        let answer = json!({"total": "12.30", "items": [{"id": 1}, {"id": 2}]});
        assert_eq!(class(&answer, &answer.clone()), None);
        for (other, expected, place) in [
            (
                json!({"total": "12.3", "items": [{"id": 1}, {"id": 2}]}),
                AnswerFault::Value,
                "/total",
            ),
            (
                json!({"total": "12.30", "items": [{"id": 2}, {"id": 1}]}),
                AnswerFault::Order,
                "/items",
            ),
            (json!({"total": "12.30", "items": [{"id": 1}]}), AnswerFault::Shape, "/items"),
            (json!({"total": 12.3, "items": [{"id": 1}, {"id": 2}]}), AnswerFault::Shape, "/total"),
            (json!({"items": [{"id": 1}, {"id": 2}]}), AnswerFault::Shape, "/total"),
            (
                json!({"total": "12.30", "items": [{"id": 1}, {"id": 3}]}),
                AnswerFault::Value,
                "/items/1/id",
            ),
            (json!({"total": null, "items": [{"id": 1}, {"id": 2}]}), AnswerFault::Value, "/total"),
        ] {
            assert_eq!(class(&answer, &other), Some((expected, vec![place.into()])), "{other}");
        }
        assert_eq!(
            class(&json!({"n": 100}), &json!({"n": 100.0})).map(|(c, _)| c),
            Some(AnswerFault::Value)
        );
    }

    #[test]
    fn known_noise_is_masked() {
        let masks = [Places::parse("/at").expect("a pointer")];
        let read = |text: &str| readable(text.as_bytes(), &masks);
        assert_eq!(compare(&read("{\"at\":1,\"n\":2}"), &read("{\"at\":5,\"n\":2}")), None);
        assert!(compare(&read("{\"at\":1,\"n\":2}"), &read("{\"at\":1,\"n\":3}")).is_some());
        assert!(compare(&read("plain"), &read("plain text")).is_some());
    }
}
