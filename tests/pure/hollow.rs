//! A record that is signed anew after a part of it was taken away or made up is no GO, unless the part decides
//! nothing: `tests/fixtures/judged/stays_go.txt` lists those parts. A line more there wants a reason: what
//! is shown only, what a folder's digests guard, what older records lack, or one of several.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cutover::evidence::run_record::RunRecord;
use cutover::evidence::verdict::Decision;
use cutover::gate;
use serde_json::{Value, json};

use crate::judged;

fn paths(value: &Value, at: &str, all: &mut Vec<String>) {
    if !at.is_empty() {
        all.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                paths(field, &format!("{at}/{name}"), all);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate().take(2) {
                paths(element, &format!("{at}/{index}"), all);
            }
        }
        _ => {}
    }
}

/// The record without the part, or with another value in its place.
fn changed(good: &Value, path: &str, value: Option<&Value>) -> Value {
    let mut record = good.clone();
    if let Some(value) = value {
        *record.pointer_mut(path).expect("it was there") = value.clone();
        return record;
    }
    let (parent, name) = path.rsplit_once('/').expect("every path has one");
    match record.pointer_mut(parent).expect("it was there") {
        Value::Object(fields) => {
            fields.shift_remove(&name.replace("~1", "/").replace("~0", "~"));
        }
        Value::Array(elements) => {
            elements.remove(name.parse().expect("an index"));
        }
        other => panic!("{other} has no parts"),
    }
    record
}

/// `None` if it cannot be read: that is no GO either.
fn decision(record: Value) -> Option<Decision> {
    let mut record: RunRecord = serde_json::from_value(record).ok()?;
    gate::judge(&mut record);
    Some(record.verdict.decision)
}

/// Names of operations and numbers of elements aside, so that a line stands for its like.
fn kind_of(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    for at in 1..parts.len() {
        let named = ["operations", "org_sizes", "errors_by_kind", "waits"].contains(&parts[at - 1]);
        if named || parts[at].bytes().all(|byte| byte.is_ascii_digit()) {
            parts[at] = "*";
        }
    }
    parts.join("/")
}

#[test]
fn no_part_of_a_go_can_be_left_out_unseen() {
    let below = tempfile::tempdir().expect("a temporary folder");
    let good = judged::record(&judged::folder_of("go.tar.gz", below.path()));
    assert_eq!(decision(good.clone()), Some(Decision::Go));
    let mut all = Vec::new();
    paths(&good, "", &mut all);
    // Both are made anew by whoever judges.
    all.retain(|path| !["/criteria", "/verdict"].iter().any(|made| path.starts_with(made)));
    let mut stays: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for path in &all {
        let there = good.pointer(path).expect("it is one of its parts");
        let empty = match there {
            Value::Object(_) => json!({}),
            Value::Array(_) => json!([]),
            _ => json!(""),
        };
        let changes = [
            ("deleted", None),
            ("null", Some(Value::Null)),
            ("0", Some(json!(0))),
            ("huge", Some(json!(u64::MAX / 2))),
            ("negative", Some(json!(-1))),
            ("empty", Some(empty)),
        ];
        for (name, value) in changes {
            let same = value.as_ref() == Some(there);
            if !same && decision(changed(&good, path, value.as_ref())) == Some(Decision::Go) {
                stays.entry(kind_of(path)).or_default().insert(name);
            }
        }
    }
    let lines = stays.iter().map(|(path, changes)| {
        let changes: Vec<&str> = changes.iter().copied().collect();
        format!("{path}: {}\n", changes.join(", "))
    });
    let found: String = lines.collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/judged/stays_go.txt");
    if std::env::var_os("CUTOVER_WRITE_STAYS_GO").is_some() {
        std::fs::write(&file, &found).expect("written");
    }
    let known = std::fs::read_to_string(&file).expect("the list");
    assert_eq!(found, known, "see the head of this file");
}
