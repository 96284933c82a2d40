//! Which tables are pairs: by the triggers that carry writes from one to the other. Names alone prove
//! nothing; a template, a backup or a retired table may look just like the legacy side of a pair.

use std::collections::BTreeSet;

use super::written;
use cutover_evidence::side::Side;
use cutover_ground::pg::QualifiedName;
use cutover_ground::pg::catalog::Listed;
use cutover_ground::pg::reach::{Reach, Tie, set_aside};

/// Share of its columns that a twin has to have in common with its legacy table.
const ALIKE: f64 = 0.6;

/// The same if a trigger ties them and the names are related, too: some columns may be renamed.
const ALIKE_IF_TIED: f64 = 0.4;

/// Two tables that are taken for a pair.
pub(super) struct Match {
    pub(super) legacy: QualifiedName,
    pub(super) twin: QualifiedName,
    /// What carries the writes.
    pub(super) ties: Vec<Tie>,
    /// The side that is written to; `None` if the triggers do not tell.
    pub(super) writes: Option<Side>,
    /// Why it is not proven; empty in comments alone.
    pub(super) untied: Option<String>,
}

/// What the catalogs tell of all tables.
pub(super) struct Known<'a> {
    pub(super) tables: &'a [Listed],
    pub(super) reach: &'a Reach,
    /// The tables that partitions are made after, `schema.table`.
    pub(super) templates: &'a [String],
}

/// Every partitioned table with its legacy table; and what is said of those without one.
pub(super) fn matches(known: &Known<'_>) -> (Vec<Match>, Vec<String>) {
    let (mut pairs, mut alone) = (Vec::new(), Vec::new());
    let twins: Vec<&Listed> = known.tables.iter().filter(|table| table.kind == "p").collect();
    let tied: Vec<Option<Tied<'_>>> = twins.iter().map(|twin| known.tied(twin)).collect();
    let followers: BTreeSet<i64> = tied.iter().flatten().map(|tied| tied.legacy.oid).collect();
    for (twin, tied) in twins.into_iter().zip(tied) {
        match tied {
            Some(tied) if tied.legacy.readable && twin.readable => {
                pairs.push(tied.into_match(twin))
            }
            Some(tied) => alone.push(unreadable(twin, tied.legacy)),
            // It is the other side of a pair already.
            None if followers.contains(&twin.oid) => {}
            None => match known.alike(twin) {
                Ok(legacy) if legacy.readable && twin.readable => pairs.push(untied(legacy, twin)),
                Ok(legacy) => alone.push(unreadable(twin, legacy)),
                Err(why) => alone.push(format!("{} is partitioned; {why}", name(twin))),
            },
        }
    }
    (pairs, alone)
}

fn name(table: &Listed) -> QualifiedName {
    QualifiedName { schema: table.schema.clone(), name: table.name.clone() }
}

fn unreadable(twin: &Listed, legacy: &Listed) -> String {
    let (twin, legacy) = (name(twin), name(legacy));
    format!("{twin} looks like the twin of {legacy}, but this role may not read both")
}

fn untied(legacy: &Listed, twin: &Listed) -> Match {
    let why = "no trigger of either carries to the other, only their names are alike; if something else \
               carries, say so: sync = \"application\", \"replication\" or \"none\"";
    let (legacy, twin) = (name(legacy), name(twin));
    Match { legacy, twin, ties: Vec::new(), writes: None, untied: Some(why.into()) }
}

/// A legacy table that triggers tie to a twin.
struct Tied<'a> {
    legacy: &'a Listed,
    forward: Vec<Tie>,
    reverse: Vec<Tie>,
}

impl Tied<'_> {
    fn into_match(self, twin: &Listed) -> Match {
        let Self { legacy, forward, reverse } = self;
        let writes = Reach::written_side(&forward, &reverse);
        let journal =
            !forward.is_empty() && forward.iter().all(Tie::is_journal) && reverse.is_empty();
        let aside = set_aside(&legacy.name, &twin.name).filter(|_| reverse.is_empty());
        let untied = if journal {
            Some("its triggers only ever add rows, for changes and deletions too: it looks like a journal".into())
        } else {
            aside.map(|part| {
                let name = written(&name(legacy));
                format!("{name} has a trigger that carries, but `{part}` in its name says that it was put aside; \
                         say which side the application writes to: writes = \"legacy\" or \"partitioned\"")
            })
        };
        let ties = if writes == Some(Side::Partitioned) { reverse } else { forward };
        Match { legacy: name(legacy), twin: name(twin), ties, writes, untied }
    }
}

impl Known<'_> {
    /// The table that triggers tie to a twin, in either direction; of several the likeliest.
    fn tied(&self, twin: &Listed) -> Option<Tied<'_>> {
        let with_triggers: BTreeSet<i64> = self.reach.with_triggers();
        let of = |table: &Listed| (table.oid, table.name.clone());
        let ties = |from: &Listed, to: &Listed| {
            let (from, to) = (of(from), of(to));
            self.reach.ties((from.0, &from.1), (to.0, &to.1))
        };
        let mut found: Vec<Tied<'_>> = Vec::new();
        for legacy in self.tables.iter().filter(|legacy| legacy.oid != twin.oid) {
            let any = with_triggers.contains(&legacy.oid) || with_triggers.contains(&twin.oid);
            let least = if related(legacy, twin) { ALIKE_IF_TIED } else { ALIKE };
            if !any || common(legacy, twin) < least {
                continue;
            }
            let forward = ties(legacy, twin);
            let mut reverse = ties(twin, legacy);
            // Of two partitioned tables the one that is carried to is the twin, unless it was put aside.
            if legacy.kind == "p"
                && forward.is_empty()
                && set_aside(&legacy.name, &twin.name).is_none()
            {
                reverse.clear();
            }
            let is_aside = legacy.kind == "p" && set_aside(&twin.name, &legacy.name).is_some();
            if !(is_aside || forward.is_empty() && reverse.is_empty()) {
                found.push(Tied { legacy, forward, reverse });
            }
        }
        let rank = |tied: &Tied<'_>| {
            let aside =
                set_aside(&tied.legacy.name, &twin.name).is_some() && tied.reverse.is_empty();
            likeness(tied.legacy, twin) - if aside { 10.0 } else { 0.0 }
        };
        found.into_iter().max_by(|a, b| rank(a).total_cmp(&rank(b)))
    }

    /// The table whose name and columns are most like a twin's; else why there is none.
    fn alike(&self, twin: &Listed) -> Result<&Listed, String> {
        let candidates = self.tables.iter().filter(|legacy| related(legacy, twin));
        let candidates = candidates.filter(|legacy| common(legacy, twin) >= ALIKE);
        let (mut best, mut left_out): (Option<&Listed>, Vec<String>) = (None, Vec::new());
        for legacy in candidates {
            let own = name(legacy);
            if self.is_template(legacy) {
                left_out.push(format!("{} is what its partitions are made after", written(&own)));
            } else if let Some(part) = set_aside(&legacy.name, &twin.name) {
                left_out
                    .push(format!("{} was put aside, as `{part}` in its name says", written(&own)));
            } else if best.is_none_or(|best| likeness(legacy, twin) > likeness(best, twin)) {
                best = Some(legacy);
            }
        }
        let none = "no table of a like name and like columns was found for it";
        best.ok_or_else(|| match left_out.as_slice() {
            [] => none.into(),
            left_out => format!("{}: no legacy table", left_out.join("; ")),
        })
    }

    fn is_template(&self, table: &Listed) -> bool {
        let plain = format!("{}.{}", table.schema, table.name);
        self.templates.contains(&plain)
    }
}

/// Whether one's name is the other's with something before or behind it.
fn related(legacy: &Listed, twin: &Listed) -> bool {
    if (&legacy.schema, &legacy.name) == (&twin.schema, &twin.name) {
        return false;
    }
    // Two partitioned tables are a pair only if the twin's name says so.
    let (long, short) = (twin.name.as_str(), legacy.name.as_str());
    let extends = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.starts_with(['_', '-', '.', '$']))
            || long.strip_suffix(short).is_some_and(|rest| rest.ends_with(['_', '-', '.', '$']))
    };
    let other_schema = legacy.schema != twin.schema && long == short;
    let renamed = legacy.kind == "r" && extends(short, long);
    extends(long, short) || other_schema && legacy.kind == "r" || renamed
}

/// Share of the columns of both that are common, by name.
fn common(legacy: &Listed, twin: &Listed) -> f64 {
    let both = legacy.columns.iter().filter(|name| twin.columns.contains(name)).count();
    both as f64 / legacy.columns.len().max(twin.columns.len()).max(1) as f64
}

fn likeness(legacy: &Listed, twin: &Listed) -> f64 {
    let same_schema = if legacy.schema == twin.schema { 0.5 } else { 0.0 };
    let ordinary = if legacy.kind == "r" { 0.25 } else { 0.0 };
    // `orders_archive_part` belongs to `orders_archive` rather than to `orders`.
    common(legacy, twin) + same_schema + ordinary + legacy.name.len() as f64 / 1000.0
}
