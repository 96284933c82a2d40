//! Names of tables and columns, always quoted before they reach a statement.

use std::fmt;

use cutover_error::{Error, Result};

/// A table's name with its schema, for example `public.revenue_transactions`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QualifiedName {
    /// Schema; `public` if the name came without one.
    pub schema: String,
    /// Table.
    pub name: String,
}

impl QualifiedName {
    /// The name of no table, to be replaced.
    pub(super) fn nowhere() -> Self {
        Self { schema: String::new(), name: String::new() }
    }

    /// Reads `table`, `schema.table`, or either part in double quotes (a quote inside is doubled).
    ///
    /// Parts without quotes are taken as they stand, capitals included, because that is how people
    /// copy them from a catalog.
    ///
    /// # Errors
    /// A usage error if a part is empty, a quote stays open, or there are more than two parts.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::usage(
                format!("table name `{text}`: {why}"),
                "write schema.table; quote a part that holds a dot: \"my.schema\".table",
            )
        };
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    parts.last_mut().expect("never empty").push('"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(String::new()),
                c => parts.last_mut().expect("never empty").push(c),
            }
        }
        if quoted {
            return Err(refuse("a double quote is not closed"));
        }
        if parts.iter().any(String::is_empty) {
            return Err(refuse("a part is empty"));
        }
        match parts.as_slice() {
            [name] => Ok(Self { schema: "public".into(), name: name.clone() }),
            [schema, name] => Ok(Self { schema: schema.clone(), name: name.clone() }),
            _ => Err(refuse("more than two parts")),
        }
    }
}

/// Quoted for use in a statement.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }
}

/// A name in double quotes, quotes inside doubled, so that it can only be a name.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_schema_is_public() {
        let name = QualifiedName::parse("orders").expect("a plain name");
        assert_eq!(name.to_string(), r#""public"."orders""#);
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        let name = QualifiedName::parse(r#"s."x""; DROP TABLE y; --""#).expect("a quoted name");
        assert_eq!(name.name, r#"x"; DROP TABLE y; --"#);
        assert_eq!(name.to_string(), r#""s"."x""; DROP TABLE y; --""#);
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for text in ["", ".", "a.", "a.b.c", "\"a"] {
            assert!(QualifiedName::parse(text).is_err(), "{text}");
        }
    }
}
