//! The `cutover.toml` to start from.

use std::fmt::Write;

use super::{Found, Pair, comment, list, quoted, written};
use cutover_evidence::side::Side;

/// Names of columns that findings had better not show.
const PRIVATE: [&str; 9] =
    ["email", "phone", "iban", "card_number", "passport", "ssn", "tax_id", "password", "birth"];

pub(super) fn text(found: &Found) -> String {
    let mut text = format!(
        "# cutover: made by `cutover init` of {}. Look at each line that says CHECK.\n\
         # The password never stands here: CUTOVER_DATABASE_URL, or [database] with password_env or password_file.\n\n\
         # CHECK: where the platform answers.\n\
         # base_url = \"http://127.0.0.1:4000\"\n\n",
        comment(&found.database)
    );
    for pair in found.pairs.iter().chain(&found.untied) {
        text.push_str(&of_pair(pair));
    }
    if found.pairs.is_empty() {
        text.push_str(
            "# No table pair was found that triggers tie. Describe yours, each like this:\n\
             # [[tables]]\n# name = \"orders\"\n# legacy = \"public.orders\"\n\
             # partitioned = \"public.orders_partitioned\"\n# org = \"org_id\"\n# key = [\"id\"]\n\
             # sync = \"trigger\"    # what carries writes across: trigger, application, replication, none\n\n",
        );
    }
    for why in &found.alone {
        let _ = writeln!(text, "# {}", comment(why));
    }
    text.push_str(FURTHER_SECTIONS);
    text
}

fn of_pair(pair: &Pair) -> String {
    let mut text = String::new();
    let mut say = |line: String| text.push_str(&(line + "\n"));
    say(format!(
        "# {} is divided by {}.",
        comment(&written(&pair.twin.name)),
        comment(&pair.divided())
    ));
    // A pair that cannot be described whole stays a comment, half of it would be refused; and so does one
    // that is not proven.
    let whole = !pair.key.is_empty();
    let off = if whole && pair.untied.is_none() { "" } else { "# " };
    if let Some(why) = &pair.untied {
        say(format!("# CHECK: not a pair unless you know better: {}.", comment(why)));
    } else if !whole {
        say("# CHECK: a unique key was not found; complete these lines and remove their `# `."
            .into());
    }
    say(format!("{off}[[tables]]"));
    say(format!("{off}name = {}", quoted(&pair.name)));
    say(format!("{off}legacy = {}", quoted(&written(&pair.legacy.name))));
    say(format!("{off}partitioned = {}", quoted(&written(&pair.twin.name))));
    org(pair, off, &mut say);
    say(format!("{off}key = {}", list(&pair.key)));
    match pair.writes {
        // The usual case need not be said.
        Some(Side::Legacy) => {}
        Some(Side::Partitioned) => {
            say("# A trigger of the partitioned side keeps the other one: it is the one that is written to.".into());
            say(format!("{off}writes = \"partitioned\""));
        }
        None if pair.untied.is_some() => {}
        None => {
            say(format!("# CHECK: {}: writes = \"legacy\" or \"partitioned\".", pair.written_to()))
        }
    }
    if !pair.ignore.is_empty() {
        say("# The side that is carried to numbers its rows by these itself.".into());
        say(format!("{off}ignore = {}", list(&pair.ignore)));
    }
    differences(pair, &mut say);
    let changed = pair.legacy.columns.iter().find(|column| {
        column.type_name.starts_with("timestamp")
            && super::columns::CHANGED.iter().any(|word| column.name.contains(word))
            && pair.twin.column(&column.name).is_some()
    });
    if let Some(column) = changed {
        say(format!("{off}changed_at = {}", quoted(&column.name)));
    }
    let private: Vec<String> = pair
        .legacy
        .columns
        .iter()
        .map(|column| column.name.clone())
        .filter(|name| PRIVATE.iter().any(|word| name.to_lowercase().contains(word)))
        .filter(|name| !pair.key.contains(name) && pair.org.as_ref() != Some(name))
        .collect();
    if !private.is_empty() {
        say("# Values that no finding shows.".into());
        say(format!("{off}secret = {}", list(&private)));
    }
    trigger(pair, off, &mut say);
    if let Some(org) = &pair.org {
        reads(org, &mut say);
    }
    text.push('\n');
    text
}

/// The org, or what stands in its place.
fn org(pair: &Pair, off: &str, say: &mut impl FnMut(String)) {
    match (&pair.org, pair.groups()) {
        (None, Some(groups)) => {
            say("# CHECK: no column looks like an org; if one is, give it as org in place of groups.".into());
            say(format!("{off}groups = {groups}"));
        }
        (org, _) => say(format!("{off}org = {}", quoted(org.as_deref().unwrap_or("CHECK")))),
    }
}

/// What the platform asks, no catalog tells: an example to fill in.
fn reads(org: &str, say: &mut impl FnMut(String)) {
    let org = comment(org);
    say("# What the platform asks of this table, to learn which partitions that reads:".into());
    say("# [[tables.reads]]".into());
    say("# name = \"list\"".into());
    say(format!("# sql = \"SELECT * FROM {{{{table}}}} WHERE {org} = {{{{{org}}}}}\""));
    say("# partitions = 1    # at most; or days = 31, so many that it asks for".into());
}

/// If the two sides are not alike; nothing of it is put aside in silence.
fn differences(pair: &Pair, say: &mut impl FnMut(String)) {
    for (columns, side) in [(&pair.only_legacy, "legacy"), (&pair.only_twin, "the twin")] {
        if !columns.is_empty() {
            say(format!(
                "# CHECK: only in {side}: {}. The diff calls that an error; what may be so is named under \
                 `ignore`.",
                comment(&columns.join(", "))
            ));
        }
    }
    let renamed = renamed(pair);
    if !renamed.is_empty() {
        let renamed = renamed.iter().map(|(l, r)| format!("{} = {}", quoted(l), quoted(r)));
        let line = format!("map = {{ {} }}", renamed.collect::<Vec<_>>().join(", "));
        say(format!("# If these are the same under another name: {}", comment(&line)));
    }
    let other_types = pair.other_types();
    if !other_types.is_empty() {
        let by_value = other_types.iter().map(|(name, ..)| format!("{} = \"value\"", quoted(name)));
        let line = format!("compare = {{ {} }}", by_value.collect::<Vec<_>>().join(", "));
        say(format!(
            "# If types differ on purpose, equal values are equal with: {}",
            comment(&line)
        ));
    }
    for (name, left, right) in other_types {
        say(format!(
            "# CHECK: {} is {} in legacy and {} in the twin.",
            comment(&name),
            comment(&left),
            comment(&right)
        ));
    }
}

/// Columns of one side alone that may be the same as one of the other: of its type, and the only one or of a name
/// that begins alike.
fn renamed(pair: &Pair) -> Vec<(&String, &String)> {
    let type_of = |table: &cutover_ground::pg::catalog::Table, name: &str| {
        table.column(name).map(|column| column.type_oid)
    };
    let same_type =
        |left: &String, right: &String| type_of(&pair.legacy, left) == type_of(&pair.twin, right);
    let found = pair.only_legacy.iter().filter_map(|left| {
        let of_type = pair.only_twin.iter().filter(|right| same_type(left, right));
        let of_type: Vec<&String> = of_type.collect();
        let alike =
            |right: &&&String| right.starts_with(left.as_str()) || left.starts_with(right.as_str());
        let right = match of_type.as_slice() {
            [only] => Some(*only),
            several => several.iter().find(alike).copied(),
        };
        Some((left, right?))
    });
    found.collect()
}

fn trigger(pair: &Pair, off: &str, say: &mut impl FnMut(String)) {
    let uncarried = pair.uncarried();
    match pair.triggers.as_slice() {
        [] => {}
        [first, rest @ ..] => {
            for trigger in &pair.triggers {
                let events = ["INSERT", "UPDATE", "DELETE", "TRUNCATE"];
                let events: Vec<&str> =
                    events.into_iter().filter(|e| trigger.fires_on(e)).collect();
                let on = if trigger.is_enabled() { "" } else { ", DISABLED" };
                let (name, function) = (comment(&trigger.name), comment(&trigger.function));
                say(format!("# {name} calls {function} on {}{on}.", events.join(", ")));
            }
            if rest.is_empty() {
                say(format!("{off}trigger = {}", quoted(&first.name)));
            }
            let writes: Vec<&str> = uncarried.into_iter().filter(|e| *e != "TRUNCATE").collect();
            if !writes.is_empty() {
                say(format!("# CHECK: no trigger that was found carries {}.", writes.join(", ")));
            }
        }
    }
}

const FURTHER_SECTIONS: &str = r##"
# CHECK: how reads are sent to one side.
[routing]
kind = "header"                 # or "urls", "http", "command", "rule_file", "none"
header = "X-Cutover-Mode"       # legacy | partitioned
served_by_header = ""           # the answer's header that says which side served it; "" for none  CHECK

# [database]                    # instead of CUTOVER_DATABASE_URL
# url = "postgres://user@host:5432/database"
# password_env = "DATABASE_PASSWORD"   # or password_file
# ca_file = "authority.pem"     # TLS with an authority of your own
# [tls]
# ca_file = "authority.pem"     # the same for https

# [env.staging]                 # chosen by --env staging or CUTOVER_ENV
# base_url = "http://api.staging:4000"
# [env.production]              # changes nothing, unless `allow` names an act
# allow = []                    # seed, drive, flag, probe, wal, drill
# base_url = "https://api.production"
"##;
