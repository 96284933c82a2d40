//! Text with blanks: `/finance/revenue?orgId={{org}}&date={{date:-30..0}}`.
//!
//! Blanks are filled from the arrival's org and its own random bits, so the two windows of a pair
//! ask exactly the same. A blank that takes a range is written `{{name:low..high}}`, both ends
//! included. What a blank holds is escaped for the place where it stands.

use chrono::NaiveDate;
use serde_json::Value;

use super::blank::{Blank, Names};
use super::feeder::Feeder;
use super::token::Signer;

/// A row of the target that an earlier answer told us of: the answer's JSON object.
pub type Row = serde_json::Map<String, Value>;

/// A compiled template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Blank(Blank, Escape),
}

/// How the value of a blank is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// As it is.
    Plain,
    /// Percent-encoded.
    Url,
    /// Within the quotes of a JSON text.
    JsonText,
    /// As a JSON value of its own.
    JsonValue,
}

/// If a template stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Plain,
    Url,
    Json,
}

/// What blanks are filled with.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The org of the arrival.
    pub org: u64,
    /// The arrival's random bits.
    pub draw: u64,
    /// The arrival's number among those that differ.
    pub turn: u64,
    /// A number no other request of the run has.
    pub unique: u64,
    /// The day the calendar of the data is anchored to.
    pub as_of: NaiveDate,
    /// The row the operation works on.
    pub row: Option<&'a Row>,
    /// The scenario's feeders.
    pub feeders: &'a [Feeder],
    /// The scenario's signer of tokens.
    pub signer: Option<&'a Signer>,
}

impl Template {
    /// Compiles a template; the error says which blank is wrong and which there are.
    pub(super) fn compile(text: &str, place: Place, names: Names<'_>) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut quoted = false;
        let mut rest = text;
        while let Some(open) = rest.find("{{") {
            let before = &rest[..open];
            quoted = ends_quoted(before, quoted);
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let close = rest[open..]
                .find("}}")
                .ok_or_else(|| format!("`{}`: the blank is not closed with }}}}", &rest[open..]))?;
            let blank = Blank::parse(rest[open + 2..open + close].trim(), names)?;
            let escape = match place {
                Place::Json if quoted => Escape::JsonText,
                Place::Json => Escape::JsonValue,
                // What we write ourselves holds no character that would need it.
                Place::Url if blank.is_foreign() => Escape::Url,
                Place::Url | Place::Plain => Escape::Plain,
            };
            parts.push(Part::Blank(blank, escape));
            rest = &rest[open + close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self { parts })
    }

    /// Whether a blank needs a row.
    pub fn needs_row(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Blank(Blank::RowField(_), _)))
    }

    /// The text of a template without blanks.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Adds another template's parts.
    pub(super) fn append(&mut self, text: &str, other: Self) {
        self.parts.push(Part::Text(text.into()));
        self.parts.extend(other.parts);
    }

    /// Fills the blanks.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut out = String::with_capacity(192);
        self.fill_into(&mut out, values);
        out
    }

    /// Fills the blanks, after what `out` holds already.
    pub fn fill_into(&self, out: &mut String, values: &Values<'_>) {
        let mut bits = values.draw;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Blank(blank, Escape::Plain) => blank.write(out, values, &mut bits),
                Part::Blank(blank, Escape::JsonValue) => blank.write_json(out, values, &mut bits),
                Part::Blank(blank, escape @ (Escape::Url | Escape::JsonText)) => {
                    let start = out.len();
                    blank.write(out, values, &mut bits);
                    let text = out.split_off(start);
                    match escape {
                        Escape::Url => url_encode(out, &text),
                        _ => json_escape(out, &text),
                    }
                }
            }
        }
    }
}

/// Whether the end of `text` lies within the quotes of a JSON text.
fn ends_quoted(text: &str, mut quoted: bool) -> bool {
    let mut escaped = false;
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    quoted
}

/// Percent-encodes all but what a segment of a path may hold as it is.
pub(super) fn encode_segment(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '!' | '$' | '&' | '\'' | '(' | ')' | '*' | '+' | ',' | '=' | ':' | '@' => {
                out.push(character);
            }
            other => url_encode(out, other.encode_utf8(&mut [0; 4])),
        }
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
pub(super) fn url_encode(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn json_escape(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push_str(text);
        return;
    }
    let quoted = Value::String(text.into()).to_string();
    out.push_str(&quoted[1..quoted.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(draw: u64) -> Values<'static> {
        let as_of = NaiveDate::from_ymd_opt(2026, 3, 31).expect("a date");
        Values { org: 7, draw, turn: 0, unique: 255, as_of, row: None, feeders: &[], signer: None }
    }

    fn compile(text: &str, place: Place) -> Result<Template, String> {
        Template::compile(text, place, Names::default())
    }

    #[test]
    fn blanks_are_filled() {
        let text = "/x?o={{org}}&m={{ month:-1..-1 }}&y={{year}}&u={{unique}}";
        let template = compile(text, Place::Url).expect("a template");
        assert_eq!(template.fill(&values(1)), "/x?o=7&m=2026-02&y=2026&u=00000000000000ff");
    }

    #[test]
    fn the_same_draw_gives_the_same_text_and_another_draw_another() {
        let template = compile("{{date:-600..0}} {{amount}} {{int}}", Place::Plain).expect("ok");
        assert_eq!(template.fill(&values(5)), template.fill(&values(5)));
        assert_ne!(template.fill(&values(5)), template.fill(&values(6)));
    }

    #[test]
    fn a_range_holds_both_ends() {
        let template = compile("{{int:1..3}}", Place::Plain).expect("ok");
        let seen: std::collections::BTreeSet<String> =
            (0..200).map(|draw| template.fill(&values(draw))).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn a_choice_follows_its_weights_and_is_escaped() {
        let template = compile("/x?kind={{choice:a|b&c*3}}", Place::Url).expect("ok");
        let drawn: Vec<String> = (0..4000).map(|draw| template.fill(&values(draw))).collect();
        let of = |text: &str| drawn.iter().filter(|drawn| *drawn == text).count();
        assert_eq!(of("/x?kind=a") + of("/x?kind=b%26c"), 4000);
        // A quarter of 4000 has a standard deviation of 27.
        assert!(of("/x?kind=a").abs_diff(1000) < 4 * 27, "{}", of("/x?kind=a"));
        for bad in ["{{choice:a*0}}", "{{choice:a*x}}", "{{choice:a*9999999}}"] {
            assert!(compile(bad, Place::Plain).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_escaped_for_where_they_stand() {
        let row = serde_json::json!({"note": "a \"b\"\\ &ü\n", "id": 5, "day": null});
        let row = row.as_object().expect("an object");
        let fill = |text, place| {
            let values = Values { row: Some(row), ..values(1) };
            compile(text, place).expect("a template").fill(&values)
        };
        assert_eq!(
            fill("/x/{{row.id}}?n={{row.note}}", Place::Url),
            "/x/5?n=a%20%22b%22%5C%20%26%C3%BC%0A"
        );
        let body = r#"{"id":{{row.id}},"at":"{{row.note}}","n":{{row.note}},"d":{{row.day}},"o":{{org}},"m":{{date:0..0}}}"#;
        let body: Value = serde_json::from_str(&fill(body, Place::Json)).expect("JSON");
        let note = "a \"b\"\\ &ü\n";
        let expected = serde_json::json!(
            {"id": 5, "at": note, "n": note, "d": null, "o": 7, "m": "2026-03-31"});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_is_not_a_blank_is_refused() {
        for text in [
            "{{org",
            "{{orgs}}",
            "{{org:1..2}}",
            "{{int:3..1}}",
            "{{int:x}}",
            "{{row.}}",
            "{{token}}",
            "{{feed.x.y}}",
        ] {
            assert!(compile(text, Place::Plain).is_err(), "{text}");
        }
    }
}
