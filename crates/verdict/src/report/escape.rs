//! Foreign text in Markdown.

use std::fmt::Write;

use super::text::{self, tame};

/// Characters of one foreign text.
const TEXT_LIMIT: usize = 300;

/// Foreign text as text on one line: nothing in it makes a cell, a tag, a link or a mention.
pub(super) fn escape(foreign: &str) -> String {
    let mut out = String::new();
    for c in tame(&text::clip(foreign, TEXT_LIMIT)).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '#' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            // A joiner without width keeps a mention from notifying, an address from being linked.
            '@' => out.push_str("@\u{2060}"),
            ':' if out.ends_with("http") || out.ends_with("https") => out.push_str(":\u{2060}"),
            '.' if out.to_ascii_lowercase().ends_with("www") => out.push_str(".\u{2060}"),
            _ => out.push(c),
        }
    }
    out
}

/// Foreign text as code on one line, if nothing is interpreted at all.
pub(super) fn code(foreign: &str) -> String {
    let mut out = String::from("<code>");
    for c in tame(&text::clip(foreign, TEXT_LIMIT)).chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            c if c.is_ascii_alphanumeric() || c == ' ' || c == '-' || !c.is_ascii() => out.push(c),
            c => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out.push_str("</code>");
    out
}
