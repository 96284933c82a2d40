//! Lines of the `test_decoding` plug-in, taken apart.

/// One line.
#[derive(Debug, PartialEq)]
pub(super) enum Line<'l> {
    Begin,
    /// A transaction ends, with its number and the time of its commit.
    Commit {
        xid: &'l str,
        at: &'l str,
    },
    /// A row was written or deleted in a table, which grew by so many rows.
    Change {
        table: &'l str,
        growth: i64,
        old: Option<Vec<Field<'l>>>,
        new: Option<Vec<Field<'l>>>,
    },
    /// Tables were emptied.
    Truncate {
        tables: Vec<&'l str>,
    },
}

/// A column with its value as the log prints it, quotes included, so that `null` and `'null'` differ.
#[derive(Debug, PartialEq)]
pub(super) struct Field<'l> {
    /// Without quotes unless it needs them.
    pub(super) name: &'l str,
    pub(super) value: &'l str,
}

/// Reads a line; `None` for one that is not of this form.
pub(super) fn line(text: &str) -> Option<Line<'_>> {
    if text.split(' ').next() == Some("BEGIN") {
        return Some(Line::Begin);
    }
    if let Some(rest) = text.strip_prefix("COMMIT ") {
        let (xid, at) = rest.split_once(" (at ")?;
        return Some(Line::Commit { xid, at: at.strip_suffix(')')? });
    }
    let rest = text.strip_prefix("table ")?;
    let end = unquoted(rest, '"', ": ")?;
    let (names, rest) = (&rest[..end], &rest[end + 2..]);
    if rest.starts_with("TRUNCATE: ") {
        let mut tables = Vec::new();
        let mut names = names;
        while let Some(at) = unquoted(names, '"', ", ") {
            tables.push(&names[..at]);
            names = &names[at + 2..];
        }
        tables.push(names);
        return Some(Line::Truncate { tables });
    }
    let (growth, old, new) = if let Some(row) = rest.strip_prefix("INSERT: ") {
        (1, None, Some(fields(row)?.0))
    } else if let Some(row) = rest.strip_prefix("DELETE: ") {
        (-1, Some(fields(row)?.0), None)
    } else {
        let row = rest.strip_prefix("UPDATE: ")?;
        match row.strip_prefix("old-key: ") {
            None => (0, None, Some(fields(row)?.0)),
            Some(row) => {
                let (old, rest) = fields(row)?;
                (0, Some(old), Some(fields(rest.strip_prefix("new-tuple: ")?)?.0))
            }
        }
    };
    Some(Line::Change { table: names, growth, old, new })
}

/// Fields until the end or a word that is none; and what is left.
fn fields(mut text: &str) -> Option<(Vec<Field<'_>>, &str)> {
    let mut found = Vec::new();
    if text.starts_with('(') {
        // "(no-tuple-data)": the log keeps nothing of the row.
        return Some((found, ""));
    }
    while !text.is_empty() && !text.starts_with("new-tuple: ") {
        let end = unquoted(text, '"', "[")?;
        let name = &text[..end];
        let value_at = end + text[end..].find("]:")? + 2;
        let rest = &text[value_at..];
        let length = unquoted(rest, '\'', " ").unwrap_or(rest.len());
        found.push(Field { name, value: &rest[..length] });
        text = rest[length..].strip_prefix(' ').unwrap_or("");
    }
    Some((found, text))
}

/// Where `wanted` first stands outside of quotes. A quote inside quotes is doubled, so that it
/// opens them again at once.
fn unquoted(text: &str, quote: char, wanted: &str) -> Option<usize> {
    let mut inside = false;
    text.char_indices().find_map(|(at, c)| {
        inside ^= c == quote;
        (!inside && text[at..].starts_with(wanted)).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<'l>(name: &'l str, value: &'l str) -> Field<'l> {
        Field { name, value }
    }

    #[test]
    fn lines_of_every_kind_are_read() {
        assert_eq!(line("BEGIN 731"), Some(Line::Begin));
        let at = "2026-01-01 10:00:00.1+00";
        assert_eq!(line(&format!("COMMIT 731 (at {at})")), Some(Line::Commit { xid: "731", at }));
        let insert =
            "table public.\"o: d\": INSERT: id[integer]:1 \"a [b\"[text[]]:'{x y,''}' c[text]:null";
        assert_eq!(
            line(insert),
            Some(Line::Change {
                table: "public.\"o: d\"",
                growth: 1,
                old: None,
                new: Some(vec![
                    field("id", "1"),
                    field("\"a [b\"", "'{x y,''}'"),
                    field("c", "null")
                ]),
            })
        );
        let update = "table p.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 d[text]:'new-tuple: x'";
        assert_eq!(
            line(update),
            Some(Line::Change {
                table: "p.t",
                growth: 0,
                old: Some(vec![field("id", "1")]),
                new: Some(vec![field("id", "2"), field("d", "'new-tuple: x'")]),
            })
        );
        assert_eq!(
            line("table p.t: DELETE: (no-tuple-data)"),
            Some(Line::Change { table: "p.t", growth: -1, old: Some(vec![]), new: None })
        );
        assert_eq!(
            line("table p.t, p.u: TRUNCATE: (no-flags)"),
            Some(Line::Truncate { tables: vec!["p.t", "p.u"] })
        );
        assert_eq!(line("what is this"), None);
    }
}
