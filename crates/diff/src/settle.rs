//! Orgs that may differ, looked at on one state of the database: which of them do, and their rows.

use std::collections::{HashMap, HashSet};

use super::drill_down::{Drill, Gathered};
use super::run::Comparison;
use super::scan::{OrgKey, PATIENCE_WITH_WORK, Request, Scan, scan};
use super::schema::{PairPlan, Side};
use super::scope::Rows;
use cutover_error::Result;

/// Beyond this share of diverging orgs whole tables are walked rather than a list of orgs. Most of
/// the time goes into sorting and printing rows, so a list pays for long.
const WHOLE_TABLES_FROM: f64 = 0.25;

/// Orgs that one statement lists at most.
const LISTED_ORGS: usize = 200_000;

/// Orgs times leaves up to which a list is sent for each leaf.
const LISTED_IN_ALL: usize = 20_000_000;

/// How often in a row orgs are given up because somebody waits for us.
const GIVEN_UP: u32 = 12;
/// How often it is looked how old the snapshot is.
const AGE_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);

/// What became of orgs that may differ.
pub(super) enum Settled {
    /// Those that do, with their rows by side; and the rows themselves.
    Known(HashMap<String, [u32; 2]>, Gathered),
    /// It could not be found out; why.
    Unknown(String),
}

impl Comparison<'_> {
    /// Looks at orgs that may differ, out of so many. `exact` says that the snapshot of the moment is the one on
    /// which they differed; else they are summed again on one first. Where somebody waits for us, fewer orgs are
    /// looked at on the next snapshot.
    pub(super) async fn settle<K: OrgKey>(
        &mut self,
        pair: usize,
        candidates: HashMap<String, [u32; 2]>,
        exact: bool,
        orgs: u64,
    ) -> Result<Settled> {
        if candidates.is_empty() {
            return Ok(Settled::Known(candidates, Gathered::none(self.out)));
        }
        let mut todo: Vec<String> = candidates.keys().cloned().collect();
        if exact {
            let rows = self.rows_of(pair, &todo, orgs).await?;
            let unchanged = self.tables.changes(pair).await?.holds();
            if let Some(rows) = rows.filter(|_| unchanged) {
                return Ok(Settled::Known(candidates, rows));
            }
        }
        let (mut differing, mut all) = (HashMap::new(), Gathered::none(self.out));
        let (mut size, mut given_up) = (todo.len(), 0);
        while !todo.is_empty() {
            if given_up == GIVEN_UP {
                return Ok(Settled::Unknown(
                    "somebody waited for us each time the rows that differ were looked at".into(),
                ));
            }
            self.epochs.renew().await?;
            let changes = self.tables.changes(pair).await?;
            if !changes.altered.is_empty() {
                return Ok(Settled::Unknown(changes.words()));
            }
            if !changes.is_empty() {
                self.tables.look_again(pair).await?;
            }
            size = size.clamp(1, todo.len());
            match self.some::<K>(pair, &todo[..size], orgs).await? {
                Some((found, rows)) => {
                    differing.extend(found);
                    all.add(rows)?;
                    todo.drain(..size);
                    (size, given_up) = (size * 2, 0);
                }
                None => (size, given_up) = (size / 2, given_up + 1),
            }
        }
        Ok(Settled::Known(differing, all))
    }

    /// Some of the orgs, on the snapshot of the moment; `None` if it was given up.
    async fn some<K: OrgKey>(
        &mut self,
        pair: usize,
        orgs: &[String],
        of: u64,
    ) -> Result<Option<(HashMap<String, [u32; 2]>, Gathered)>> {
        let Self { options, context, .. } = *self;
        context.started(
            format!("diff: looking again at {} orgs", orgs.len()),
            None,
            "rows of both sides",
        );
        let asked = Request::asked(options, self.method, &self.secret);
        let plan = &self.tables.plans[pair];
        let all = asked.rows.orgs.is_none() && !is_worth_listing(plan, orgs.len());
        let rows = if all { asked.rows } else { asked.rows.of(orgs) };
        let request = Request { rows, all_orgs: false, ..asked };
        let tables = (&mut self.tables, pair);
        let scanned = scan::<K>(request, tables, None, &mut self.epochs, context).await?;
        context.emit(cutover_ground::act::Event::Finished);
        let Scan::Done(scanned) = scanned else { return Ok(None) };
        let mut differing = scanned.digests.diverging();
        // Where all were summed, others than those that were asked for may differ at this moment.
        let wanted: HashSet<&String> = orgs.iter().collect();
        differing.retain(|org, _| wanted.contains(org));
        let list: Vec<String> = differing.keys().cloned().collect();
        let rows = self.rows_of(pair, &list, of).await?;
        let unchanged = self.tables.changes(pair).await?.holds();
        Ok(rows.filter(|_| unchanged).map(|rows| (differing, rows)))
    }

    /// The rows of orgs that differ, out of so many; `None` if the snapshot was given up.
    async fn rows_of(&mut self, pair: usize, orgs: &[String], of: u64) -> Result<Option<Gathered>> {
        let Self { options, context, out, .. } = *self;
        if orgs.is_empty() {
            return Ok(Some(Gathered::none(out)));
        }
        let plan = &self.tables.plans[pair];
        let share = orgs.len() as f64 / of.max(1) as f64;
        let whole = options.orgs.is_none()
            && (share > WHOLE_TABLES_FROM || !is_worth_listing(plan, orgs.len()));
        let drill = Drill {
            plan,
            orgs: &orgs.iter().cloned().collect(),
            listed: (!whole).then_some(orgs),
            rows: Rows::asked(options),
            together: self.spread,
            folder: out,
        };
        let given_up = self.epochs.given_up();
        let mut readers = Vec::new();
        for _ in 0..if self.spread { 1 } else { options.connections.clamp(1, 2) } {
            match self.epochs.reader(PATIENCE_WITH_WORK).await {
                Ok(reader) => readers.push(reader),
                Err(error) => return self.epochs.was_ended(error).map(|()| None),
            }
        }
        let mut age = tokio::time::interval(AGE_INTERVAL);
        let read = {
            let mut reading = std::pin::pin!(drill.read(&mut readers));
            loop {
                tokio::select! {
                    biased;
                    () = given_up.cancelled() => break None,
                    read = &mut reading => break Some(read),
                    _ = age.tick() => self.epochs.look_at_age(context),
                }
            }
        };
        match read {
            Some(Ok(rows)) => {
                self.epochs.has_gone_on();
                for reader in readers {
                    reader.connection.close().await;
                }
                Ok(Some(rows))
            }
            Some(Err(error)) if !given_up.is_cancelled() => {
                // What was dropped or altered meanwhile cannot be read.
                let unchanged = self.tables.changes(pair).await?.holds();
                if unchanged {
                    self.epochs.was_ended(error)?;
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// Whether the server is to be given a list of so many orgs, rather than to send all rows.
fn is_worth_listing(plan: &PairPlan, orgs: usize) -> bool {
    let leaves = Side::BOTH.iter().map(|side| plan.leaves(*side).len()).sum::<usize>();
    orgs <= LISTED_ORGS && orgs.saturating_mul(leaves) <= LISTED_IN_ALL
}
