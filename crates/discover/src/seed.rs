//! The seed profile to start from.

use std::fmt::Write;

use chrono::{Datelike, NaiveDate, Utc};

use super::columns::{Around, Fill, fill, kind};
use super::{Found, Pair, Referred, comment, quoted, written};
use cutover_ground::pg::catalog::Column;

/// Months of history if the partitions do not say.
const MONTHS: i32 = 12;

pub(super) fn text(found: &Found) -> String {
    let mut text = format!(
        "# Synthetic data for the tables of {}, made by `cutover init`.\n\
         # cutover seed --profile-file THIS --orgs 1000; fixtures/finance.seed.toml shows more generators.\n\
         name = \"mine\"\n\n",
        comment(&found.database)
    );
    let whole: Vec<&Pair> =
        found.pairs.iter().filter(|pair| pair.org.is_some() && !pair.key.is_empty()).collect();
    if whole.is_empty() {
        text.push_str(
            "# No pair has both an organisation and a key that were found: name them in cutover.toml,\n\
             # and describe the tables here.\ntables = []\n\n",
        );
    }
    let (months, told) = months(&whole, Utc::now().date_naive());
    let _ = writeln!(text, "[calendar]\n{told}months = {months}\n");
    for referred in found.referred.iter().filter(|_| !whole.is_empty()) {
        text.push_str(&of_referred(referred));
    }
    for pair in &whole {
        text.push_str(&of_pair(pair, whole.len()));
    }
    text
}

/// How many months the partitions hold, so that each date has one; and what is to be said of it.
fn months(pairs: &[&Pair], today: NaiveDate) -> (i32, String) {
    let mut first: Option<NaiveDate> = None;
    let mut last: Option<NaiveDate> = None;
    for pair in pairs {
        if pair.twin.strategy.as_deref() != Some("r") || pair.leaves.iter().any(|l| l.is_default())
        {
            continue;
        }
        let dates = |leaf: &cutover_ground::pg::catalog::Leaf| -> Option<(NaiveDate, NaiveDate)> {
            let mut quoted = leaf.bound.split('\'').skip(1).step_by(2);
            let mut day = || quoted.next()?.get(..10)?.parse().ok();
            Some((day()?, day()?))
        };
        let bounds: Vec<_> = pair.leaves.iter().filter_map(dates).collect();
        let (Some(low), Some(high)) =
            (bounds.iter().map(|b| b.0).min(), bounds.iter().map(|b| b.1).max())
        else {
            continue;
        };
        first = Some(first.map_or(low, |first| first.max(low)));
        last = Some(last.map_or(high, |last| last.min(high)));
    }
    let (Some(first), Some(last)) = (first, last) else { return (MONTHS, String::new()) };
    let until = today.min(last);
    let whole = (until.year() - first.year()) * 12 + until.month() as i32 - first.month() as i32;
    let whole = whole - i32::from(until.day() < first.day());
    let told = match last < today {
        true => format!("# The partitions end at {last}: seed with --as-of {last}.\n"),
        false => format!("# The partitions begin at {first}.\n"),
    };
    (whole.clamp(1, 240), told)
}

fn of_referred(referred: &Referred) -> String {
    let Referred { table, key, unique, choices, foreign_keys } = referred;
    let mut text = format!(
        "[[tables]]\nname = {}\nlegacy = {}\ncolumns = [\n",
        quoted(&table.name.name),
        quoted(&written(&table.name))
    );
    let around = Around { org: Some(key), unique, choices, foreign_keys, ..Around::default() };
    let mut order: Vec<&Column> = table.columns.iter().collect();
    order.sort_by_key(|column| column.name != *key);
    lines(&mut text, &order, around);
    text.push_str("]\n\n");
    text
}

fn of_pair(pair: &Pair, pairs: usize) -> String {
    let date = date_column(pair);
    let mut text = format!(
        "[[tables]]\nname = {}\nlegacy = {}\npartitioned = {}\nshare = {:.3}\ncolumns = [\n",
        quoted(&pair.name),
        quoted(&written(&pair.legacy.name)),
        quoted(&written(&pair.twin.name)),
        1.0 / pairs as f64
    );
    let around = Around {
        org: pair.org.as_deref(),
        key: &pair.key,
        date,
        unique: &pair.unique,
        choices: &pair.choices,
        foreign_keys: &pair.foreign_keys,
        ..Around::default()
    };
    let on_both = |column: &&Column| pair.twin.column(&column.name).is_some();
    let mut order: Vec<&Column> = pair.legacy.columns.iter().filter(on_both).collect();
    // A column may refer to those before it only.
    let later = |name: &str| super::columns::CHANGED.iter().any(|word| name.contains(word));
    order.sort_by_key(|column| {
        let name = column.name.as_str();
        let plays = [pair.org.as_deref() == Some(name), date == Some(name)];
        let created = super::columns::CREATED.iter().any(|word| name.contains(word));
        (!plays[0], !plays[1], !created, later(name))
    });
    lines(&mut text, &order, around);
    for name in pair.only_legacy.iter().chain(&pair.only_twin) {
        let _ = writeln!(text, "    # {} stands on one side only and is left to it", comment(name));
    }
    text.push_str("]\n\n");
    text
}

/// The date by which a row is found: the twin's partition column, else one of the key, else the first.
fn date_column(pair: &Pair) -> Option<&str> {
    let dated = |column: &&Column| {
        matches!(kind(column), Some("date" | "timestamp" | "timestamptz"))
            && pair.twin.column(&column.name).is_some()
            && column.not_null
            && !column.generated
    };
    let dates: Vec<&Column> = pair.legacy.columns.iter().filter(dated).collect();
    let divides = dates.iter().find(|column| pair.twin.partition_columns.contains(&column.name));
    let of_key = || dates.iter().find(|column| pair.key.contains(&column.name));
    let plain = || dates.iter().find(|column| column.type_name == "date");
    let chosen = divides.or_else(of_key).or_else(plain);
    chosen.map(|column| column.name.as_str())
}

fn lines(text: &mut String, columns: &[&Column], mut around: Around<'_>) {
    for column in columns {
        let name = comment(&column.name);
        match fill(column, &around) {
            Fill::By(generator, kind) => {
                let own = quoted(&column.name);
                let _ = writeln!(
                    text,
                    "    {{ name = {own}, type = \"{kind}\", generator = {generator} }},"
                );
                let is_moment = generator.contains("moment =");
                if is_moment && around.moment.is_none() {
                    around.moment = Some(column.name.clone());
                }
                around.numbered |= generator == "\"property\"";
            }
            Fill::Leave(why) => {
                let _ = writeln!(text, "    # {name} is left to its default: {}", comment(&why));
            }
            Fill::Unknown(why) => {
                let _ = writeln!(
                    text,
                    "    # CHECK: {name} is NOT NULL and has no default: {}",
                    comment(&why)
                );
            }
        }
    }
}
