//! What the triggers carry, found out by trying rather than by reading their source.
//!
//! One row that stands on both sides is changed column by column, copied and deleted, and before and after each
//! try the other side is looked at. Each try is one statement that ends in an error whatever comes, so nothing of it
//! can ever be committed: not by a slip of ours, not by a crash; and it holds a row that nobody else held for
//! less than 200 ms. NOTIFY of a rolled-back transaction is never sent.
//!
//! What undoing does not give back is not taken. A sequence whose numbers a try would take is altered first,
//! in the same transaction, which gives it a copy that goes with it. An event whose triggers reach outside of
//! the transaction, or do what cannot be seen, is not tried unless somebody asks for it.

mod attempt;
mod coverage;
mod session;
mod sql;
mod target;
mod values;

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use self::attempt::{COPIES, Copied, attempt, inserted};
use self::coverage::{Kind, Seen, coverage, reason};
use self::session::{Refused, Session, Shown, Trial};
use self::target::Target;
use super::direction::{Direction, other};
use super::firing::Part;
use super::schema::PairPlan;
use cutover_error::Result;
use cutover_ground::pg::catalog::Column;
use cutover_ground::pg::reach::Effect;

pub(super) use self::coverage::{Carried, Coverage, EVENTS, Refusal};
pub(super) use self::sql::WATCHES_SCHEMA;

/// How a pair's triggers are tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner<'o> {
    /// Also those that take what undoing does not give back.
    pub(super) anyway: bool,
    /// As this role, the application's.
    pub(super) role: Option<&'o str>,
}

/// Tries the triggers that fire on a part of a pair's rows, on a connection of its own.
///
/// # Errors
/// A run error if the server cannot be reached. A try that is refused is no error: it says nothing, and
/// [`Carried::Unknown`] says why.
pub(super) async fn probe(
    database_url: &str,
    plan: &PairPlan,
    direction: &Direction,
    part: &Part,
    manner: Manner<'_>,
) -> Result<Coverage> {
    let target = Target { plan, side: direction.written, part, role: manner.role };
    let takes = EVENTS.map(|event| (event, Takes::look(plan, direction, event, manner.anyway)));
    let mut takes: HashMap<&str, Takes> = takes.into();
    if takes.values().all(|takes| takes.refused.is_some()) {
        let why = takes.remove("UPDATE").and_then(|takes| takes.refused).unwrap_or_default();
        return Ok(Coverage::unknown(plan, &why));
    }
    let session = match Session::open(database_url, &target).await? {
        Ok(session) => session,
        Err(Refused::NoRow) => {
            let why =
                "there is no row to try on: none of the first that are there stands on both sides";
            return Ok(Coverage::unknown(plan, why));
        }
        Err(Refused::Server { code, message }) => {
            return Ok(Coverage::unknown(plan, &reason(plan, &code, &message)));
        }
    };
    let mut tries = Tries {
        target: &target,
        session,
        takes,
        accepted: HashMap::new(),
        copy: None,
        seen: Vec::new(),
    };
    tries.updates().await?;
    tries.inserts_and_deletes().await?;
    tries.keys_of_copies().await?;
    tries.inserts_of_null().await?;
    tries.forms().await?;
    Ok(coverage(plan, &tries.seen))
}

/// What an event takes that undoing does not give back.
struct Takes {
    /// Statements that set the sequences aside.
    shields: Vec<String>,
    /// Why it is not tried.
    refused: Option<String>,
}

impl Takes {
    fn look(plan: &PairPlan, direction: &Direction, event: &'static str, anyway: bool) -> Self {
        let (table, follower) =
            (plan.table(direction.written), plan.table(other(direction.written)));
        let effects = direction.reach.effects(table.oid, event, follower.oid);
        let sequences: BTreeSet<&String> = effects.iter().filter_map(Effect::sequence).collect();
        let shields = sequences.iter().map(|sequence| sql::shield(sequence)).collect();
        let watched = direction.watches_schema;
        let lasting = |effect: &&Effect| effect.sequence().is_none() || watched;
        let lasting: Vec<String> = effects.iter().filter(lasting).map(Effect::to_string).collect();
        let refused = (!lasting.is_empty() && !anyway).then(|| {
            format!(
                "{}, which undoing does not give back (--probe-anyway tries it all the same)",
                lasting.join("; ")
            )
        });
        Self { shields: if watched { Vec::new() } else { shields }, refused }
    }
}

/// Tries, one after the other, and what they showed.
struct Tries<'p> {
    target: &'p Target<'p>,
    session: Session<'p>,
    takes: HashMap<&'static str, Takes>,
    /// The expressions that the table took for a column, by its name there.
    accepted: HashMap<String, String>,
    /// A copy of the row under another key, which the table took.
    copy: Option<Copied>,
    seen: Vec<Seen>,
}

impl Tries<'_> {
    /// Tries something that fires these events' triggers, unless one of them takes too much.
    async fn try_it(&mut self, events: &[&'static str], trial: Trial) -> Result<Shown> {
        if let Some(why) = events.iter().find_map(|event| self.takes[event].refused.clone()) {
            return Ok(Shown { reason: Some(why), ..Shown::default() });
        }
        // A row that is to be deleted may have to be inserted first, and the other way round.
        let rows = ["INSERT", "DELETE"];
        let more = if events.iter().any(|event| rows.contains(event)) { &rows[..] } else { &[] };
        let fired = events.iter().chain(more);
        let shields: BTreeSet<&String> =
            fired.flat_map(|event| &self.takes[event].shields).collect();
        let shields: Vec<String> = shields.into_iter().cloned().collect();
        self.session.try_it(&trial, &shields).await
    }

    /// What an update of a column fires: one that moves the row to another partition deletes and inserts it.
    fn fired_by(&self, column: &Column) -> &'static [&'static str] {
        if self.target.divides(column) { &EVENTS } else { &["UPDATE"] }
    }

    /// UPDATE, column by column, with the first value that the table accepts.
    async fn updates(&mut self) -> Result<()> {
        let target = self.target;
        for column in sql::writable(target).filter(|column| target.compared(column).is_some()) {
            let values = values::values(target, column);
            let shown = self.update(Kind::Value, column, &values).await?;
            let key = sql::is_key(target, column);
            // A key that others refer to cannot be changed, a copy of the row may still have another.
            let accepted = match (shown.tried, key) {
                (true, _) => values.get(shown.attempt),
                (false, true) => values.first(),
                (false, false) => None,
            };
            self.accepted.extend(accepted.map(|value| (column.name.clone(), value.clone())));
            if !column.not_null {
                self.update(Kind::Null, column, &[]).await?;
            }
            if target.picks(column) {
                self.update(Kind::Far, column, &values::far_values(column)).await?;
            }
        }
        Ok(())
    }

    async fn update(&mut self, kind: Kind, column: &Column, values: &[String]) -> Result<Shown> {
        let target = self.target;
        let update = |value: &String| sql::update(target, column, value);
        let attempts = match kind {
            Kind::Null => {
                let null = sql::set_null(target, column);
                // Where it is NULL already, it gets a value first.
                let value = self.accepted.get(&column.name).map(update);
                let filled = value.map(|value| attempt(&[&value, &null]));
                std::iter::once(attempt(&[&null])).chain(filled).collect()
            }
            _ => values.iter().map(|value| attempt(&[&update(value)])).collect(),
        };
        let reason = "the table accepts no other value that was tried";
        let events = self.fired_by(column);
        let shown = self.try_it(events, Trial { attempts, reason, last: false }).await?;
        let column = Some(target.label(column));
        let made_up = true;
        self.seen.push(Seen { event: "UPDATE", kind, column, made_up, shown: shown.clone() });
        Ok(shown)
    }

    /// INSERT: the row again with every value changed, or its key alone, or gone and back again; where others
    /// refer to it, with one column of its key changed. DELETE: the row itself or, where others refer to it, a copy.
    async fn inserts_and_deletes(&mut self) -> Result<()> {
        let target = self.target;
        let copies = [self.changed(|_| true), self.changed(|column| sql::is_key(target, column))];
        let mut attempts: Vec<Value> =
            copies.iter().map(|copy| inserted(&[&copy.insert(target)])).collect();
        attempts.extend(self.again(&Copied::default()));
        let reason = "no key is free for a copy of a row";
        let mut insert = self.try_it(&["INSERT"], Trial { attempts, reason, last: true }).await?;
        // The very row comes last.
        let mut made_up = insert.attempt < copies.len();
        self.copy = copies.get(insert.attempt).filter(|_| insert.tried).cloned();
        for copies in self.by_key_column() {
            if insert.tried {
                break;
            }
            let attempts = copies.iter().map(|copy| inserted(&[&copy.insert(target)])).collect();
            let shown = self.try_it(&["INSERT"], Trial { attempts, reason, last: true }).await?;
            if shown.tried {
                self.copy = copies.into_iter().nth(shown.attempt);
                (insert, made_up) = (shown, true);
            }
        }
        let (event, kind, column) = ("INSERT", Kind::Row, None);
        self.seen.push(Seen { event, kind, column, made_up, shown: insert });
        let delete = sql::delete(target);
        let mut attempts = vec![attempt(&[&delete])];
        attempts.extend(self.copy.as_ref().map(|copy| attempt(&[&copy.insert(target), &delete])));
        let reason = "a trigger of the table refuses it";
        let mut shown = self.try_it(&["DELETE"], Trial { attempts, reason, last: true }).await?;
        shown.differing.clear();
        let (event, made_up) = ("DELETE", shown.attempt > 0);
        self.seen.push(Seen { event, kind, column: None, made_up, shown });
        Ok(())
    }

    /// Columns of the row that may change without other triggers being tried, as in another partition.
    fn may_change(&self) -> impl Iterator<Item = &Column> {
        let target = self.target;
        let stays = |c: &Column| target.part.name.is_some() && target.divides(c);
        sql::writable(target).filter(move |column| !stays(column))
    }

    /// The row with another value, which the table took before, in some columns.
    fn changed(&self, which: impl Fn(&Column) -> bool) -> Copied {
        let accepted =
            |column: &Column| Some((column.name.clone(), self.accepted.get(&column.name)?.clone()));
        Copied(self.may_change().filter(|column| which(column)).filter_map(accepted).collect())
    }

    /// Copies with another value in one column of the key, column by column.
    fn by_key_column(&self) -> Vec<Vec<Copied>> {
        let target = self.target;
        let keys = self.may_change().filter(|column| sql::is_key(target, column));
        let copies = keys.map(|column| {
            let values = values::values(target, column).into_iter();
            values.map(|value| Copied([(column.name.clone(), value)].into())).collect()
        });
        copies.collect()
    }

    /// The row gone and back again, with some values changed; `None` if it may not go.
    fn again(&self, changed: &Copied) -> Option<Value> {
        let (delete, clear) = (sql::delete(self.target), sql::clear(self.target));
        let mut again = attempt(&[&delete, &clear, &changed.insert(self.target)]);
        again["steps"][1]["by_key"] = json!(true);
        again["new_row"] = json!(true);
        self.takes["DELETE"].refused.is_none().then_some(again)
    }

    /// UPDATE of a key that others refer to: on a copy of the row, which nobody refers to.
    async fn keys_of_copies(&mut self) -> Result<()> {
        let (target, Some(copy)) = (self.target, self.copy.clone()) else { return Ok(()) };
        for column in sql::writable(target).filter(|column| sql::is_key(target, column)) {
            let label = Some(target.label(column));
            let untried =
                |seen: &Seen| seen.kind == Kind::Value && seen.column == label && !seen.shown.tried;
            let Some(at) = self.seen.iter().position(untried) else { continue };
            // One that differs in this column alone may have no other place to go than where the row itself is.
            let others = self.by_key_column().into_iter().flat_map(|copies| {
                copies.into_iter().filter(|other| !other.changes(column)).take(COPIES)
            });
            for copy in std::iter::once(copy.clone()).chain(others.collect::<Vec<_>>()) {
                let insert = copy.insert(target);
                let update = |value: &String| {
                    let mut attempt = attempt(&[&insert, &sql::update(target, column, value)]);
                    attempt["new_row"] = json!(true);
                    attempt["of_copy"] = json!(true);
                    attempt
                };
                let attempts = values::values(target, column).iter().map(update).collect();
                let reason = "the table accepts no other value that was tried";
                let shown = self.try_it(&EVENTS, Trial { attempts, reason, last: false }).await?;
                if shown.tried {
                    self.seen[at].shown = shown;
                    break;
                }
            }
        }
        Ok(())
    }

    /// INSERT with NULL in whatever may be NULL, at once or else column by column: a copy, or the row itself again.
    async fn inserts_of_null(&mut self) -> Result<()> {
        let target = self.target;
        let may_be_null = |column: &&Column| {
            !column.not_null
                && !sql::is_key(target, column)
                && !target.divides(column)
                && target.compared(column).is_some()
        };
        let columns: Vec<&Column> = sql::writable(target).filter(may_be_null).collect();
        let inserted_before =
            self.seen.iter().any(|seen| seen.event == "INSERT" && seen.shown.tried);
        if columns.is_empty() || !inserted_before {
            return Ok(());
        }
        let all = std::iter::once(&columns[..]);
        for nulls in all.chain(columns.chunks(1).take(NULLS_ALONE)) {
            let null = |c: &&Column| (c.name.clone(), format!("NULL::{}", c.bare_type));
            let mut copied = self.copy.clone().unwrap_or_default();
            copied.0.retain(|name, _| target.identity().contains(name));
            copied.0.extend(nulls.iter().map(null));
            let attempts = match &self.copy {
                Some(_) => vec![inserted(&[&copied.insert(target)])],
                None => self.again(&copied).into_iter().collect(),
            };
            let trial = Trial { attempts, reason: "NULL is refused", last: false };
            let shown = self.try_it(&["INSERT"], trial).await?;
            let whole = shown.tried && nulls.len() == columns.len();
            let (event, kind, column) = ("INSERT", Kind::NullRow, None);
            self.seen.push(Seen { event, kind, column, made_up: true, shown });
            if whole {
                break;
            }
        }
        Ok(())
    }

    /// What updates a row in another form: an INSERT that finds it there, a MERGE that moves it to another
    /// partition, which is in no transition table (PostgreSQL 15 to 18).
    async fn forms(&mut self) -> Result<()> {
        let target = self.target;
        let columns = || sql::writable(target).filter(|c| target.compared(c).is_some());
        let mut upserts = Vec::new();
        if let Some(arbiter) = target.arbiter() {
            let stays = |c: &Column| !target.divides(c) && !target.picks(c);
            for column in columns().filter(|c| !sql::is_key(target, c) && stays(c)) {
                let value = self.accepted.get(&column.name);
                let upsert = value.map(|value| sql::upsert(target, arbiter, column, value));
                upserts.extend(upsert.map(|statement| (column, vec![attempt(&[&statement])])));
            }
        }
        let merges = columns().filter(|column| target.divides(column)).map(|column| {
            let of_value = |value: &String| {
                let mut merge = attempt(&[
                    &sql::merge(target, column, value),
                    &sql::find(target, column, value),
                ]);
                merge["steps"][0]["by_key"] = json!(true);
                merge
            };
            (column, values::values_elsewhere(target, column).iter().map(of_value).collect())
        });
        let merges: Vec<(&Column, Vec<Value>)> = merges.collect();
        let forms = upserts.into_iter().take(1).map(|upsert| (UPSERT, upsert));
        let forms = forms.chain(merges.into_iter().map(|merge| (MERGE, merge)));
        for (event, (column, attempts)) in forms.collect::<Vec<_>>() {
            let trial = Trial { attempts, reason: "no value is accepted", last: false };
            let events: &[_] = if event == UPSERT { &["INSERT", "UPDATE"] } else { &EVENTS };
            let shown = self.try_it(events, trial).await?;
            let column = Some(target.label(column));
            self.seen.push(Seen { event, kind: Kind::Form, column, made_up: false, shown });
        }
        Ok(())
    }
}

/// Columns that are tried with NULL by themselves, if the table refuses it in all of them at once.
const NULLS_ALONE: usize = 64;
/// An INSERT that updates the row that is there.
const UPSERT: &str = "INSERT … ON CONFLICT DO UPDATE";
/// A MERGE that updates the column by which the table is divided.
const MERGE: &str = "MERGE that moves a row to another partition";
