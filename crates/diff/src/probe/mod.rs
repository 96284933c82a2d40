//! What the triggers carry, found out by trying rather than by reading their source.
//!
//! One row that both sides agree on is changed column by column, copied and deleted, and after
//! each try the twin is looked at. All of it happens in one statement that ends in an error
//! whatever comes, so nothing of it can ever be committed: not by a slip of ours, not by a crash.
//! Sequences are not asked for numbers (only a twin that numbers its rows itself leaves one out),
//! and NOTIFY of a rolled-back transaction is never sent. What a trigger does outside the database
//! cannot be undone by anybody: `--no-probe`, or `probe = false` for a pair, leaves the probe out.

mod sql;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgDatabaseError;

use super::direction::Direction;
use super::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_ground::pg::connect;

/// The SQLSTATE with which a probe ends that went through.
const UNDONE: &str = "CU000";
/// The SQLSTATE of one that found no row to work on.
const NO_ROW: &str = "CU001";

/// The SQLSTATE of one that waited for a lock in vain.
const LOCKED: &str = "55P03";
/// How often it is tried where a lock stands in the way; a busy table is not a faulty one.
const ATTEMPTS: u32 = 3;

/// Whether something is carried to the twin.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Carried {
    Yes,
    No,
    /// It could not be tried; why.
    Unknown(String),
}

/// What the triggers of a pair carry.
#[derive(Debug, Clone)]
pub(super) struct Coverage {
    /// INSERT, UPDATE and DELETE as a whole.
    pub(super) events: BTreeMap<&'static str, Carried>,
    /// Columns of which the twin did not follow, with what was tried: `INSERT`, `UPDATE` or
    /// `NULL by UPDATE`.
    pub(super) lost: BTreeMap<String, BTreeSet<&'static str>>,
    /// Columns that could not be tried, and why.
    pub(super) unknown: BTreeMap<String, String>,
    /// Whether a write that cannot reach the twin succeeds in legacy all the same.
    pub(super) swallows: bool,
}

pub(super) const EVENTS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

impl Coverage {
    /// Nothing could be tried.
    pub(super) fn unknown(plan: &PairPlan, why: &str) -> Self {
        let columns = plan.columns.iter().map(|column| column.on(Side::Legacy).to_owned());
        Self {
            events: EVENTS.map(|event| (event, Carried::Unknown(why.to_owned()))).into(),
            lost: BTreeMap::new(),
            unknown: columns.map(|name| (name, why.to_owned())).collect(),
            swallows: false,
        }
    }

    /// Whether writes of any kind were seen to arrive.
    pub(super) fn carries_any(&self) -> bool {
        self.events.values().any(|carried| *carried == Carried::Yes)
    }

    /// Whether writes of every kind were seen to arrive.
    pub(super) fn is_proven(&self) -> bool {
        self.events.values().all(|carried| *carried == Carried::Yes)
    }
}

/// One try, as `probe.sql` tells it.
#[derive(Debug, Clone, Deserialize)]
struct Seen {
    event: String,
    /// `value`, `null` or `far` (a value that has no partition) for an UPDATE, `row` otherwise.
    kind: String,
    #[serde(default)]
    column: Option<String>,
    tried: bool,
    reason: Option<String>,
    code: Option<String>,
    rows_differ: bool,
    differing: Vec<String>,
}

/// Tries the triggers of a pair on a connection of its own.
///
/// # Errors
/// A run error if the server cannot be reached. A probe that is refused is no error: it says
/// nothing, and [`Carried::Unknown`] says why.
pub(super) async fn probe(
    database_url: &str,
    plan: &PairPlan,
    direction: &Direction,
    _anyway: bool,
) -> Result<Coverage> {
    if direction.written == Side::Partitioned {
        return Ok(Coverage::unknown(plan, "later"));
    }
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        match attempt(database_url, plan).await? {
            Attempt::Seen(seen) => return Ok(coverage(plan, &seen)),
            Attempt::Refused(reason) => return Ok(Coverage::unknown(plan, &reason)),
            Attempt::Locked(reason) => why = reason,
        }
    }
    Ok(Coverage::unknown(plan, &why))
}

/// How one run of the probe ended.
enum Attempt {
    Seen(Vec<Seen>),
    Refused(String),
    /// Somebody else held a lock for longer than the probe waits.
    Locked(String),
}

async fn attempt(database_url: &str, plan: &PairPlan) -> Result<Attempt> {
    let mut connection = connect(database_url).await?;
    let script = sql::probe(plan);
    let outcome = sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await;
    // Dropped rather than closed: it stands in a failed transaction and ends with its session.
    drop(connection);
    let error = match outcome {
        Ok(_) => return Ok(Attempt::Refused("the probe ended without a word".into())),
        Err(error) => error,
    };
    let Some(refusal) = error.as_database_error() else {
        return Ok(Attempt::Refused(error.to_string()));
    };
    let code = refusal.code().unwrap_or_default().into_owned();
    let told = || reason(plan, &code, refusal.message());
    let detail = refusal.downcast_ref::<PgDatabaseError>().detail();
    Ok(match (code.as_str(), detail.map(serde_json::from_str::<Vec<Seen>>)) {
        (UNDONE, Some(Ok(seen))) => Attempt::Seen(seen),
        (NO_ROW, _) => Attempt::Refused(
            "none of the first rows of legacy stands alike in the twin, so there is none to try on"
                .into(),
        ),
        (LOCKED, _) => Attempt::Locked(told()),
        _ => Attempt::Refused(told()),
    })
}

/// Why something was refused. A message may quote values, so of a table with secrets only the code.
fn reason(plan: &PairPlan, code: &str, message: &str) -> String {
    if plan.secret.is_empty() {
        format!("{message} (SQLSTATE {code})")
    } else {
        format!("SQLSTATE {code}")
    }
}

impl Seen {
    fn why(&self, plan: &PairPlan) -> String {
        match (&self.code, self.reason.as_deref().unwrap_or("it was not tried")) {
            (Some(code), message) => reason(plan, code, message),
            (None, message) => message.to_owned(),
        }
    }

    /// Whether a try on a column did not bring that column to the twin.
    fn is_lost(&self) -> bool {
        self.rows_differ || self.column.as_ref().is_some_and(|own| self.differing.contains(own))
    }

    fn differs(&self) -> bool {
        self.tried && (self.rows_differ || !self.differing.is_empty())
    }
}

/// What the tries add up to. Pure.
fn coverage(plan: &PairPlan, seen: &[Seen]) -> Coverage {
    let of_kind = |kind: &'static str| seen.iter().filter(move |seen| seen.kind == kind);
    let mut all = Coverage {
        events: [("UPDATE", update(plan, of_kind("value")))].into(),
        lost: BTreeMap::new(),
        unknown: BTreeMap::new(),
        swallows: false,
    };
    for one in of_kind("row") {
        let Some(event) = EVENTS.into_iter().find(|event| *event == one.event) else { continue };
        let carried = match one {
            one if !one.tried => Carried::Unknown(one.why(plan)),
            one if one.rows_differ => Carried::No,
            _ => Carried::Yes,
        };
        all.events.insert(event, carried);
        // A row that never arrived says nothing of its columns.
        for name in one.differing.iter().filter(|_| !one.rows_differ) {
            all.lost.entry(name.clone()).or_default().insert(event);
        }
    }
    for (kind, how) in [("value", "UPDATE"), ("null", "NULL by UPDATE")] {
        for one in of_kind(kind) {
            let own = one.column.clone().unwrap_or_default();
            // A NULL that the table refuses, or that stands there already, need not be carried.
            if !one.tried && kind == "value" {
                all.unknown.insert(own.clone(), one.why(plan));
            }
            let itself = one.rows_differ.then_some(&own);
            for name in one.differing.iter().chain(itself).filter(|_| one.tried) {
                all.lost.entry(name.clone()).or_default().insert(how);
            }
        }
    }
    // A column that is not carried at all does not show what becomes of an error.
    let carried = |seen: &Seen| seen.column.as_ref().is_some_and(|own| !all.lost.contains_key(own));
    all.swallows = of_kind("far").any(|seen| carried(seen) && seen.differs());
    all
}

/// UPDATE as a whole, from what was tried column by column.
fn update<'s>(plan: &PairPlan, values: impl Iterator<Item = &'s Seen>) -> Carried {
    let (tried, untried): (Vec<&Seen>, Vec<&Seen>) = values.partition(|seen| seen.tried);
    match (tried.is_empty(), untried.first()) {
        (true, Some(first)) => Carried::Unknown(first.why(plan)),
        (true, None) => Carried::Unknown("no column can be updated".into()),
        (false, _) if tried.iter().all(|seen| seen.is_lost()) => Carried::No,
        (false, _) => Carried::Yes,
    }
}
