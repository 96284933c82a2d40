//! The rows of diverging orgs, both sides, brought together by their keys.
//!
//! On the snapshot the digests came from, so that nothing a writer does in between can look like a
//! difference; leaf by leaf, or in one statement for both sides if connections do not share a snapshot.
//! Nothing is told before everything was read: a reading that is given up half-way has told nothing. Memory
//! holds a bounded part of the rows, however many orgs diverge.

mod spool;
mod sql;

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::future::try_join_all;

use self::spool::Spool;
use super::classify::{Row, SHOWN_CHARACTERS, classify};
use super::scan::Reader;
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use cutover_error::{Error, Result};
use cutover_evidence::class::RowClass;
use cutover_evidence::finding::{Finding, NO_ORG};
use cutover_ground::pg::Fields;
use cutover_ground::pg::catalog::Leaf;

/// Keys that one statement lists at most.
const LISTED_KEYS: usize = 2_000;

/// A difference, and whether it is this comparison's to report: of a row under the wrong org, each
/// shard that holds one of the two orgs learns, and the one with the right org reports.
pub(super) struct Difference {
    pub(super) finding: Finding,
    pub(super) ours: bool,
}

/// The rows to read.
pub(super) struct Drill<'a> {
    pub(super) plan: &'a PairPlan,
    /// The orgs that differ.
    pub(super) orgs: &'a HashSet<String>,
    /// The same as a list for the server; `None` if it is to send all and we pick.
    pub(super) listed: Option<&'a [String]>,
    /// What the comparison was asked for.
    pub(super) rows: Rows<'a>,
    /// Whether both sides are read by one statement.
    pub(super) together: bool,
    /// If there are too many for memory.
    pub(super) folder: &'a Path,
}

/// The rows of orgs that differ.
pub(super) struct Gathered(Spool);

impl<'a> Drill<'a> {
    /// Reads them; `readers` see one state of the database and take turns.
    ///
    /// # Errors
    /// A run error if the server fails.
    pub(super) async fn read(self, readers: &mut [Reader]) -> Result<Gathered> {
        let spool = Mutex::new(Spool::new(self.folder.into()));
        self.gather(None, readers, &spool).await?;
        // Rows of one key are of one group.
        let may_change = self.plan.org.column().is_some() && !self.plan.key_within_org;
        if self.rows.is_part() && may_change {
            let keys = uneven_keys(self.plan, &mut spool.lock().expect("no panic while held"))?;
            for keys in keys.chunks(LISTED_KEYS) {
                self.gather(Some(keys), readers, &spool).await?;
            }
        }
        Ok(Gathered(spool.into_inner().expect("no panic while held")))
    }

    async fn gather(
        &self,
        keys: Option<&[Vec<String>]>,
        readers: &mut [Reader],
        spool: &Mutex<Spool>,
    ) -> Result<()> {
        let statements = Mutex::new(self.statements(keys));
        let all = keys.is_some();
        let reading = readers.iter_mut().map(|reader| self.take(&statements, all, reader, spool));
        try_join_all(reading).await.map(drop)
    }

    /// Takes statement after statement; keeps `all` rows, or those of the orgs that differ.
    async fn take(
        &self,
        statements: &Mutex<VecDeque<String>>,
        all: bool,
        reader: &mut Reader,
        spool: &Mutex<Spool>,
    ) -> Result<()> {
        let what = format!("reading diverging orgs of {}", self.plan.name);
        loop {
            let statement = statements.lock().expect("no panic while held").pop_front();
            let Some(statement) = statement else { return Ok(()) };
            let mut reader = reader.connection.copy(&statement, &what).await?;
            while let Some(row) = reader.next_row().await? {
                let broken = || Error::run(format!("{what}: a row is not what was asked for"), "");
                let (key, org) = outline(self.plan, row).ok_or_else(broken)?;
                if all || self.orgs.contains(org) {
                    spool.lock().expect("no panic while held").add(key, row)?;
                }
            }
        }
    }

    fn statements(&self, keys: Option<&[Vec<String>]>) -> VecDeque<String> {
        let Self { plan, rows, .. } = *self;
        // A row's counterpart matters even if it was not changed itself.
        let selected = Rows { orgs: self.listed.or(rows.orgs), since: None, ..rows };
        let part =
            |side, leaf| sql::rows(plan, (side, leaf), selected, rows, keys, SHOWN_CHARACTERS);
        if self.together {
            return [sql::copy(&Side::BOTH.map(|side| part(side, None)))].into();
        }
        let leaves = |side: Side| -> Vec<Option<&Leaf>> {
            match plan.is_read_by_leaf(side) {
                true => plan.leaves(side).iter().map(Some).collect(),
                false => vec![None],
            }
        };
        let sides = Side::BOTH.into_iter();
        sides.flat_map(|s| leaves(s).into_iter().map(move |l| sql::copy(&[part(s, l)]))).collect()
    }
}

impl Gathered {
    /// No rows.
    pub(super) fn none(folder: &Path) -> Self {
        Self(Spool::new(folder.into()))
    }

    /// Adds the rows of other orgs.
    ///
    /// # Errors
    /// A run error if rows cannot be kept.
    pub(super) fn add(&mut self, other: Self) -> Result<()> {
        self.0.take(other.0)
    }

    /// Compares the rows key by key and hands each difference to `tell`, which says whether to go on.
    ///
    /// # Errors
    /// A run error if rows cannot be read back; whatever `tell` returns.
    pub(super) async fn compare(
        mut self,
        plan: &PairPlan,
        rows: Rows<'_>,
        mut tell: impl FnMut(Difference) -> Result<bool>,
    ) -> Result<()> {
        let mut breath = Breath::default();
        for part in 0..self.0.len() {
            let kept = self.0.part(part)?;
            for group in by_key(plan, &kept) {
                let mut together = Group::default();
                for row in group {
                    let (head, row) = read(plan, row).ok_or_else(damaged)?;
                    together.push(head, row);
                    breath.take().await;
                }
                for difference in together.differences(plan, rows) {
                    if !tell(difference)? {
                        return Ok(());
                    }
                    breath.take().await;
                }
            }
        }
        Ok(())
    }
}

/// Rows after which others have their turn: a signal, the end of the time.
const ROWS_IN_A_BREATH: u32 = 500;

/// Counts rows that are worked on without waiting for anything.
#[derive(Default)]
struct Breath(u32);

impl Breath {
    async fn take(&mut self) {
        self.0 += 1;
        if self.0.is_multiple_of(ROWS_IN_A_BREATH) {
            tokio::task::yield_now().await;
        }
    }
}

/// The keys, as texts, of which the sides hold different numbers of rows: there may be more of them
/// under an org that was not asked for.
fn uneven_keys(plan: &PairPlan, spool: &mut Spool) -> Result<Vec<Vec<String>>> {
    let mut keys = Vec::new();
    for part in 0..spool.len() {
        let rows = spool.part(part)?;
        for group in by_key(plan, &rows) {
            let (mut more, mut key) = (0, Vec::new());
            for row in group {
                let (head, row) = read(plan, row).ok_or_else(damaged)?;
                more += if head.side == Side::Legacy { 1 } else { -1 };
                key = row.sort;
            }
            let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let texts = key.iter().map(|part| part.as_ref().map(text));
            // A key with NULL in it equals no other.
            if let Some(texts) = texts.collect::<Option<Vec<_>>>().filter(|_| more != 0) {
                keys.push(texts);
            }
        }
    }
    Ok(keys)
}

fn damaged() -> Error {
    Error::run("a row that was kept is not what was read", "is the disk sound?")
}

/// Rows in the order of their keys, those of one key together.
fn by_key<'r>(plan: &PairPlan, rows: &'r [Bytes]) -> impl Iterator<Item = Vec<&'r Bytes>> {
    let width = plan.identity().len();
    let key = |row: &'r Bytes| Fields::of(row).take(width).collect::<Vec<Option<&[u8]>>>();
    let mut keyed: Vec<(Vec<Option<&[u8]>>, &Bytes)> =
        rows.iter().map(|row| (key(row), row)).collect();
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let mut keyed = keyed.into_iter().peekable();
    std::iter::from_fn(move || {
        let (key, first) = keyed.next()?;
        let mut group = vec![first];
        while let Some((_, row)) = keyed.next_if(|(other, _)| *other == key) {
            group.push(row);
        }
        Some(group)
    })
}

/// The bytes of a row's key, and its org.
fn outline<'r>(plan: &PairPlan, row: &'r [u8]) -> Option<(&'r [u8], &'r str)> {
    let mut fields = Fields::of(row);
    for _ in 0..plan.identity().len() {
        fields.next()?;
    }
    let key = &row[..row.len() - fields.rest().len()];
    // Behind its side and whether it was asked for.
    Some((key, std::str::from_utf8(fields.nth(2)??).ok()?))
}

/// The rows that share a key.
#[derive(Default)]
struct Group {
    legacy: Vec<Row>,
    twin: Vec<Row>,
    /// Whether one of them was changed since the time asked for.
    changed: bool,
    /// Which of their orgs are asked for.
    asked: HashSet<String>,
}

impl Group {
    fn push(&mut self, told: RowHead, row: Row) {
        self.changed |= told.changed;
        if told.asked {
            self.asked.insert(row.org.clone());
        }
        match told.side {
            Side::Legacy => self.legacy.push(row),
            Side::Partitioned => self.twin.push(row),
        }
    }

    fn differences(self, plan: &PairPlan, rows: Rows<'_>) -> impl Iterator<Item = Difference> {
        let Self { legacy, twin, changed, asked } = self;
        let (legacy, twin) = if changed { (legacy, twin) } else { (Vec::new(), Vec::new()) };
        let asked = move |org: &str| asked.contains(org);
        let org_column = plan.org.column().map(|column| column.on(Side::Legacy));
        let difference = move |finding: Finding| {
            let holder = finding.partitioned.as_ref().and_then(|row| row.get(org_column?));
            let holder = holder.map(|org| org.as_deref().unwrap_or(NO_ORG));
            let holder_asked =
                finding.class == RowClass::WrongOrg.into() && holder.is_some_and(&asked);
            let ours = finding.org_id.as_deref().is_some_and(&asked)
                || (holder_asked && rows.shard.is_none());
            (ours || holder_asked).then_some(Difference { finding, ours })
        };
        classify(plan, legacy, twin).filter_map(difference)
    }
}

/// What a row says about itself besides its content.
struct RowHead {
    side: Side,
    /// Whether its org is asked for.
    asked: bool,
    /// Whether it was changed since the time asked for.
    changed: bool,
}

/// What an array of one dimension begins with.
const ARRAY_HEADER_BYTES: usize = 20;

/// A row of [`sql::rows`].
fn read(plan: &PairPlan, row: &[u8]) -> Option<(RowHead, Row)> {
    let row = Bytes::copy_from_slice(row);
    let mut fields = Fields::of(&row);
    let own = |field: Option<&[u8]>| field.map(|bytes| row.slice_ref(bytes));
    let text = |field: Option<&[u8]>| field.map(|b| String::from_utf8_lossy(b).into_owned());
    let mut sort = Vec::new();
    for _ in 0..plan.identity().len() {
        sort.push(own(fields.next()?));
    }
    let is_twin = fields.next()? == Some(&[1]);
    let side = if is_twin { Side::Partitioned } else { Side::Legacy };
    let asked = fields.next()? == Some(&[1]);
    let org = text(fields.next()?).unwrap_or_default();
    let leaf = text(fields.next()?)?;
    let misrouted = fields.next()? == Some(&[1]);
    let changed = fields.next()? == Some(&[1]);
    let mut images = Vec::with_capacity(plan.columns.len());
    for _ in &plan.columns {
        images.push(own(fields.next()?));
    }
    // Behind dimensions, a flag, the type, length and lower bound, elements come as fields do.
    let mut texts = Fields::of(fields.next()??.get(ARRAY_HEADER_BYTES..)?);
    let mut values = Vec::with_capacity(images.len());
    for image in images {
        // The text of NULL prints as nothing; only the image tells NULL from an empty text.
        let text = text(texts.next()?).filter(|_| image.is_some());
        values.push((image, text));
    }
    Some((RowHead { side, asked, changed }, Row { sort, org, leaf, misrouted, values }))
}
