//! Remembers every write: what was sent, before it is sent, and what became of it; later held
//! against both sides of the tables.
//!
//! `ledger.jsonl` grows line by line under its own name, each line with one call of the kernel: a
//! load that is killed leaves every write that it may have sent.

mod judge;
mod lookup;
mod read;
mod read_back;
mod reconcile;
mod sql;
mod state;
mod together;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::mpsc;

pub(super) use read_back::ReadBack;
pub use reconcile::reconcile;
pub(super) use state::{State, state_of};
pub(super) use together::{Waiting, put_together};

use super::options::Options;
use super::recorder::Outcome;
use super::rows::Kept;
use cutover_error::{Error, Result};
use cutover_evidence::drive::Side;
use cutover_evidence::ledger::{Answered, Columns, LedgerEvidence, Note, SentWrite, WriteKind};
use cutover_ground::config::TablePair;
use cutover_scenario::{Arrival, Scenario, Values, Write};

/// The file's name in the run's folder.
const FILE: &str = "ledger.jsonl";
/// Indeterminate writes that are kept to be sent again.
const MOST_INDETERMINATE: usize = 10_000;
/// Acknowledged writes that wait to be looked up; more are not looked up.
const MOST_WAITING: usize = 10_000;

/// Whether the writes of an operation are noted.
enum Coverage {
    ReadsOnly,
    Noted(Write, Vec<String>),
    /// Counted: what it writes is not known.
    NotNoted(AtomicU64),
}

/// The ledger while the load runs.
pub(super) struct Ledger {
    names: Vec<String>,
    operations: Vec<Coverage>,
    /// `None` if nothing is to be noted.
    book: Option<Mutex<Book>>,
    path: PathBuf,
    begin: Instant,
    begun_at: DateTime<Utc>,
    acknowledged: Option<mpsc::Sender<Acknowledged>>,
    indeterminate: Mutex<Vec<Indeterminate>>,
}

struct Book {
    file: File,
    next: u64,
    broken: Option<String>,
}

/// A write that was noted and is on its way.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub write: u64,
    operation: usize,
    key: Columns,
    idempotency: Option<(HeaderName, HeaderValue)>,
}

/// An acknowledged write that is to be looked up.
#[derive(Debug)]
struct Acknowledged {
    write: u64,
    table: String,
    key: Columns,
    values: Columns,
}

/// A write that nobody knows of, with all it takes to send it again.
#[derive(Debug, Clone)]
pub(super) struct Indeterminate {
    pub arrival: Arrival,
    pub mode: Side,
    /// The number that its blanks were filled with.
    pub unique: u64,
    pub noted: Noted,
}

/// The note could not be written, so nothing may be sent.
#[derive(Debug)]
pub(super) struct CannotNote;

impl Ledger {
    /// Begins a ledger in `out`. If a database is named, somebody gets the other end who looks
    /// acknowledged writes up.
    pub(super) fn begin(
        out: &Path,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<(Self, Option<ReadBack>)> {
        let tables = options.tables.as_slice();
        check_keys(scenario, tables)?;
        let cover = |operation: &cutover_scenario::Operation| match &operation.write {
            _ if !operation.writes => Coverage::ReadsOnly,
            Some(write) => match tables.iter().find(|pair| pair.name == write.table) {
                Some(pair) => Coverage::Noted(write.clone(), pair.secret.clone()),
                None => Coverage::NotNoted(AtomicU64::new(0)),
            },
            None => Coverage::NotNoted(AtomicU64::new(0)),
        };
        let operations: Vec<Coverage> = scenario.operations.iter().map(cover).collect();
        let notes = operations.iter().any(|coverage| matches!(coverage, Coverage::Noted(..)));
        let path = out.join(FILE);
        let book = match notes {
            true => {
                let file = File::create_new(&path).map_err(|error| no_ledger(&path, &error))?;
                Some(Mutex::new(Book { file, next: 1, broken: None }))
            }
            false => None,
        };
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let watched = options.database_url.is_some() && notes;
        let ledger = Self {
            names: scenario.operations.iter().map(|operation| operation.name.clone()).collect(),
            operations,
            book,
            path,
            begin: Instant::now(),
            begun_at: Utc::now(),
            acknowledged: watched.then_some(sender),
            indeterminate: Mutex::default(),
        };
        Ok((ledger, watched.then(|| ReadBack::new(receiver))))
    }

    /// Where the notes are; `None` if nothing is to be noted.
    pub(super) fn path(&self) -> Option<&Path> {
        self.book.as_ref().map(|_| self.path.as_path())
    }

    /// Notes a write before it is sent; `None` for what is not to be noted.
    pub(super) fn sent(
        &self,
        arrival: &Arrival,
        row: Option<&Kept>,
        values: &Values<'_>,
        body: &[u8],
    ) -> Result<Option<Noted>, CannotNote> {
        let operation = usize::from(arrival.operation);
        let (write, secret) = match &self.operations[operation] {
            Coverage::ReadsOnly => return Ok(None),
            Coverage::NotNoted(count) => {
                count.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
            Coverage::Noted(write, secret) => (write, secret),
        };
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let read = |(column, place): &(String, cutover_scenario::WrittenValue)| {
            Some((column.clone(), place.read(&body, values)?))
        };
        let key = match write.kind {
            WriteKind::Insert => Columns::new(),
            _ => write.key.iter().filter_map(read).collect(),
        };
        let shown = |(column, _): &&(String, _)| !secret.contains(column);
        let org = row.map_or(arrival.org, |row| row.org);
        let once = write.idempotency_header.as_ref().map(|header| {
            let text = format!("cutover-{:016x}", values.unique);
            let value = HeaderValue::try_from(&text).expect("hexadecimal digits");
            (header.clone(), value, text)
        });
        let mut sent = SentWrite {
            write: 0,
            shard: None,
            over: row.and_then(|row| row.version),
            at_us: 0,
            arrival: (arrival.window != Arrival::AHEAD).then_some(arrival.index),
            operation: self.names[operation].clone(),
            table: write.table.clone(),
            kind: Some(write.kind),
            org: org.to_string(),
            key: key.clone(),
            values: write.values.iter().filter(shown).filter_map(read).collect(),
            tag: write.tag.clone().filter(|tag| !secret.contains(tag)),
            idempotency_key: once.as_ref().map(|(_, _, text)| text.clone()),
        };
        let mut book = self.book();
        let Some(book) = book.as_deref_mut() else { return Ok(None) };
        (sent.write, sent.at_us) = (book.next, self.now_us());
        book.next += 1;
        let number = sent.write;
        book.append(&Note::Sent(sent))?;
        let idempotency = once.map(|(header, value, _)| (header, value));
        Ok(Some(Noted { write: number, operation, key, idempotency }))
    }

    /// Notes what became of a write. `body` is the answer's, if there is one.
    pub(super) fn answered(
        &self,
        noted: &Noted,
        (state, outcome): (State, Outcome),
        values: &Values<'_>,
        (sent, answer): (&[u8], Option<&[u8]>),
    ) {
        let Coverage::Noted(write, _) = &self.operations[noted.operation] else { return };
        let mut key = Columns::new();
        if state == State::Ok && write.kind == WriteKind::Insert {
            let answer = answer.and_then(|body| serde_json::from_slice(body).ok());
            let answer: Value = answer.unwrap_or(Value::Null);
            let value_of = |(column, place): &(String, cutover_scenario::WrittenValue)| {
                Some((column.clone(), place.read(&answer, values)?))
            };
            key = write.key.iter().filter_map(value_of).collect();
        }
        let status = match outcome {
            Outcome::Status(status) => Some(status),
            _ => None,
        };
        let answered = Answered { write: noted.write, at_us: self.now_us(), status, key };
        self.note(&match state {
            State::Ok => Note::Ok(answered),
            State::Fail if outcome.is_own_want() => Note::Unsent(answered),
            State::Fail => Note::Fail(answered),
            State::Unknown => Note::Unknown(answered),
        });
        let changes = matches!(write.kind, WriteKind::Update | WriteKind::Upsert);
        if let Some(waiting) = self.acknowledged.as_ref().filter(|_| changes && state == State::Ok)
        {
            let body: Value = serde_json::from_slice(sent).unwrap_or(Value::Null);
            let read = |(column, place): &(String, cutover_scenario::WrittenValue)| {
                Some((column.clone(), place.read(&body, values)?))
            };
            // Where too many wait, some are not looked up.
            let _ = waiting.try_send(Acknowledged {
                write: noted.write,
                table: write.table.clone(),
                key: noted.key.clone(),
                values: write.values.iter().filter_map(read).collect(),
            });
        }
    }

    /// Keeps an indeterminate write to be sent again, if that cannot apply it twice.
    pub(super) fn keep_indeterminate(&self, write: Indeterminate) {
        let mut kept = self.indeterminate.lock().unwrap_or_else(PoisonError::into_inner);
        if write.noted.idempotency.is_some() && kept.len() < MOST_INDETERMINATE {
            kept.push(write);
        }
    }

    /// The indeterminate writes until now.
    pub(super) fn take_indeterminate(&self) -> Vec<Indeterminate> {
        std::mem::take(&mut *self.indeterminate.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that an indeterminate write is sent again.
    pub(super) fn retry(&self, noted: &Noted) {
        let (write, at_us) = (noted.write, self.now_us());
        self.note(&Note::Retry(Answered { write, at_us, ..Answered::default() }));
    }

    /// How many writes were noted, whatever became of them.
    pub(super) fn sums(&self) -> LedgerEvidence {
        let writes = self.book().map_or(0, |book| book.next - 1);
        LedgerEvidence { writes, ..LedgerEvidence::default() }
    }

    /// When the times of the notes begin, RFC 3339.
    pub(super) fn begun_at(&self) -> String {
        self.begun_at.to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// Writes of operations that are not noted, by operation.
    pub(super) fn not_noted(&self) -> BTreeMap<String, u64> {
        let count = |(name, coverage): (&String, &Coverage)| match coverage {
            Coverage::NotNoted(count) => Some((name.clone(), count.load(Ordering::Relaxed))),
            _ => None,
        };
        let counts = self.names.iter().zip(&self.operations).filter_map(count);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// # Errors
    /// If a note could not be written.
    pub(super) fn check(&self) -> Result<()> {
        let book = self.book();
        match book.as_deref().and_then(|book| book.broken.as_ref()) {
            Some(why) => {
                let what = format!("cannot write {}: {why}", self.path.display());
                Err(Error::run(what, "is the disk full?"))
            }
            None => Ok(()),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn book(&self) -> Option<MutexGuard<'_, Book>> {
        Some(self.book.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What cannot be noted after a write was sent leaves it unknown; [`Self::check`] tells.
    fn note(&self, note: &Note) {
        if let Some(mut book) = self.book() {
            let _ = book.append(note);
        }
    }
}

fn no_ledger(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::AlreadyExists => Error::usage(
            format!("--out: {} is there, what another load wrote", path.display()),
            "give each run a folder of its own",
        ),
        _ => Error::run(format!("cannot write {}: {error}", path.display()), "is the disk full?"),
    }
}

/// A row is found by the pair's whole key or not at all.
fn check_keys(scenario: &Scenario, tables: &[TablePair]) -> Result<()> {
    for operation in &scenario.operations {
        let Some(write) = &operation.write else { continue };
        let Some(pair) = tables.iter().find(|pair| pair.name == write.table) else { continue };
        let is_key = |name: &String| write.key.iter().any(|(column, _)| column == name);
        let by_tag_alone = write.kind == WriteKind::Insert && write.key.is_empty();
        if !by_tag_alone && (write.key.len() != pair.key.len() || !pair.key.iter().all(is_key)) {
            let what = format!("operation `{}`: writes: key: is not the key", operation.name);
            let key = pair.key.join(", ");
            return Err(Error::usage(what, format!("the key of `{}` is {key}", pair.name)));
        }
    }
    Ok(())
}

impl Book {
    fn append(&mut self, note: &Note) -> Result<(), CannotNote> {
        if self.broken.is_some() {
            // Behind half a line nothing can be read.
            return Err(CannotNote);
        }
        let mut line = serde_json::to_vec(note).expect("plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| {
            self.broken = Some(error.to_string());
            CannotNote
        })
    }
}

impl Noted {
    /// Puts the write's idempotency key on its request.
    /// Whether it is sent under a key, and so applied once however often it is sent.
    pub(super) fn is_keyed(&self) -> bool {
        self.idempotency.is_some()
    }

    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.idempotency {
            headers.insert(name.clone(), value.clone());
        }
    }
}
