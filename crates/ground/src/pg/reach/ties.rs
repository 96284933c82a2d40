//! Whether a trigger of one table carries its writes to another.

use std::collections::BTreeSet;

use super::body::{Body, Verb};
use super::{Firing, Reach};
use crate::pg::catalog::Trigger;
use cutover_evidence::side::Side;

/// A trigger of one table that writes another.
#[derive(Debug, Clone)]
pub struct Tie {
    /// The trigger.
    pub trigger: Trigger,
    /// How the other table is written; empty if the statement is made up while it runs.
    pub verbs: BTreeSet<Verb>,
    /// What the functions say that do it.
    bodies: Vec<Body>,
}

impl Tie {
    /// Whether it only ever adds rows, on changes and deletions too: it keeps a journal, not a copy.
    pub fn is_journal(&self) -> bool {
        let adds = self.verbs.len() == 1 && self.verbs.contains(&Verb::Insert);
        adds && (self.trigger.fires_on("UPDATE") || self.trigger.fires_on("DELETE"))
    }

    /// Whether a column is handed on by its name, or with the whole row.
    pub fn hands_on(&self, column: &str) -> bool {
        self.bodies.iter().any(|body| body.hands_on_rows || body.says(column))
    }
}

impl Reach {
    /// The triggers of one table, or of a part of it, that write another; both by the oids of their roots,
    /// with their names.
    ///
    /// A function that makes its statement up counts if the other table's name stands in it, in the
    /// trigger's arguments, or comes of the first one's by a part that stands in it.
    pub fn ties(&self, (from, from_name): (i64, &str), (to, to_name): (i64, &str)) -> Vec<Tie> {
        let of_table = self.firings.iter().filter(|firing| firing.root == from);
        // One that sees a TRUNCATE alone carries no row.
        let of_rows = |firing: &&Firing| {
            ["INSERT", "UPDATE", "DELETE"].iter().any(|event| firing.trigger.fires_on(event))
        };
        let tie = |firing: &Firing| {
            let writes = self.writes(firing);
            let verbs: BTreeSet<Verb> = writes
                .into_iter()
                .filter(|(root, _)| *root == to)
                .map(|(_, write)| write.verb)
                .collect();
            let tied = !verbs.is_empty() || self.makes_up(firing, from_name, to_name);
            let bodies = || self.called_by(firing).into_iter().map(|f| f.body.clone()).collect();
            tied.then(|| Tie { trigger: firing.trigger.clone(), verbs, bodies: bodies() })
        };
        of_table.filter(of_rows).filter_map(tie).collect()
    }

    /// The side that the application writes to, by the triggers that carry from legacy (`forward`) and to it
    /// (`reverse`): one that fires outweighs one that is off. `None` if both fire, or none is there.
    pub fn written_side(forward: &[Tie], reverse: &[Tie]) -> Option<Side> {
        let fires = |ties: &[Tie]| ties.iter().any(|tie| tie.trigger.is_enabled());
        match (fires(forward), fires(reverse), forward.is_empty(), reverse.is_empty()) {
            (true, false, ..) | (false, false, false, true) => Some(Side::Legacy),
            (false, true, ..) | (false, false, true, false) => Some(Side::Partitioned),
            _ => None,
        }
    }

    /// The tables, by the oids of their roots, that have triggers.
    pub fn with_triggers(&self) -> BTreeSet<i64> {
        self.firings.iter().map(|firing| firing.root).collect()
    }

    /// The triggers of a table that may write tables that no body names.
    pub fn made_up(&self, root: i64) -> Vec<Tie> {
        let of_table = self.firings.iter().filter(|firing| firing.root == root);
        let tie = |firing: &Firing| Tie {
            trigger: firing.trigger.clone(),
            verbs: BTreeSet::new(),
            bodies: self.called_by(firing).into_iter().map(|f| f.body.clone()).collect(),
        };
        of_table.filter(|firing| self.may_write_more(firing)).map(tie).collect()
    }

    fn may_write_more(&self, firing: &Firing) -> bool {
        let mut functions = self.called_by(firing).into_iter();
        functions.any(|f| {
            f.body.is_dynamic || !["plpgsql", "sql", "internal"].contains(&f.language.as_str())
        })
    }

    fn makes_up(&self, firing: &Firing, from: &str, to: &str) -> bool {
        let functions = self.called_by(firing);
        let dynamic = || functions.iter().filter(|function| function.body.is_dynamic);
        let is_argument = |argument: &String| {
            let plain = argument.replace('"', "");
            plain == to || plain.rsplit('.').next() == Some(to)
        };
        let handed = firing.arguments.iter().flatten().any(is_argument);
        handed && dynamic().next().is_some()
            || dynamic().any(|function| function.body.says(to) || function.body.makes_up(from, to))
    }
}

/// Words by which people name a table that is put aside.
const ASIDE: [&str; 20] = [
    "retired",
    "archived",
    "archive",
    "backup",
    "bak",
    "bkp",
    "old",
    "copy",
    "template",
    "detached",
    "snapshot",
    "saved",
    "deprecated",
    "unused",
    "dropped",
    "obsolete",
    "restore",
    "restored",
    "dump",
    "orig",
];

/// The part of a table's name that says it was put aside, is a template, or was cut off: a backup, an
/// archive, a detached partition. What stands in the name of the table beside it, too, says nothing.
pub fn set_aside<'n>(name: &'n str, beside: &str) -> Option<&'n str> {
    let parts = |name: &'n str| name.split(|c: char| !c.is_alphanumeric());
    let beside: Vec<String> =
        beside.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase).collect();
    let aside = |part: &&str| {
        let lower = part.to_lowercase();
        let digits = lower.trim_start_matches('p');
        let dated = digits.len() >= 4 && digits.chars().all(|c| c.is_ascii_digit());
        let word = lower.trim_end_matches(|c: char| c.is_ascii_digit());
        !beside.contains(&lower) && (dated || ASIDE.contains(&word))
    };
    parts(name).find(aside)
}

#[cfg(test)]
mod tests {
    use super::set_aside;

    #[test]
    fn names_tell_what_was_put_aside() {
        for (name, beside, part) in [
            ("orders_retired", "orders", Some("retired")),
            ("orders_backup_20261101", "orders", Some("backup")),
            ("orders_20261101", "orders", Some("20261101")),
            ("events_p2026_01", "events", Some("p2026")),
            ("template_public_events", "events", Some("template")),
            ("orders_bak2", "orders", Some("bak2")),
            ("orders_archive", "orders_archive_part", None),
            ("orders", "orders_old", None),
            ("holdings", "holdings_partitioned", None),
        ] {
            assert_eq!(set_aside(name, beside), part, "{name}");
        }
    }
}
