//! Text of others, made harmless before it reaches a terminal, a page or a file that people open.
//!
//! An org may be called anything. It shall not be able to move a cursor, set a title, rearrange a line
//! or write one of its own; and two values that differ only invisibly shall differ visibly.

use std::borrow::Cow;
use std::fmt::Write;

/// Characters of a value that are shown; what a cell holds may be a book.
pub const VALUE_LIMIT: usize = 200;

/// Makes characters visible that would act instead of being read.
///
/// Control characters (line feed and tabulator excepted), characters that turn the direction of
/// writing, and invisible ones become `⟨U+202E⟩`.
pub fn tame(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && !is_layout(c), spelled)
}

/// The same of text that is to stay on one line, whatever is in it.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, acts, spelled)
}

/// A value as it is shown: on one line, and the rest cut off where it is long.
pub fn value(text: &str) -> String {
    line(&clip(text, VALUE_LIMIT)).into_owned()
}

/// JSON that says the same with those characters spelled out, as JSON spells them.
pub fn json(text: &str) -> Cow<'_, str> {
    // What stands between the strings is white space, which means nothing else.
    escaped(
        text,
        |c| acts(c) && !is_layout(c),
        |to, c| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(to, "\\u{unit:04x}");
            }
        },
    )
}

/// At most `limit` characters of a text, with a remark about the rest.
pub fn clip(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let whole = text.chars().count();
            Cow::Owned(format!("{}… ({whole} characters)", &text[..end]))
        }
    }
}

fn escaped(
    text: &str,
    is_meant: impl Fn(char) -> bool,
    spell: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.chars().any(&is_meant) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_meant(c) { spell(&mut tamed, c) } else { tamed.push(c) }
    }
    Cow::Owned(tamed)
}

fn spelled(to: &mut String, c: char) {
    let _ = write!(to, "⟨U+{:04X}⟩", u32::from(c));
}

fn is_layout(c: char) -> bool {
    c == '\n' || c == '\t'
}

/// Whether a character does something instead of showing something.
fn acts(c: char) -> bool {
    match c {
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        // The last two of each plane are no characters, and XML forbids the first such pair.
        _ => c.is_control() || u32::from(c) & 0xfffe == 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_becomes_visible_and_what_shows_stays() {
        assert_eq!(tame("Grüße, 株式会社"), "Grüße, 株式会社");
        assert_eq!(tame("a\u{202e}b\u{1b}[31m\0"), "a⟨U+202E⟩b⟨U+001B⟩[31m⟨U+0000⟩");
        assert_eq!(tame("two\nlines\r"), "two\nlines⟨U+000D⟩");
        assert_eq!(tame("\u{ffff}\u{1fffe}"), "⟨U+FFFF⟩⟨U+1FFFE⟩");
        // C1: a terminal takes U+009B for the beginning of a control sequence.
        assert_eq!(tame("\u{9b}2J\u{7f}"), "⟨U+009B⟩2J⟨U+007F⟩");
        assert_eq!(line("1\n2\t3"), "1⟨U+000A⟩2⟨U+0009⟩3");
    }

    #[test]
    fn a_value_stays_on_its_line_and_short() {
        assert_eq!(value("a\nGO: proceed"), "a⟨U+000A⟩GO: proceed");
        let long = value(&"ä".repeat(201));
        assert_eq!(long, format!("{}… (201 characters)", "ä".repeat(200)));
        assert_eq!(value(&"ä".repeat(200)), "ä".repeat(200));
    }

    #[test]
    fn json_says_the_same_and_shows_it() {
        let json = json("{\n\"a\": \"\u{9b}\u{7f}\u{202e}\u{e0041}ä\"\n}");
        assert_eq!(json, "{\n\"a\": \"\\u009b\\u007f\\u202e\\udb40\\udc41ä\"\n}");
    }
}
