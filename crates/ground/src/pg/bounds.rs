//! The bounds of a partition, as `pg_get_expr(relpartbound, oid)` prints them.

/// Which rows a partition takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// Those that no other takes.
    Default,
    /// Those whose hash leaves this remainder.
    Hash {
        /// Divisor.
        modulus: u32,
        /// Remainder.
        remainder: u32,
    },
    /// Those with one of these values, each written as SQL writes it (`NULL` among them).
    List(Vec<String>),
    /// Those from the first, which belongs to it, to the second, which does not.
    Range(Vec<Edge>, Vec<Edge>),
}

/// An end of a range in one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Edge {
    /// No end.
    Open,
    /// A value as SQL writes it.
    At(String),
}

impl Bound {
    /// Reads a bound; `None` for what no version of PostgreSQL that we know prints.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "DEFAULT" {
            return Some(Self::Default);
        }
        let rest = text.strip_prefix("FOR VALUES ")?;
        if let Some(rest) = rest.strip_prefix("IN ") {
            let (values, rest) = values(rest)?;
            return rest.is_empty().then_some(Self::List(values));
        }
        if let Some(rest) = rest.strip_prefix("WITH") {
            let (values, _) = values(rest.trim_start())?;
            let [modulus, remainder] = values.as_slice() else { return None };
            let modulus = modulus.strip_prefix("modulus ")?.parse().ok()?;
            let remainder = remainder.strip_prefix("remainder ")?.parse().ok()?;
            return (modulus > 0).then_some(Self::Hash { modulus, remainder });
        }
        let (from, rest) = values(rest.strip_prefix("FROM ")?)?;
        let (to, rest) = values(rest.strip_prefix(" TO ")?)?;
        let edges = |values: Vec<String>| values.into_iter().map(Edge::read).collect();
        rest.is_empty().then(|| Self::Range(edges(from), edges(to)))
    }
}

impl Edge {
    fn read(value: String) -> Self {
        match value.as_str() {
            "MINVALUE" | "MAXVALUE" => Self::Open,
            _ => Self::At(value),
        }
    }

    /// The value as an expression; NULL if there is no end.
    pub fn sql(&self) -> &str {
        match self {
            Self::Open => "NULL",
            Self::At(value) => value,
        }
    }
}

/// Remainders of the largest modulus that no partition takes, and that modulus.
///
/// PostgreSQL sees to it that each modulus divides the next larger one.
pub fn free_remainders(bounds: &[Bound]) -> (u32, Vec<u32>) {
    let taken: Vec<(u32, u32)> = bounds
        .iter()
        .filter_map(|bound| match bound {
            Bound::Hash { modulus, remainder } => Some((*modulus, *remainder)),
            _ => None,
        })
        .collect();
    let largest = taken.iter().map(|(modulus, _)| *modulus).max().unwrap_or(1);
    let is_free = |value: &u32| !taken.iter().any(|(m, remainder)| value % m == *remainder);
    (largest, (0..largest).filter(is_free).collect())
}

/// The values of a list in parentheses, and what follows it. A quote inside a value is doubled, so
/// that to and fro is right even if a value holds parentheses.
fn values(text: &str) -> Option<(Vec<String>, &str)> {
    let inner = text.strip_prefix('(')?;
    let (mut values, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in inner.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            ',' | ')' if !quoted => {
                values.push(inner[start..at].trim().to_owned());
                start = at + 1;
                if c == ')' {
                    return Some((values, &inner[start..]));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_bound_is_read() {
        let at = |value: &str| Edge::At(value.into());
        let parse = |text| Bound::parse(text).expect("a bound");
        assert_eq!(parse("DEFAULT"), Bound::Default);
        assert_eq!(
            parse("FOR VALUES WITH (modulus 8, remainder 3)"),
            Bound::Hash { modulus: 8, remainder: 3 }
        );
        assert_eq!(
            parse("FOR VALUES IN ('a) TO (''b', NULL, 7)"),
            Bound::List(vec!["'a) TO (''b'".into(), "NULL".into(), "7".into()])
        );
        assert_eq!(
            parse("FOR VALUES FROM (MINVALUE, 'x,y') TO ('2026-02-01', MAXVALUE)"),
            Bound::Range(vec![Edge::Open, at("'x,y'")], vec![at("'2026-02-01'"), Edge::Open])
        );
        assert_eq!(Bound::parse("FOR VALUES FROM (1) TO (2"), None);
        assert_eq!(Bound::parse("FOR VALUES IN ('a'); DROP"), None);
    }

    #[test]
    fn remainders_are_free_until_somebody_takes_them() {
        let hash = |modulus, remainder| Bound::Hash { modulus, remainder };
        assert_eq!(free_remainders(&[hash(2, 0), hash(4, 1)]), (4, vec![3]));
        assert_eq!(free_remainders(&[hash(2, 0), hash(2, 1)]), (2, vec![]));
        assert_eq!(free_remainders(&[]), (1, vec![0]));
    }
}
