//! Types that hold less than those of the written side.

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use super::{Sides, sql};
use cutover_error::Result;
use cutover_evidence::finding::Finding;

/// A column's type.
#[derive(Debug, Clone, Deserialize)]
struct Described {
    column: String,
    type_name: String,
    /// `d` a domain, `e` an enumeration.
    kind: String,
    /// What PostgreSQL notes of a length or precision; of a domain, of the type below it.
    modifier: i32,
    /// The type, or the one below a domain.
    base: String,
    /// What a domain asks for.
    domain: String,
    /// What an enumeration holds.
    labels: Vec<String>,
}

/// Types from which each value goes into every later one of its row.
const WIDER: [&[&str]; 3] =
    [&["int2", "int4", "int8", "numeric"], &["float4", "float8"], &["date", "timestamp"]];
/// The header of PostgreSQL's modifiers of texts and numbers.
const HEADER: i32 = 4;

/// Columns of the kept side whose type refuses or shortens what the written side holds.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn check(
    connection: &mut PgConnection,
    sides: &Sides<'_>,
) -> Result<Vec<Finding>> {
    let written: Vec<Described> = sides.ask(connection, sides.written, sql::TYPES).await?;
    let kept: Vec<Described> = sides.ask(connection, sides.kept(), sql::TYPES).await?;
    let mut findings = Vec::new();
    for column in &sides.plan.columns {
        let (here, there) = (column.on(sides.written), column.on(sides.kept()));
        let from = written.iter().find(|one| one.column == here);
        let to = kept.iter().find(|one| one.column == there);
        let (Some(from), Some(to)) = (from, to) else { continue };
        let Some(why) = narrower(from, to) else { continue };
        let [from, to] = [sides.written, sides.kept()].map(|side| &sides.plan.table(side).name);
        let detail = format!(
            "{to}.{there} takes less than {from}.{here}: {why}; a value that is taken there is refused or cut \
             off here; give it the type of {from}.{here}"
        );
        findings.push(sides.stricter(vec![here.to_owned()], detail));
    }
    Ok(findings)
}

/// Why the second type holds less than the first; `None` if it does not.
fn narrower(from: &Described, to: &Described) -> Option<String> {
    if from.kind == "e" && to.kind == "e" {
        let lacks = |label: &&String| !to.labels.contains(label);
        let lacking: Vec<&str> = from.labels.iter().filter(lacks).map(String::as_str).collect();
        let name = &to.type_name;
        return (!lacking.is_empty())
            .then(|| format!("the enumeration {name} has no label {}", lacking.join(", ")));
    }
    if !to.domain.is_empty() && (from.type_name != to.type_name || from.domain != to.domain) {
        return Some(format!("the domain {} asks for {}", to.type_name, to.domain.trim()));
    }
    let Described { modifier, base, .. } = from;
    let Described { modifier: kept_modifier, base: kept_base, .. } = to;
    let width = |base: &str| {
        WIDER.iter().enumerate().find_map(|(row, types)| {
            types.iter().position(|name| *name == base).map(|place| (row, place))
        })
    };
    if let (Some((row, place)), Some((kept_row, kept_place))) = (width(base), width(kept_base))
        && row == kept_row
        && kept_place < place
        && !whole_digits(base, *modifier).is_some_and(|digits| fits(digits, kept_base))
    {
        return Some(format!("{kept_base} is narrower than {base}"));
    }
    let is_text = |base: &str| matches!(base, "varchar" | "bpchar" | "text");
    let limit = |base: &str, modifier: i32| match base {
        _ if is_text(base) && modifier >= HEADER => Some(modifier - HEADER),
        _ => None,
    };
    if is_text(base) && is_text(kept_base) {
        let kept_limit = limit(kept_base, *kept_modifier)?;
        return limit(base, *modifier)
            .is_none_or(|limit| kept_limit < limit)
            .then(|| format!("it holds {kept_limit} characters"));
    }
    if kept_base == "numeric" && *kept_modifier >= HEADER {
        let parts = |modifier: i32| {
            let (precision, scale) = ((modifier - HEADER) >> 16, (modifier - HEADER) & 0x7ff);
            (precision - scale, scale)
        };
        let (digits, scale) = parts(*kept_modifier);
        let enough = match base.as_str() {
            "numeric" if *modifier >= HEADER => {
                let (of_legacy, scale_of_legacy) = parts(*modifier);
                digits >= of_legacy && scale >= scale_of_legacy
            }
            "int2" => digits >= 5,
            "int4" => digits >= 10,
            "int8" => digits >= 19,
            "numeric" => false,
            _ => true,
        };
        return (!enough).then(|| format!("it holds {digits} digits and {scale} decimals"));
    }
    if base == kept_base && base.starts_with("time") && *kept_modifier >= 0 {
        return (*modifier < 0 || kept_modifier < modifier)
            .then(|| format!("it holds {kept_modifier} digits of a second"));
    }
    None
}

/// How many digits a number without decimals has at most; `None` for any other type.
fn whole_digits(base: &str, modifier: i32) -> Option<i32> {
    let digits = (modifier - HEADER) >> 16;
    (base == "numeric" && modifier >= HEADER && (modifier - HEADER) & 0x7ff == 0).then_some(digits)
}

/// Whether a whole number of so many digits fits into a type.
fn fits(digits: i32, base: &str) -> bool {
    match base {
        "int2" => digits <= 4,
        "int4" => digits <= 9,
        "int8" => digits <= 18,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(base: &str, modifier: i32) -> Described {
        Described {
            column: "c".into(),
            type_name: base.into(),
            kind: "b".into(),
            modifier,
            base: base.into(),
            domain: String::new(),
            labels: Vec::new(),
        }
    }

    fn numeric(precision: i32, scale: i32) -> Described {
        of("numeric", ((precision << 16) | scale) + HEADER)
    }

    #[test]
    fn what_holds_less_is_told_and_what_holds_as_much_is_not() {
        for (from, to) in [
            (of("int8", -1), of("int4", -1)),
            (of("numeric", -1), of("int8", -1)),
            (of("text", -1), of("varchar", 20 + HEADER)),
            (of("varchar", 30 + HEADER), of("varchar", 20 + HEADER)),
            (numeric(14, 2), numeric(12, 2)),
            (numeric(16, 4), numeric(14, 2)),
            (of("int8", -1), numeric(12, 0)),
            (of("numeric", -1), numeric(14, 2)),
            (of("timestamptz", -1), of("timestamptz", 0)),
            (of("timestamp", -1), of("date", -1)),
        ] {
            assert!(narrower(&from, &to).is_some(), "{from:?} into {to:?}");
            assert_eq!(narrower(&from, &from), None, "{from:?}");
            assert_eq!(narrower(&to, &from), None, "{to:?} into {from:?}");
        }
    }

    #[test]
    fn a_domain_and_an_enumeration_hold_what_they_name() {
        let money = Described {
            type_name: "money_amount".into(),
            kind: "d".into(),
            domain: "CHECK ((VALUE > 0))".into(),
            ..of("numeric", -1)
        };
        assert!(narrower(&of("numeric", -1), &money).is_some());
        assert_eq!(narrower(&money, &money), None);
        let state = |name: &str, labels: &[&str]| Described {
            kind: "e".into(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            ..of(name, -1)
        };
        let (old, new) = (state("old", &["open", "paid"]), state("new", &["open"]));
        assert!(narrower(&old, &new).is_some_and(|why| why.contains("paid")));
        assert_eq!(narrower(&new, &old), None);
    }
}
