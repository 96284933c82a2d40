//! Which tables are pairs, and what is known of each.

use sqlx::postgres::PgConnection;

use super::written;
use cutover_error::Result;
use cutover_ground::pg::QualifiedName;
use cutover_ground::pg::catalog::{Choices, ForeignKey, Index, Leaf, Listed, Table, Trigger};

/// Share of its columns that a twin has to have in common with its legacy table.
const ALIKE: f64 = 0.6;

/// Names of columns that hold the org, likeliest first.
const ORG_NAMES: [&str; 16] = [
    "org_id",
    "organization_id",
    "organisation_id",
    "tenant_id",
    "tenant",
    "account_id",
    "company_id",
    "customer_id",
    "workspace_id",
    "hotel_id",
    "merchant_id",
    "shop_id",
    "client_id",
    "org",
    "orgid",
    "tenantid",
];

/// A legacy table and its partitioned twin, as the catalogs have them.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What the configuration calls it.
    pub name: String,
    /// The legacy table.
    pub legacy: Table,
    /// Its twin.
    pub twin: Table,
    /// The column of the org, if one was found.
    pub org: Option<String>,
    /// The columns that identify a row; empty if nothing does.
    pub key: Vec<String>,
    /// Columns that the twin fills by itself.
    pub ignore: Vec<String>,
    /// Columns that stand in legacy only.
    pub only_legacy: Vec<String>,
    /// Columns that stand in the twin only.
    pub only_twin: Vec<String>,
    /// Triggers on legacy whose function names the twin.
    pub triggers: Vec<Trigger>,
    /// Columns that are unique by themselves on either side.
    pub(super) unique: Vec<String>,
    pub(super) choices: Vec<Choices>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) leaves: Vec<Leaf>,
}

/// Pairs of names, and what is said of partitioned tables without a legacy table.
pub(super) fn matches(listed: &[Listed]) -> (Vec<(QualifiedName, QualifiedName)>, Vec<String>) {
    let name =
        |table: &Listed| QualifiedName { schema: table.schema.clone(), name: table.name.clone() };
    let (mut pairs, mut alone) = (Vec::new(), Vec::new());
    for twin in listed.iter().filter(|table| table.kind == "p") {
        let candidates = listed.iter().filter(|legacy| related(legacy, twin));
        let best = candidates.max_by(|a, b| likeness(a, twin).total_cmp(&likeness(b, twin)));
        match best.filter(|legacy| common(legacy, twin) >= ALIKE) {
            Some(legacy) if legacy.readable && twin.readable => {
                pairs.push((name(legacy), name(twin)));
            }
            Some(legacy) => alone.push(format!(
                "{} looks like the twin of {}, but this role may not read both",
                name(twin),
                name(legacy)
            )),
            None => alone.push(format!(
                "{} is partitioned; no table of a like name and like columns was found for it",
                name(twin)
            )),
        }
    }
    (pairs, alone)
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

/// Names pairs after their legacy tables, with the schema where two would be alike.
pub(super) fn name(pairs: &mut [Pair]) {
    let names: Vec<String> = pairs.iter().map(|pair| pair.legacy.name.name.clone()).collect();
    for (at, pair) in pairs.iter_mut().enumerate() {
        let twice = names.iter().enumerate().any(|(other, name)| other != at && *name == names[at]);
        pair.name = match twice {
            true => format!("{}_{}_{at}", pair.legacy.name.schema, names[at]),
            false => names[at].clone(),
        };
    }
}

/// The org of each pair: by a usual name, else the column that all pairs have in common.
pub(super) fn choose_org(pairs: &mut [Pair]) {
    let shared: Vec<Vec<String>> = pairs.iter().map(Pair::shared).collect();
    let in_all = |name: &String| shared.iter().all(|columns| columns.contains(name));
    let usual = ORG_NAMES.iter().find(|name| in_all(&(**name).to_owned()));
    let several = pairs.len() > 1;
    let by_reference = |pair: &Pair| {
        let single = pair.foreign_keys.iter().filter(|key| key.columns.len() == 1);
        single.map(|key| key.columns[0].clone()).find(|name| several && in_all(name))
    };
    let fallback = pairs.first().and_then(by_reference);
    for (pair, columns) in pairs.iter_mut().zip(&shared) {
        let own = ORG_NAMES.iter().find(|name| columns.iter().any(|column| column == *name));
        let chosen = usual.or(own).map(|name| (*name).to_owned());
        pair.org = chosen.or_else(|| fallback.clone().filter(|name| columns.contains(name)));
        if let (Some(org), [only]) = (&pair.org, pair.key.as_slice())
            && org == only
        {
            // A key alone cannot tell whose a row is.
            pair.org = None;
        }
    }
}

impl Pair {
    pub(super) async fn look(
        connection: &mut PgConnection,
        legacy: &QualifiedName,
        twin: &QualifiedName,
        url: &str,
    ) -> Result<Self> {
        let legacy = Table::find(connection, legacy, url).await?;
        let twin = Table::find(connection, twin, url).await?;
        let only = |one: &Table, other: &Table| {
            let names = one.columns.iter().map(|column| column.name.clone());
            names.filter(|name| other.column(name).is_none()).collect::<Vec<_>>()
        };
        let indexes = [legacy.indexes(connection).await?, twin.indexes(connection).await?];
        let key = key(&legacy, &indexes[0], &twin, &indexes[1]);
        let numbers_itself = |name: &String| {
            let column = twin.column(name);
            !key.contains(name)
                && column.is_some_and(|c| c.generated || c.identity || c.sequence.is_some())
        };
        let shared = legacy.columns.iter().map(|column| column.name.clone());
        let ignore = shared.filter(numbers_itself).collect();
        let triggers = legacy.triggers(connection).await?;
        let carriers = triggers.into_iter().filter(|trigger| trigger.mentions(&twin.name.name));
        Ok(Self {
            name: legacy.name.name.clone(),
            org: None,
            key,
            ignore,
            unique: indexes.iter().flat_map(|indexes| unique(indexes)).collect(),
            only_legacy: only(&legacy, &twin),
            only_twin: only(&twin, &legacy),
            triggers: carriers.collect(),
            choices: legacy.choices(connection).await?,
            foreign_keys: legacy.foreign_keys(connection).await?,
            leaves: twin.leaves(connection).await?,
            legacy,
            twin,
        })
    }

    /// The columns that stand on both sides.
    fn shared(&self) -> Vec<String> {
        let names = self.legacy.columns.iter().map(|column| column.name.clone());
        names.filter(|name| self.twin.column(name).is_some()).collect()
    }

    /// The table that the org's column refers to.
    pub(super) fn org_refers_to(&self) -> Option<&ForeignKey> {
        let org = self.org.as_ref()?;
        self.foreign_keys.iter().find(|key| key.columns.as_slice() == [org.clone()])
    }

    /// Columns whose types differ: name, legacy's, the twin's.
    pub(super) fn other_types(&self) -> Vec<(String, String, String)> {
        let columns = self.legacy.columns.iter().filter_map(|left| {
            let right = self.twin.column(&left.name)?;
            (left.type_name != right.type_name)
                .then(|| (left.name.clone(), left.type_name.clone(), right.type_name.clone()))
        });
        columns.collect()
    }

    /// Events that no trigger that was found carries.
    pub(super) fn uncarried(&self) -> Vec<&'static str> {
        let carried =
            |event: &str| self.triggers.iter().any(|t| t.is_enabled() && t.fires_on(event));
        ["INSERT", "UPDATE", "DELETE", "TRUNCATE"].into_iter().filter(|e| !carried(e)).collect()
    }

    /// How the twin is divided.
    pub(super) fn divided(&self) -> String {
        let strategy = match self.twin.strategy.as_deref() {
            Some("r") => "RANGE",
            Some("l") => "LIST",
            Some("h") => "HASH",
            _ => "?",
        };
        let columns = self.twin.partition_columns.join(", ");
        format!("{strategy} ({columns}), {} partitions", self.leaves.len())
    }

    pub(super) fn told(&self) -> Vec<String> {
        let (legacy, twin) = (written(&self.legacy.name), written(&self.twin.name));
        let mut lines = vec![format!("{legacy} and {twin}, {}", self.divided())];
        let org = self.org.as_deref().unwrap_or("not found");
        lines.push(format!("  org: {org}; key: {}", self.key.join(", ")));
        let triggers: Vec<&str> = self.triggers.iter().map(|t| t.name.as_str()).collect();
        // Whether a TRUNCATE is carried, no catalog tells: its trigger need not name the twin.
        let left: Vec<&str> = self.uncarried().into_iter().filter(|e| *e != "TRUNCATE").collect();
        match (triggers.as_slice(), left.join(", ")) {
            ([], _) => lines.push("  no trigger on the legacy table names the twin".into()),
            (names, left) if left.is_empty() => {
                lines.push(format!("  tied by {}", names.join(", ")))
            }
            (names, left) => {
                lines.push(format!("  tied by {}; not carried: {left}", names.join(", ")));
            }
        }
        for (columns, side) in [(&self.only_legacy, "legacy"), (&self.only_twin, "the twin")] {
            if !columns.is_empty() {
                lines.push(format!("  only in {side}: {}", columns.join(", ")));
            }
        }
        for (name, left, right) in self.other_types() {
            lines.push(format!("  {name}: {left} in legacy, {right} in the twin"));
        }
        lines
    }
}

/// The columns that are unique by themselves.
pub(super) fn unique(indexes: &[Index]) -> Vec<String> {
    let unique = indexes.iter().filter(|index| index.is_unique && index.direct);
    unique.filter(|index| index.columns.len() == 1).map(|index| index.columns[0].clone()).collect()
}

/// What identifies a row on both sides: a unique key that both have, else the legacy table's shortest
/// one whose columns stand on both sides.
fn key(legacy: &Table, of_legacy: &[Index], twin: &Table, of_twin: &[Index]) -> Vec<String> {
    let unique = |indexes: &[Index]| {
        let whole = |index: &&Index| index.direct && index.is_unique && !index.columns.is_empty();
        indexes.iter().filter(whole).map(|index| index.columns.clone()).collect::<Vec<_>>()
    };
    let mut own: Vec<Vec<String>> = unique(of_legacy)
        .into_iter()
        .filter(|key| key.iter().all(|name| twin.column(name).is_some()))
        .collect();
    own.sort_by_key(Vec::len);
    let same = |a: &[String], b: &[String]| a.len() == b.len() && a.iter().all(|c| b.contains(c));
    let theirs = unique(of_twin);
    // A twin that numbers its rows itself is tied to legacy by the natural key alone.
    let numbers = |key: &[String]| {
        let column =
            |name: &String| twin.column(name).is_some_and(|c| c.identity || c.sequence.is_some());
        key.iter().any(column)
    };
    let natural = own.iter().find(|key| !numbers(key) && theirs.iter().any(|t| same(t, key)));
    let any = own.iter().find(|key| !numbers(key)).or(own.first());
    let found = natural.or(any).cloned();
    // A table without a unique key: what the twin holds to be unique is the next best.
    let of_twin =
        || theirs.iter().find(|key| key.iter().all(|n| legacy.column(n).is_some())).cloned();
    found.or_else(of_twin).unwrap_or_default()
}
