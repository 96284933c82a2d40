//! Places in an answer: JSON pointers in which `*` stands for each element of a list or each field of
//! an object.

use serde_json::Value;

use super::answer::check_pointer;

/// A JSON pointer that may hold `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    steps: Vec<String>,
}

impl Places {
    /// Reads a pointer such as `/items/*/orgId`.
    ///
    /// # Errors
    /// If it does not begin with a slash.
    pub fn parse(text: &str) -> Result<Self, String> {
        check_pointer(text)?;
        let step = |step: &str| step.replace("~1", "/").replace("~0", "~");
        Ok(Self { steps: text.split('/').skip(1).map(step).collect() })
    }

    /// What stands there; `None` if a place on the way is missing. A list without elements is none.
    pub fn find<'a>(&self, whole: &'a Value) -> Option<Vec<&'a Value>> {
        let mut found = vec![whole];
        for step in &self.steps {
            let mut next = Vec::with_capacity(found.len());
            for value in found {
                match (value, step.as_str()) {
                    (Value::Array(elements), "*") => next.extend(elements),
                    (Value::Object(fields), "*") => next.extend(fields.values()),
                    (Value::Array(elements), at) => {
                        next.push(elements.get(at.parse::<usize>().ok()?)?)
                    }
                    (Value::Object(fields), name) => next.push(fields.get(name)?),
                    _ => return None,
                }
            }
            found = next;
        }
        Some(found)
    }

    /// Makes what stands there null, so that it is the same in every answer.
    pub fn mask(&self, whole: &mut Value) {
        mask(whole, &self.steps);
    }
}

fn mask(value: &mut Value, steps: &[String]) {
    let Some((step, rest)) = steps.split_first() else {
        *value = Value::Null;
        return;
    };
    match (value, step.as_str()) {
        (Value::Array(elements), "*") => elements.iter_mut().for_each(|e| mask(e, rest)),
        (Value::Object(fields), "*") => fields.values_mut().for_each(|f| mask(f, rest)),
        (Value::Array(elements), at) => {
            if let Some(element) = at.parse().ok().and_then(|at: usize| elements.get_mut(at)) {
                mask(element, rest);
            }
        }
        (Value::Object(fields), name) => {
            if let Some(field) = fields.get_mut(name) {
                mask(field, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_star_is_each_element() {
        let answer = json!({"items": [{"org": 1}, {"org": 2}], "a/b": 3, "none": []});
        let find = |text: &str| {
            let places = Places::parse(text).expect("a pointer");
            places.find(&answer).map(|found| found.into_iter().cloned().collect::<Vec<_>>())
        };
        assert_eq!(find("/items/*/org"), Some(vec![json!(1), json!(2)]));
        assert_eq!(find("/items/1/org"), Some(vec![json!(2)]));
        assert_eq!(find("/a~1b"), Some(vec![json!(3)]));
        assert_eq!(find("/none/*/org"), Some(vec![]));
        assert_eq!(find("/items/*/name"), None);
        assert_eq!(find("/nowhere/*/org"), None);
        assert!(Places::parse("items").is_err());
    }

    #[test]
    fn a_mask_hides_what_stands_there_and_nothing_else() {
        let mut answer = json!({"at": 5, "items": [{"org": 1, "at": 2}]});
        for text in ["/at", "/items/*/at", "/nowhere/x"] {
            Places::parse(text).expect("a pointer").mask(&mut answer);
        }
        assert_eq!(answer, json!({"at": null, "items": [{"org": 1, "at": null}]}));
    }
}
