//! Holds a ledger against both sides of the tables, in bounded memory: the file is read once for
//! every part of the rows that fits, the rows are looked up many at a time, on one state of the
//! database.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::State;
use super::judge::{self, Fault, SideRows};
use super::lookup::Reader;
use super::read::{self, Write};
use super::sql;
use cutover_error::{Context, Error, Result};
use cutover_evidence::class::WriteFault;
use cutover_evidence::finding::Finding;
use cutover_evidence::ledger::{Columns, LedgerEvidence, WriteKind};
use cutover_evidence::side::Side;
use cutover_ground::config::TablePair;
use cutover_ground::whole_file::WholeFile;

/// Bytes of the file whose writes are held at a time; in memory they take six times as much.
const PART_BYTES: u64 = 16 << 20;
/// Rows that are looked up together.
const BATCH: usize = 1000;
/// What the lookups of a batch may take altogether.
const BATCH_TIMEOUT: Duration = Duration::from_secs(310);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// All findings; the evidence keeps the first.
const FINDINGS: &str = "ledger_findings.jsonl";

/// Holds `ledger` against the tables; findings go to `out`.
///
/// # Errors
/// Where the file or the database cannot be read.
pub async fn reconcile(
    ledger: &Path,
    database_url: &str,
    tables: &[TablePair],
    out: &Path,
) -> Result<LedgerEvidence> {
    let began = Instant::now();
    let place = ledger.display();
    let size = std::fs::metadata(ledger).or_run(format!("cannot read {place}"), "")?.len();
    let parts = size.div_ceil(PART_BYTES).max(1);
    let mut reader =
        in_time(Reader::open(database_url, tables, sql::AFTER_LOAD_TIMEOUT_SQL)).await?;
    in_time(reader.hold_still()).await?;
    let mut findings = Findings::create(out)?;
    let mut evidence = LedgerEvidence::default();
    for number in 0..parts {
        let path = PathBuf::from(ledger);
        let read = tokio::task::spawn_blocking(move || read::part(&path, number, parts));
        let part = read.await.or_run("the reader of the ledger panicked", "")??;
        let sums = part.sums;
        (evidence.writes, evidence.ok, evidence.fail) = (sums.writes, sums.ok, sums.fail);
        (evidence.unknown, evidence.retried) = (sums.unknown, sums.retried);
        let mut by_table: BTreeMap<String, Vec<Vec<Write>>> = BTreeMap::new();
        for row in part.rows {
            by_table.entry(row[0].sent.table.clone()).or_default().push(row);
        }
        for (table, mut rows) in by_table {
            for batch in rows.chunks_mut(BATCH) {
                let found = in_time(Batch::look_up(&mut reader, &table, batch)).await?;
                for (row, (legacy, partitioned)) in batch.iter().zip(&found.sides) {
                    evidence.rows_checked += 1;
                    for fault in judge::judge(row, legacy, partitioned) {
                        let finding = finding(&table, row, &fault, legacy, partitioned);
                        evidence.counts.count(fault.what);
                        findings.write(&finding)?;
                        if evidence.findings.len() < LedgerEvidence::KEPT_FINDINGS {
                            evidence.findings.push(finding);
                        }
                    }
                }
            }
        }
    }
    // All was read; how the goodbye fares changes nothing.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, reader.close()).await;
    findings.finish()?;
    evidence.complete = true;
    evidence.duration_s = began.elapsed().as_secs_f64();
    Ok(evidence)
}

/// A server that is frozen does not even end its statements in time.
async fn in_time<T>(looks: impl Future<Output = Result<T>>) -> Result<T> {
    let hint = "is the server frozen?";
    tokio::time::timeout(BATCH_TIMEOUT, looks).await.or_run("the database does not answer", hint)?
}

/// What stands on both sides for each row of a batch.
struct Batch {
    sides: Vec<(SideRows, SideRows)>,
}

impl Batch {
    async fn look_up(reader: &mut Reader, table: &str, rows: &mut [Vec<Write>]) -> Result<Self> {
        let writes = || rows.iter().flatten();
        let columns: BTreeSet<String> =
            writes().flat_map(|write| write.sent.values.keys().cloned()).collect();
        let columns: Vec<String> = columns.into_iter().collect();
        let tags: BTreeSet<String> = writes().filter_map(|write| write.sent.tag.clone()).collect();
        let all = rows.iter_mut().flatten().map(|write| &mut write.sent.values);
        reader.as_printed(table, all).await?;
        let all = rows.iter_mut().flatten().map(|write| &mut write.key);
        reader.as_printed(table, all).await?;
        let mut sides = vec![(SideRows::default(), SideRows::default()); rows.len()];
        let pair = reader.pair(table)?;
        let key = pair.key().to_vec();
        let org = if tags.is_empty() { String::new() } else { pair.org()?.to_owned() };
        let keys = wanted_keys(rows, &key);
        for of in Side::BOTH {
            let lines: Vec<Vec<Option<String>>> = keys.iter().map(|(_, k)| k.clone()).collect();
            for (place, found) in reader.rows((table, of), &key, &lines, &columns).await? {
                let Some((row, _)) = keys.get(place) else { continue };
                side(&mut sides[*row], of).rows.push(found);
            }
            for tag in &tags {
                let wanted = wanted_tags(rows, tag);
                let by = [org.clone(), tag.clone()];
                let lines: Vec<_> = wanted.iter().map(|wanted| wanted.line.clone()).collect();
                for (place, found) in reader.rows((table, of), &by, &lines, &columns).await? {
                    let Some(wanted) = wanted.get(place) else { continue };
                    let key = &rows[wanted.row][wanted.write].key;
                    let side = side(&mut sides[wanted.row], of);
                    if key.is_empty() {
                        side.rows.push(found);
                    } else if found.key != *key {
                        side.copies.push((wanted.write, found));
                    }
                }
            }
        }
        Ok(Self { sides })
    }
}

fn side(sides: &mut (SideRows, SideRows), of: Side) -> &mut SideRows {
    match of {
        Side::Legacy => &mut sides.0,
        Side::Partitioned => &mut sides.1,
    }
}

/// The keys of the rows whose key is known, with the row's place.
fn wanted_keys(rows: &[Vec<Write>], key: &[String]) -> Vec<(usize, Vec<Option<String>>)> {
    let known = |(place, row): (usize, &Vec<Write>)| {
        let values = &row.first()?.key;
        let key = key.iter().map(|name| values.get(name).cloned()).collect::<Option<Vec<_>>>()?;
        Some((place, key))
    };
    rows.iter().enumerate().filter_map(known).collect()
}

/// An insert that is looked for by its org and tag.
struct Tagged {
    row: usize,
    write: usize,
    line: Vec<Option<String>>,
}

fn wanted_tags(rows: &[Vec<Write>], tag: &str) -> Vec<Tagged> {
    let mut wanted = Vec::new();
    for (row, writes) in rows.iter().enumerate() {
        for (number, write) in writes.iter().enumerate() {
            if write.sent.kind != Some(WriteKind::Insert) || write.sent.tag.as_deref() != Some(tag)
            {
                continue;
            }
            if let Some(text) = write.tag() {
                let line = vec![Some(write.sent.org.clone()), Some(text.to_owned())];
                wanted.push(Tagged { row, write: number, line });
            }
        }
    }
    wanted
}

fn finding(
    table: &str,
    row: &[Write],
    fault: &Fault,
    legacy: &SideRows,
    partitioned: &SideRows,
) -> Finding {
    let write = &row[fault.write];
    let copy = |side: &SideRows| side.copies.first().map(|(_, found)| found.clone());
    // Of a row that stands twice the copy tells more.
    let shown = |side: &SideRows| {
        let copy = copy(side).filter(|_| fault.what == WriteFault::Doubled);
        let of_write = |columns: Columns| -> Columns {
            let tells = |name: &String| {
                fault.columns.contains(name) || write.sent.values.contains_key(name)
            };
            columns.into_iter().filter(|(name, _)| tells(name)).collect()
        };
        copy.or_else(|| side.rows.first().cloned()).map(|found| of_write(found.values))
    };
    let key = match write.key.is_empty() {
        false => write.key.clone(),
        true => {
            write.sent.tag.iter().map(|tag| (tag.clone(), write.tag().map(Into::into))).collect()
        }
    };
    Finding {
        org_id: Some(write.sent.org.clone()),
        key,
        legacy: shown(legacy),
        partitioned: shown(partitioned),
        columns: fault.columns.clone(),
        expected: fault.expected.clone(),
        detail: Some(detail(write, fault.what)),
        ..Finding::new(table, fault.what)
    }
}

fn detail(write: &Write, fault: WriteFault) -> String {
    let state = match write.state {
        State::Ok => "acknowledged",
        State::Fail => "refused",
        State::Unknown => "of unknown end",
    };
    let words = match fault {
        WriteFault::Lost => "and its effect is on neither side",
        WriteFault::Phantom => "and its effect is there",
        WriteFault::Doubled => "and its row stands more than once",
        WriteFault::Torn => {
            "and it is there in part: on one side only, or with some of its columns"
        }
        WriteFault::Stale => "and it was there, but older values are there now",
        WriteFault::Altered => "and the row holds what no write of this load put there",
    };
    format!("write {} by {}: {state}, {words}", write.sent.write, write.sent.operation)
}

struct Findings {
    file: WholeFile,
}

impl Findings {
    fn create(out: &Path) -> Result<Self> {
        let path = out.join(FINDINGS);
        let place = format!("cannot write {}", path.display());
        Ok(Self { file: WholeFile::create(path).or_run(place, "")? })
    }

    fn write(&mut self, finding: &Finding) -> Result<()> {
        let mut line = serde_json::to_vec(finding).expect("plain data");
        line.push(b'\n');
        let written = self.file.write_all(&line);
        written.map_err(|error| failed(self.file.path(), &error))
    }

    fn finish(self) -> Result<()> {
        let path = self.file.path().to_owned();
        self.file.finish().map_err(|error| failed(&path, &error))
    }
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::run(format!("cannot write {}: {error}", path.display()), "is the disk full?")
}
