//! How a column is best filled, by its type, its name and the part it plays.

use super::quoted;
use cutover_ground::pg::catalog::{Choices, Column, ForeignKey};

/// What is decided about a column.
pub(super) enum Fill {
    /// By this generator, as TOML, for this type of a seed profile.
    By(String, &'static str),
    /// Not at all: why.
    Leave(String),
    /// It has to be filled, and nothing of ours fits.
    Unknown(String),
}

/// What is known of the row around a column.
#[derive(Default)]
pub(super) struct Around<'a> {
    pub org: Option<&'a str>,
    pub key: &'a [String],
    /// The column of type date or timestamp whose days are drawn by season.
    pub date: Option<&'a str>,
    /// A moment that stands before and is never NULL.
    pub moment: Option<String>,
    /// Columns that are unique by themselves.
    pub unique: &'a [String],
    pub choices: &'a [Choices],
    pub foreign_keys: &'a [ForeignKey],
    /// Whether an integer of the natural key has its part already.
    pub numbered: bool,
}

/// Whether a name holds one of these words.
fn says(name: &str, words: &[&str]) -> bool {
    let name = name.to_lowercase();
    words.iter().any(|word| name.contains(word))
}

const MONEY: [&str; 12] = [
    "amount", "price", "total", "cents", "cost", "fee", "balance", "minor", "gross", "net",
    "opening", "closing",
];
const PLACES: [&str; 7] = ["property", "location", "outlet", "store", "site", "branch", "room"];
const PEOPLE: [&str; 5] = ["customer", "guest", "person", "contact", "full_name"];
const FIRMS: [&str; 6] = ["company", "vendor", "supplier", "merchant", "title", "name"];
/// Words of columns that say when a row came to be.
pub(super) const CREATED: [&str; 4] = ["created", "inserted", "booked", "occurred"];
/// Words of columns that say when a row was last changed.
pub(super) const CHANGED: [&str; 4] = ["updated", "modified", "changed", "touched"];

/// A seed profile's name of a column's type; `None` if it knows none.
pub(super) fn kind(column: &Column) -> Option<&'static str> {
    let base = column.type_name.split('(').next().unwrap_or_default().trim();
    Some(match base {
        "smallint" => "smallint",
        "integer" => "integer",
        "bigint" => "bigint",
        "numeric" => "numeric",
        "double precision" => "double",
        "boolean" => "boolean",
        "text" | "character varying" | "character" | "citext" => "text",
        "date" => "date",
        "json" => "json",
        "jsonb" => "jsonb",
        "uuid" => "uuid",
        // A precision stands in the middle: timestamp(3) without time zone.
        _ if column.type_name.starts_with("timestamp") => {
            match column.type_name.contains("with time") {
                true => "timestamptz",
                false => "timestamp",
            }
        }
        _ => return None,
    })
}

/// The numbers within the brackets of a type: `numeric(12,2)` → 12, 2.
fn modifier(column: &Column) -> Vec<u32> {
    let inner = column.type_name.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let numbers =
        inner.map(|(numbers, _)| numbers.split(',').filter_map(|n| n.trim().parse().ok()));
    numbers.map(Iterator::collect).unwrap_or_default()
}

pub(super) fn fill(column: &Column, around: &Around<'_>) -> Fill {
    let name = column.name.as_str();
    if column.generated {
        return Fill::Leave("computed by the database".into());
    }
    let by_itself = column.default_value.is_some() || column.identity || !column.not_null;
    let in_key = around.key.iter().any(|key| key == name);
    let allowed = around.choices.iter().find(|choices| choices.column == name);
    let label = allowed.and_then(first_choice);
    let Some(kind) = kind(column).or(label.as_ref().map(|_| "text")) else {
        let why = format!("the seed has no generator for {}", column.type_name);
        return if by_itself { Fill::Leave(why) } else { Fill::Unknown(why) };
    };
    if around.org == Some(name) {
        return Fill::By("\"org\"".into(), kind);
    }
    if in_key {
        return in_a_key(column, kind, around);
    }
    if let Some(key) = around.foreign_keys.iter().find(|key| key.columns.iter().any(|c| c == name))
    {
        let why = format!("refers to {}.{}", key.schema, key.name);
        return if by_itself { Fill::Leave(why) } else { Fill::Unknown(why) };
    }
    if let Some(label) = label {
        return Fill::By(format!("{{ constant = {} }}", quoted(&label)), kind);
    }
    if around.unique.iter().any(|unique| unique == name) {
        match kind {
            "integer" => return Fill::By("{ sequence = { stride = 1024 } }".into(), kind),
            "bigint" | "numeric" | "uuid" => return Fill::By("{ sequence = {} }".into(), kind),
            "text" => {
                let label = format!("{{ label = {{ prefix = {} }} }}", quoted(&prefix(name)));
                return Fill::By(label, kind);
            }
            _ => {}
        }
    }
    by_type(column, kind, around)
}

/// The first text that an enumeration or a CHECK allows.
fn first_choice(choices: &Choices) -> Option<String> {
    if let Some(label) = choices.labels.first() {
        return Some(label.clone());
    }
    let condition =
        choices.condition.as_ref().filter(|c| c.contains("ANY") || c.contains("= '"))?;
    let (_, rest) = condition.split_once('\'')?;
    rest.split_once('\'').map(|(text, _)| text.to_owned())
}

fn in_a_key(column: &Column, kind: &'static str, around: &Around<'_>) -> Fill {
    let single = around.key.iter().filter(|key| around.org != Some(key.as_str())).count() == 1;
    let dated = around.date.is_some_and(|date| around.key.iter().any(|key| key == date));
    let generator = match kind {
        "date" | "timestamp" | "timestamptz" if around.date == Some(column.name.as_str()) => {
            // Each row of a place has a day of its own, so the key is unique by construction.
            if single || dated { "\"daily_date\"" } else { "\"date\"" }.to_owned()
        }
        "smallint" | "integer" | "bigint" if dated && !around.numbered => "\"property\"".to_owned(),
        "integer" => "{ sequence = { stride = 1024 } }".to_owned(),
        "bigint" | "numeric" | "uuid" => "{ sequence = {} }".to_owned(),
        "text" => format!("{{ label = {{ prefix = {} }} }}", quoted(&prefix(&column.name))),
        _ => {
            return Fill::Unknown(format!("part of the key, of type {}", column.type_name));
        }
    };
    Fill::By(generator, kind)
}

fn prefix(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).take(6).collect()
}

fn by_type(column: &Column, kind: &'static str, around: &Around<'_>) -> Fill {
    let name = column.name.as_str();
    let generator = match kind {
        "date" | "timestamp" | "timestamptz" => moment(name, around),
        "numeric" => decimal(column),
        "integer" | "bigint" if says(name, &MONEY) => {
            "{ money = { percentiles = [\"0.00\", \"18.50\", \"240.00\", \"4800.00\"] } }".into()
        }
        "smallint" | "integer" | "bigint" if says(name, &PLACES) => "\"property\"".into(),
        "smallint" | "integer" | "bigint" | "double" => "{ int = { min = 0, max = 1000 } }".into(),
        "boolean" => "{ constant = \"false\" }".into(),
        "json" | "jsonb" => "{ constant = '{\"source\":\"cutover\"}' }".into(),
        "uuid" => "{ sequence = {} }".into(),
        _ => text(column),
    };
    Fill::By(generator, kind)
}

fn moment(name: &str, around: &Around<'_>) -> String {
    match (around.date, &around.moment) {
        (Some(date), _) if date == name => "\"date\"".into(),
        (_, Some(earlier)) if says(name, &CHANGED) => {
            format!("{{ later = {{ than = {}, share = 0.2, days = 45 }} }}", quoted(earlier))
        }
        (Some(date), _) => format!("{{ moment = {{ on = {} }} }}", quoted(date)),
        (None, _) => "{ moment = { years = 1 } }".into(),
    }
}

fn decimal(column: &Column) -> String {
    let (digits, scale) = match modifier(column).as_slice() {
        [digits, scale] => (*digits, *scale),
        [digits] => (*digits, 0),
        _ => (18, 2),
    };
    let point = |whole: &str| match scale {
        0 => whole.to_owned(),
        scale => format!("{whole}.{}", "0".repeat(scale.min(8) as usize)),
    };
    if digits.saturating_sub(scale) >= 4 && says(&column.name, &MONEY) && scale <= 8 {
        let percentiles = ["0", "18", "240", "4800"].map(|whole| quoted(&point(whole))).join(", ");
        return format!("{{ money = {{ percentiles = [{percentiles}], scale = {scale} }} }}");
    }
    let most = if digits > scale { point("9") } else { point("0") };
    format!("{{ decimal = {{ min = {}, max = {} }} }}", quoted(&point("0")), quoted(&most))
}

fn text(column: &Column) -> String {
    let most = modifier(column).first().copied();
    let exact = column.type_name.starts_with("character(");
    if exact || most.is_some_and(|most| most < 24) {
        let most = most.unwrap_or(1) as usize;
        let fits = if most == 3 { "EUR".to_owned() } else { "x".repeat(most.min(3)) };
        return format!("{{ constant = {} }}", quoted(&fits));
    }
    let roomy = most.is_none_or(|most| most >= 120);
    if roomy && says(&column.name, &PEOPLE) {
        return "{ fake = { kind = \"person\" } }".into();
    }
    if roomy && says(&column.name, &FIRMS) {
        return "{ fake = { kind = \"company\" } }".into();
    }
    format!("{{ label = {{ prefix = {} }} }}", quoted(&prefix(&column.name)))
}
