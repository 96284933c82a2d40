//! What the tries add up to.

use std::collections::{BTreeMap, BTreeSet};

use super::session::Shown;
use crate::schema::{PairPlan, Side};

/// Whether something is carried to the twin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Carried {
    Yes,
    No,
    /// It could not be tried; why.
    Unknown(String),
}

/// What the triggers of a pair carry.
#[derive(Debug, Clone)]
pub(crate) struct Coverage {
    /// INSERT, UPDATE and DELETE as a whole.
    pub(crate) events: BTreeMap<&'static str, Carried>,
    /// Columns of which the twin did not follow, with what was tried: `INSERT`, `UPDATE` or
    /// `NULL by UPDATE`.
    pub(crate) lost: BTreeMap<String, BTreeSet<&'static str>>,
    /// Columns that could not be tried, and why.
    pub(crate) unknown: BTreeMap<String, String>,
    /// Whether a write that cannot reach the twin succeeds in legacy all the same.
    pub(crate) swallows: bool,
    /// What the server refused, and where.
    pub(crate) refusals: Vec<Refusal>,
    /// Statements that update rows in another form than UPDATE, and were seen not to be carried.
    pub(crate) forms: BTreeSet<&'static str>,
}

/// A write that the server refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) event: &'static str,
    /// The column that an UPDATE changed.
    pub(crate) column: Option<String>,
    pub(crate) code: String,
    /// Whether the row that was refused holds values that we made up, rather than those of a row that is there.
    pub(crate) made_up: bool,
    pub(crate) why: String,
    /// The functions at work, the innermost first.
    pub(crate) context: String,
}

pub(crate) const EVENTS: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];

/// The SQLSTATE of an UPDATE that gives a value to a column which only the server does (GENERATED ALWAYS).
const GENERATED_ALWAYS: &str = "428C9";

impl Coverage {
    /// Nothing could be tried.
    pub(crate) fn unknown(plan: &PairPlan, why: &str) -> Self {
        let columns = plan.columns.iter().map(|column| column.on(Side::Legacy).to_owned());
        Self {
            events: EVENTS.map(|event| (event, Carried::Unknown(why.to_owned()))).into(),
            lost: BTreeMap::new(),
            unknown: columns.map(|name| (name, why.to_owned())).collect(),
            swallows: false,
            refusals: Vec::new(),
            forms: BTreeSet::new(),
        }
    }

    /// Whether writes of any kind were seen to arrive.
    pub(crate) fn carries_any(&self) -> bool {
        self.events.values().any(|carried| *carried == Carried::Yes)
    }

    /// Whether writes of every kind were seen to arrive.
    pub(crate) fn is_proven(&self) -> bool {
        self.events.values().all(|carried| *carried == Carried::Yes)
    }
}

/// One try, and what it showed.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) event: &'static str,
    pub(super) kind: Kind,
    /// The column that was changed, by its legacy name.
    pub(super) column: Option<String>,
    /// Whether the row holds values that we made up.
    pub(super) made_up: bool,
    pub(super) shown: Shown,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Another value, by an UPDATE.
    Value,
    /// NULL, by an UPDATE.
    Null,
    /// A value that no partition takes, by an UPDATE.
    Far,
    /// A whole row, inserted or deleted.
    Row,
    /// A row with NULL in one column or in all that may be NULL, inserted.
    NullRow,
    /// Another value, by a statement that is no UPDATE by its name.
    Form,
}

/// Why something was refused. A message may quote values, so of a table with secrets only the code.
pub(super) fn reason(plan: &PairPlan, code: &str, message: &str) -> String {
    if plan.secret.is_empty() {
        format!("{message} (SQLSTATE {code})")
    } else {
        format!("SQLSTATE {code}")
    }
}

impl Seen {
    fn why(&self, plan: &PairPlan) -> String {
        match (&self.shown.code, self.shown.reason.as_deref().unwrap_or("it was not tried")) {
            (Some(code), message) => reason(plan, code, message),
            (None, message) => message.to_owned(),
        }
    }

    /// What the server said against it, if it is a write that any table takes.
    fn refusal(&self, plan: &PairPlan) -> Option<Refusal> {
        let usual = matches!(self.kind, Kind::Value | Kind::Row | Kind::Form) && !self.shown.tried;
        let (code, context) = (self.shown.code.clone()?, self.shown.context.clone()?);
        usual.then(|| Refusal {
            made_up: self.made_up,
            event: self.event,
            column: self.column.clone().filter(|_| self.kind != Kind::Form),
            code,
            why: self.why(plan),
            context,
        })
    }

    /// Whether a try on a column did not bring that column to the twin.
    fn is_lost(&self) -> bool {
        let own = |own: &String| self.shown.differing.contains(own);
        self.shown.tried && (self.shown.rows_differ || self.column.as_ref().is_some_and(own))
    }

    fn differs(&self) -> bool {
        let left_behind = self.shown.left_behind(self.column.as_ref()).next().is_some();
        self.shown.tried && (self.shown.rows_differ || left_behind)
    }
}

/// What the tries add up to. Pure.
pub(super) fn coverage(plan: &PairPlan, seen: &[Seen]) -> Coverage {
    let of_kind = |kind: Kind| seen.iter().filter(move |seen| seen.kind == kind);
    let mut all = Coverage {
        events: [("UPDATE", update(plan, of_kind(Kind::Value)))].into(),
        lost: BTreeMap::new(),
        unknown: BTreeMap::new(),
        swallows: false,
        refusals: seen.iter().filter_map(|seen| seen.refusal(plan)).collect(),
        forms: BTreeSet::new(),
    };
    for one in of_kind(Kind::Row) {
        let event = one.event;
        let carried = match one {
            one if !one.shown.tried => Carried::Unknown(one.why(plan)),
            one if one.shown.rows_differ => Carried::No,
            _ => Carried::Yes,
        };
        all.events.insert(event, carried);
        // A row that never arrived says nothing of its columns.
        for name in one.shown.left_behind(None).filter(|_| !one.shown.rows_differ) {
            all.lost.entry(name.clone()).or_default().insert(event);
        }
    }
    for (kind, how) in [(Kind::Value, "UPDATE"), (Kind::Null, "NULL by UPDATE")] {
        for one in of_kind(kind) {
            let own = one.column.clone().unwrap_or_default();
            // A NULL that the table refuses, or that stands there already, need not be carried.
            let by_nobody = one.shown.code.as_deref() == Some(GENERATED_ALWAYS);
            if !one.shown.tried && kind == Kind::Value && !by_nobody {
                all.unknown.insert(own.clone(), one.why(plan));
            }
            let itself = one.shown.rows_differ.then_some(&own);
            let left_behind = one.shown.left_behind(Some(&own)).chain(itself);
            for name in left_behind.filter(|_| one.shown.tried) {
                all.lost.entry(name.clone()).or_default().insert(how);
            }
        }
    }
    for one in of_kind(Kind::NullRow).filter(|one| one.shown.tried && !one.shown.rows_differ) {
        for name in one.shown.left_behind(None) {
            let lost = all.lost.entry(name.clone()).or_default();
            if !lost.contains("INSERT") {
                lost.insert("NULL by INSERT");
            }
        }
    }
    // A column that is not carried at all shows neither what another statement does nor what becomes of an error.
    let carried = |seen: &Seen| seen.column.as_ref().is_some_and(|own| !all.lost.contains_key(own));
    let forms = of_kind(Kind::Form).filter(|seen| carried(seen) && seen.is_lost());
    let forms = forms.map(|seen| seen.event).collect();
    all.swallows = of_kind(Kind::Far).any(|seen| carried(seen) && seen.differs());
    all.forms = forms;
    all
}

/// UPDATE as a whole, from what was tried column by column.
fn update<'s>(plan: &PairPlan, values: impl Iterator<Item = &'s Seen>) -> Carried {
    let (tried, untried): (Vec<&Seen>, Vec<&Seen>) = values.partition(|seen| seen.shown.tried);
    match (tried.is_empty(), untried.first()) {
        (true, Some(first)) => Carried::Unknown(first.why(plan)),
        (true, None) => Carried::Unknown("no column can be updated".into()),
        (false, _) if tried.iter().all(|seen| seen.is_lost()) => Carried::No,
        (false, _) => Carried::Yes,
    }
}
