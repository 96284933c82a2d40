//! Values for blanks from a CSV file, read whole before the first request.

use std::collections::HashMap;
use std::path::Path;

use super::file::{FeedBy, RawFeeder};

/// A CSV file's lines.
#[derive(Debug, Clone)]
pub struct Feeder {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    lines: Vec<csv::StringRecord>,
    /// Line of each org; `None` if lines are used one after the other.
    by_org: Option<HashMap<u64, usize>>,
}

impl Feeder {
    /// Reads the file; the error says which line of it is wrong.
    pub(super) fn read(raw: &RawFeeder, folder: &Path) -> Result<Self, String> {
        let path = folder.join(&raw.file);
        let place = |error: csv::Error| format!("{}: {error}", path.display());
        let mut reader = csv::Reader::from_path(&path).map_err(place)?;
        let columns: Vec<String> =
            reader.headers().map_err(place)?.iter().map(str::to_owned).collect();
        let lines = reader.records().collect::<Result<Vec<_>, _>>().map_err(place)?;
        if lines.is_empty() {
            return Err(format!("{}: has no line below its header", path.display()));
        }
        let by_org = match raw.by {
            FeedBy::RoundRobin => None,
            FeedBy::Org => {
                let wanted = raw.column.as_deref().unwrap_or("org");
                let column = columns.iter().position(|name| name == wanted).ok_or_else(|| {
                    format!("{}: has no column `{wanted}` to find an org by", path.display())
                })?;
                Some(index_by_org(&lines, column, &path)?)
            }
        };
        Ok(Self { name: raw.name.clone(), columns, lines, by_org })
    }

    pub(super) fn get(&self, org: u64, turn: u64, column: usize) -> Option<&str> {
        let line = match &self.by_org {
            Some(by_org) => *by_org.get(&org)?,
            None => (turn % self.lines.len() as u64) as usize,
        };
        self.lines[line].get(column)
    }

    /// The first of the orgs `1..=orgs` without a line, and how many there are.
    pub(super) fn orgs_missing(&self, orgs: u64) -> Option<(u64, u64)> {
        let by_org = self.by_org.as_ref()?;
        let mut missing = (1..=orgs).filter(|org| !by_org.contains_key(org));
        let first = missing.next()?;
        Some((first, 1 + missing.count() as u64))
    }
}

fn index_by_org(
    lines: &[csv::StringRecord],
    column: usize,
    path: &Path,
) -> Result<HashMap<u64, usize>, String> {
    let mut by_org = HashMap::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let text = line.get(column).unwrap_or_default();
        // The header is line 1.
        let place = format!("{}, line {}", path.display(), index + 2);
        let org = text.parse().map_err(|_| format!("{place}: `{text}` is no org number"))?;
        if by_org.insert(org, index).is_some() {
            return Err(format!("{place}: org {org} stands twice"));
        }
    }
    Ok(by_org)
}
