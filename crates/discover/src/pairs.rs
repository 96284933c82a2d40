//! Which tables are pairs, and what is known of each.

use sqlx::postgres::PgConnection;

use super::matching::Match;
use super::written;
use cutover_error::{Error, Result};
use cutover_evidence::side::Side;
use cutover_ground::pg::catalog::{Choices, ForeignKey, Index, Leaf, Table, Trigger};

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

/// In how many groups rows without org are compared: as many as make each small in a large table.
const GROUPS: u32 = 4096;

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
    /// Triggers of the side that is written to, which carry its writes to the other.
    pub triggers: Vec<Trigger>,
    /// The side that the application writes to, as far as the triggers tell.
    pub writes: Option<Side>,
    /// Why the two are no pair by proof; such a pair is proposed in comments alone.
    pub untied: Option<String>,
    /// Columns that are unique by themselves on either side.
    pub(super) unique: Vec<String>,
    pub(super) choices: Vec<Choices>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    pub(super) leaves: Vec<Leaf>,
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
///
/// `named` is the column that somebody named; pairs that lack it go by their own.
///
/// # Errors
/// A usage error if no pair has the column that was named.
pub(super) fn choose_org(pairs: &mut [Pair], named: Option<&str>) -> Result<()> {
    choose_usual_org(pairs);
    let Some(named) = named else { return Ok(()) };
    let has = |pair: &Pair| pair.shared().iter().any(|column| column == named);
    if !pairs.is_empty() && !pairs.iter().any(has) {
        let of = |pair: &Pair| format!("{}: {}", pair.name, pair.shared().join(", "));
        let there: Vec<String> = pairs.iter().map(of).collect();
        let what = format!("--org {named}: no table pair has this column on both sides");
        return Err(Error::usage(what, there.join("; ")));
    }
    for pair in pairs.iter_mut().filter(|pair| has(pair)) {
        pair.org = Some(named.to_owned());
    }
    Ok(())
}

fn choose_usual_org(pairs: &mut [Pair]) {
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
        found: Match,
        url: &str,
    ) -> Result<Self> {
        let legacy = Table::find(connection, &found.legacy, url).await?;
        let twin = Table::find(connection, &found.twin, url).await?;
        let only = |one: &Table, other: &Table| {
            let names = one.columns.iter().map(|column| column.name.clone());
            names.filter(|name| other.column(name).is_none()).collect::<Vec<_>>()
        };
        let indexes = [legacy.indexes(connection).await?, twin.indexes(connection).await?];
        let key = key(&legacy, &indexes[0], &twin, &indexes[1]);
        let reversed = found.writes == Some(Side::Partitioned);
        let follower = if reversed { &legacy } else { &twin };
        // Only what the carrying functions do not hand on is numbered anew; a column that is computed is
        // compared like any other, since both sides may compute it by another formula.
        let numbers_itself = |name: &String| {
            let column = follower.column(name);
            !key.contains(name)
                && column.is_some_and(|c| !c.generated && (c.identity || c.sequence.is_some()))
                && !found.ties.iter().any(|tie| tie.hands_on(name))
        };
        let shared = legacy.columns.iter().map(|column| column.name.clone());
        let ignore = shared.filter(numbers_itself).collect();
        Ok(Self {
            name: legacy.name.name.clone(),
            org: None,
            key,
            ignore,
            unique: indexes.iter().flat_map(|indexes| unique(indexes)).collect(),
            only_legacy: only(&legacy, &twin),
            only_twin: only(&twin, &legacy),
            triggers: found.ties.into_iter().map(|tie| tie.trigger).collect(),
            writes: found.writes,
            untied: found.untied,
            choices: legacy.choices(connection).await?,
            foreign_keys: legacy.foreign_keys(connection).await?,
            leaves: twin.leaves(connection).await?,
            legacy,
            twin,
        })
    }

    /// In how many groups its rows are compared, for want of an org.
    pub fn groups(&self) -> Option<u32> {
        (self.org.is_none() && !self.key.is_empty()).then_some(GROUPS)
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

    /// Which side the application writes to, in words.
    pub(super) fn written_to(&self) -> String {
        match self.writes {
            Some(Side::Legacy) => "the application writes the legacy side".into(),
            Some(Side::Partitioned) => {
                "the application writes the partitioned side, the other is kept as the way back"
                    .into()
            }
            None => {
                "each side carries to the other: name the one that the application writes to".into()
            }
        }
    }

    pub(super) fn told(&self) -> Vec<String> {
        let (legacy, twin) = (written(&self.legacy.name), written(&self.twin.name));
        let mut lines = vec![format!("{legacy} and {twin}, {}", self.divided())];
        let org = match (&self.org, self.groups()) {
            (Some(org), _) => format!("org: {org}"),
            (None, Some(groups)) => format!("no org: {groups} groups by the hash of the key"),
            (None, None) => "org: not found".to_owned(),
        };
        lines.push(format!("  {org}; key: {}", self.key.join(", ")));
        if let Some(why) = &self.untied {
            return vec![format!("{legacy} and {twin} are proposed in comments alone: {why}")];
        }
        let triggers: Vec<&str> = self.triggers.iter().map(|t| t.name.as_str()).collect();
        // Whether a TRUNCATE is carried, no catalog tells: its trigger need not name the other side.
        let left: Vec<&str> = self.uncarried().into_iter().filter(|e| *e != "TRUNCATE").collect();
        let left = match left.join(", ") {
            left if left.is_empty() => left,
            left => format!("; not carried: {left}"),
        };
        lines.push(format!("  tied by {}{left}; {}", triggers.join(", "), self.written_to()));
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
