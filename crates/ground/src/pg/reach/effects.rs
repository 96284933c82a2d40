//! What a write takes that undoing it does not give back.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use super::body::{Verb, Write};
use super::{Firing, Function, Reach, Sequence, Touched};

/// Something that is not undone with the transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// A number of a sequence is taken; by what, and of which, if that is known.
    Number(String, Option<String>),
    /// Something outside of this database's transaction is reached; by what.
    Outside(String),
    /// It cannot be seen what is done; by what.
    Unseen(String),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(by, None) => write!(f, "{by} takes a number of a sequence"),
            Self::Number(by, Some(sequence)) => {
                write!(f, "{by} takes a number of sequence {sequence}")
            }
            Self::Outside(by) => write!(f, "{by} reaches outside of the transaction"),
            Self::Unseen(by) => write!(f, "it cannot be seen what {by} does"),
        }
    }
}

impl Effect {
    /// The sequence of which a number is taken, quoted, if that is all and it is known.
    pub fn sequence(&self) -> Option<&String> {
        match self {
            Self::Number(_, sequence) => sequence.as_ref(),
            Self::Outside(_) | Self::Unseen(_) => None,
        }
    }
}

/// Extensions whose functions reach outside of the transaction.
const OUTSIDE_EXTENSIONS: [&str; 21] = [
    "dblink",
    "postgres_fdw",
    "http",
    "pg_net",
    "pgsql-http",
    "pg_background",
    "pg_cron",
    "pgq",
    "pgmq",
    "pg_partman_bgw",
    "aws_lambda",
    "aws_s3",
    "aws_commons",
    "plproxy",
    "pgagent",
    "file_fdw",
    "adminpack",
    "pg_amqp",
    "amqp",
    "pgmemcache",
    "pg_kafka",
];

/// The beginnings of functions that do, wherever they come from; of the server's own among them.
const OUTSIDE_CALLS: [&str; 20] = [
    "dblink",
    "http_",
    "http(",
    "net.",
    "pg_background_",
    "pgq.",
    "pgmq.",
    "aws_",
    "amqp.",
    "memcache_",
    "kafka_",
    "lo_export",
    "lo_import",
    "pg_file_",
    "pg_logical_emit_message",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_switch_wal",
    "pg_create_logical_replication_slot",
];

/// Trigger functions in C that change nothing but the row at hand.
const HARMLESS: [&str; 6] = [
    "moddatetime",
    "insert_username",
    "tsvector_update_trigger",
    "tsvector_update_trigger_column",
    "lo_manage",
    "suppress_redundant_updates_trigger",
];

type Event = &'static str;

impl Reach {
    /// What is taken if `event` happens to a row of this table, with all values given by the statement;
    /// `twin` is the table that statements may go to which no body names.
    pub fn effects(&self, root: i64, event: Event, twin: i64) -> BTreeSet<Effect> {
        let mut found = BTreeSet::new();
        let (mut open, mut seen) = (vec![(root, event)], HashSet::new());
        if let Some(by) = self.tables.get(&root).and_then(|table| table.foreign_part.as_ref()) {
            found.insert(Effect::Outside(format!("the foreign table {by}")));
        }
        while let Some((table, event)) = open.pop() {
            if !seen.insert((table, event)) {
                continue;
            }
            let Some(touched) = self.tables.get(&table) else {
                found.insert(Effect::Unseen("a table that is written on the way".into()));
                continue;
            };
            if touched.rules {
                found.insert(Effect::Unseen(format!("a rule of {}", touched.name)));
            }
            if touched.divided && event == "UPDATE" {
                // A row that moves to another partition is deleted and inserted.
                open.extend([(table, "DELETE"), (table, "INSERT")]);
            }
            open.extend(cascade(touched, event));
            let of_table = self.firings.iter().filter(|firing| firing.root == table);
            for firing in of_table.filter(|f| f.trigger.is_enabled() && f.trigger.fires_on(event)) {
                self.of_trigger(firing, twin, &mut found, &mut open);
            }
        }
        if self.is_cut {
            found.insert(Effect::Unseen("what lies deeper than was looked".into()));
        }
        found
    }

    /// What one trigger takes, and which tables it goes on to.
    fn of_trigger(
        &self,
        firing: &Firing,
        twin: i64,
        found: &mut BTreeSet<Effect>,
        open: &mut Vec<(i64, Event)>,
    ) {
        for function in self.called_by(firing) {
            found.extend(self.effect(function));
            if function.body.is_dynamic {
                open.extend(["INSERT", "UPDATE", "DELETE"].map(|event| (twin, event)));
                let twin = self.tables.get(&twin).filter(|_| !function.body.hands_on_rows);
                for (column, sequence) in twin.iter().flat_map(|twin| &twin.numbered) {
                    let by = format!(
                        "the default of {column}, to which {} may leave it,",
                        function.display
                    );
                    found.insert(Effect::Number(by, sequence.clone()));
                }
            }
        }
        for (root, write) in self.writes(firing) {
            let Some(touched) = self.tables.get(&root) else { continue };
            if let Some(part) = &touched.foreign_part {
                found.insert(Effect::Outside(format!("a write of the foreign table {part}")));
            }
            if matches!(write.verb, Verb::Insert | Verb::Upsert | Verb::Merge) {
                found.extend(self.defaults(touched, write));
            }
            open.extend(events(write.verb).iter().map(|event| (root, *event)));
        }
    }

    /// Columns that an INSERT leaves to a default that takes a number.
    fn defaults(&self, table: &Touched, write: &Write) -> Vec<Effect> {
        let given = |column: &String| match &write.columns {
            Some(columns) => columns.contains(column),
            None => write.of_row,
        };
        let of = |column: &String| format!("the default of {}.{column}", table.name);
        let numbered = table.numbered.iter().filter(|(column, _)| !given(column));
        let numbered = numbered.map(|(column, of_it)| Effect::Number(of(column), of_it.clone()));
        let computed = table.computed.iter().filter(|(column, _)| !given(column));
        let computed = computed.flat_map(|(column, function)| {
            let effects = self.closure(*function).into_iter().flat_map(|f| self.effect(f));
            effects.map(move |effect| match effect {
                Effect::Number(_, sequence) => Effect::Number(of(column), sequence),
                Effect::Outside(_) => Effect::Outside(of(column)),
                Effect::Unseen(_) => Effect::Unseen(of(column)),
            })
        });
        numbered.chain(computed).collect()
    }

    /// The name of a table that was followed.
    pub fn name(&self, root: i64) -> Option<(&str, &str)> {
        self.tables.get(&root).map(|table| (table.schema.as_str(), table.plain_name.as_str()))
    }
}

fn events(verb: Verb) -> &'static [Event] {
    match verb {
        Verb::Insert => &["INSERT"],
        Verb::Upsert => &["INSERT", "UPDATE"],
        Verb::Update => &["UPDATE"],
        Verb::Delete => &["DELETE"],
        Verb::Merge => &["INSERT", "UPDATE", "DELETE"],
        Verb::Truncate => &["TRUNCATE"],
    }
}

/// The tables to which foreign keys carry a write.
fn cascade(table: &Touched, event: Event) -> Vec<(i64, Event)> {
    let carried = table.cascades.iter().filter_map(|(child, on_delete, on_update)| {
        let action = match event {
            "DELETE" => on_delete,
            "UPDATE" => on_update,
            _ => return None,
        };
        match (action, event) {
            ('c', "DELETE") => Some((*child, "DELETE")),
            ('c' | 'n' | 'd', _) => Some((*child, "UPDATE")),
            _ => None,
        }
    });
    carried.collect()
}

impl Reach {
    /// The quoted name of a sequence that a body names.
    fn sequence(&self, named: &(Option<String>, String), near: &str) -> Option<String> {
        let (schema, name) = named;
        let is =
            |s: &&Sequence| s.name == *name && schema.as_ref().is_none_or(|own| *own == s.schema);
        let all: Vec<&Sequence> = self.sequences.iter().filter(is).collect();
        let found = all.iter().find(|s| s.visible || schema.is_some());
        let found = found.or_else(|| all.iter().find(|s| s.schema == near)).or(all.first());
        found.map(|sequence| sequence.quoted.clone())
    }

    /// What a function takes by itself.
    fn effect(&self, function: &Function) -> Vec<Effect> {
        let by = format!("function {}", function.display);
        let body = &function.body;
        let named = |sequence: &Option<(Option<String>, String)>| {
            sequence.as_ref().and_then(|named| self.sequence(named, &function.schema))
        };
        let mut found: Vec<Effect> =
            body.sequences.iter().map(|s| Effect::Number(by.clone(), named(s))).collect();
        if function.name == "autoinc" {
            found.push(Effect::Number(by.clone(), None));
        }
        if function.reaches_outside() {
            found.push(Effect::Outside(by.clone()));
        }
        if !function.can_be_seen() {
            found.push(Effect::Unseen(by));
        }
        found
    }
}

impl Function {
    fn reaches_outside(&self) -> bool {
        let outside = |(schema, name): &(Option<String>, String)| {
            let bare = format!("{name}(");
            let whole = schema.as_ref().map_or(bare.clone(), |schema| format!("{schema}.{bare}"));
            OUTSIDE_CALLS.iter().any(|call| whole.starts_with(call) || bare.starts_with(call))
        };
        let of_extension =
            self.extension.as_deref().is_some_and(|name| OUTSIDE_EXTENSIONS.contains(&name));
        of_extension || self.body.runs_programs || self.body.calls.iter().any(outside)
    }

    /// Whether its body is there to be read, or is known to do nothing but compute.
    fn can_be_seen(&self) -> bool {
        match self.language.as_str() {
            "internal" | "sql" | "plpgsql" => true,
            // What an extension brings in C computes, unless it is known to reach outside.
            "c" => {
                let known = HARMLESS.contains(&self.name.as_str());
                self.schema == "pg_catalog" || self.extension.is_some() || known
            }
            _ => self.trusted,
        }
    }
}
