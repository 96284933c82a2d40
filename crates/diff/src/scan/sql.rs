//! The statements that read or sum whole tables.

use crate::org::{org, org_text};
use crate::schema::{PairPlan, Side};
use crate::scope::Rows;
use crate::sql::{Source, image, source, where_rows};
use cutover_ground::pg::catalog::Leaf;
use cutover_ground::pg::quote_ident;

/// A part of a leaf, by its blocks; without an end it reaches as far as the leaf does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) from: u64,
    pub(super) to: Option<u64>,
}

/// The fields of a row: everything that is compared, in the order of legacy's columns, because a
/// server that need not rearrange its rows sends them faster. An org that is no integer comes before
/// them as text.
fn row_fields(plan: &PairPlan, side: Side) -> Vec<String> {
    let org = (!plan.integer_org).then(|| org_text(plan, side));
    org.into_iter().chain(plan.columns.iter().map(|column| image(column, side))).collect()
}

/// Whether only the server can say if a row of [`rows`] is misrouted, which then is what it begins with.
pub(super) fn is_flagged(plan: &PairPlan, side: Side, leaf: Option<&Leaf>) -> bool {
    let ours = leaf.is_some_and(|leaf| plan.range(side, leaf).is_some());
    !ours && source(plan, side, leaf, "").misrouted.is_some()
}

/// Reads one leaf or a part of it, or the whole side where `leaf` is `None`; [`is_flagged`] says what comes
/// first.
pub(super) fn rows(
    plan: &PairPlan,
    side: Side,
    leaf: Option<&Leaf>,
    blocks: Option<Blocks>,
    rows: Rows<'_>,
) -> String {
    let source = source(plan, side, leaf, &filter(plan, side, blocks, rows));
    let flag = source.misrouted.filter(|_| is_flagged(plan, side, leaf));
    let mut fields: Vec<String> = flag.into_iter().collect();
    fields.extend(row_fields(plan, side));
    format!("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)", fields.join(", "), source.from)
}

/// The condition for the rows of some blocks that are asked for.
fn filter(plan: &PairPlan, side: Side, blocks: Option<Blocks>, rows: Rows<'_>) -> String {
    let mut conditions = Vec::new();
    if let Some(Blocks { from, to }) = blocks {
        conditions.push(format!("ctid >= '({from},0)'::tid"));
        conditions.extend(to.map(|to| format!("ctid < '({to},0)'::tid")));
    }
    where_rows(plan, side, rows, conditions)
}

/// Sums the rows of one leaf, or of a part of it, per org: org, rows, rows with a NULL in their key, whether
/// one is misrouted, and the sums of the two hashes of [`orgs`], as text. Sums of leaves add up in our process.
pub(super) fn sums(
    plan: &PairPlan,
    (side, leaf): (Side, &Leaf),
    blocks: Option<Blocks>,
    rows: Rows<'_>,
    keys: [i64; 2],
) -> String {
    let source = source(plan, side, Some(leaf), &filter(plan, side, blocks, rows));
    format!(
        "COPY (SELECT org::text, count(*), sum(key_null)::bigint, bool_or(misrouted),
                      sum(one)::text, sum(two)::text
                 FROM ({}) AS r
                GROUP BY org) TO STDOUT (FORMAT binary)",
        hashed(plan, side, source, keys)
    )
}

/// Sums both sides per org inside the server, in one statement and so on one state of the database.
///
/// Its rows: kind, org, orgs, rows by side, rows with a NULL in their key by side, whether
/// misrouted, whether the sides differ. Kind 0 sums up the orgs that agree, kind 1 is an org that
/// does not (or any, with `all_orgs`).
///
/// A row's image is the text of `ROW(…)`, which tells NULL from an empty text and quotes whatever
/// could pass for a separator; two 64-bit hashes of it under keys of this run are summed exactly
/// (as `numeric`), never with wrap-around. `~h` stands for `-h - 1`, because `-h` can overflow.
pub(super) fn orgs(plan: &PairPlan, rows: Rows<'_>, keys: [i64; 2], all_orgs: bool) -> String {
    let [legacy, twin] = Side::BOTH.map(|side| {
        let filter = where_rows(plan, side, rows, Vec::new());
        hashed(plan, side, source(plan, side, None, &filter), keys)
    });
    format!(
        "COPY (
           SELECT kind, CASE WHEN kind = 1 THEN org::text END, count(*),
                  sum(legacy_rows)::bigint, sum(twin_rows)::bigint,
                  sum(legacy_nulls)::bigint, sum(twin_nulls)::bigint,
                  bool_or(misrouted), bool_or(differs)
             FROM (SELECT *, (differs OR misrouted OR {all_orgs})::int AS kind
                     FROM (SELECT org, sum(1 - twin) AS legacy_rows, sum(twin) AS twin_rows,
                                  sum((1 - twin) * key_null) AS legacy_nulls,
                                  sum(twin * key_null) AS twin_nulls,
                                  bool_or(misrouted) AS misrouted,
                                  sum(1 - 2 * twin) <> 0 OR sum(one) + sum(twin) <> 0
                                      OR sum(two) + sum(twin) <> 0 AS differs
                             FROM ({legacy} UNION ALL {twin}) AS r
                            GROUP BY org) AS o) AS k
            GROUP BY kind, CASE WHEN kind = 1 THEN org::text END
         ) TO STDOUT (FORMAT binary)"
    )
}

/// Rows of one side with their hashes.
fn hashed(plan: &PairPlan, side: Side, source: Source, keys: [i64; 2]) -> String {
    let images: Vec<String> = plan.columns.iter().map(|column| image(column, side)).collect();
    // A row without org is told by the group that it is in.
    let key = plan.key.iter().filter(|column| Some(*column) != plan.org.column());
    let key: Vec<String> =
        key.enumerate().map(|(n, c)| format!("{} AS k{n}, ", quote_ident(c.on(side)))).collect();
    let key_null = match key.len() {
        0 => "0".to_owned(),
        columns => format!("(num_nulls({}) > 0)::int", aliases("k", columns)),
    };
    let (twin, sign) = match side {
        Side::Legacy => (0, ""),
        Side::Partitioned => (1, "~"),
    };
    let hash = |key: i64| format!("{sign}hashtextextended(image, '{key}'::bigint)");
    // OFFSET 0 keeps the planner from printing the row once for every hash.
    format!(
        "SELECT org, {twin} AS twin, {key_null} AS key_null, misrouted,
                {one} AS one, {two} AS two
           FROM (SELECT {org} AS org, {key}{misrouted} AS misrouted,
                        ROW({images})::text COLLATE \"C\" AS image
                   FROM {from} OFFSET 0) AS s",
        key = key.concat(),
        one = hash(keys[0]),
        two = hash(keys[1]),
        org = if plan.integer_org { org(plan, side) } else { org_text(plan, side) },
        misrouted = source.misrouted.unwrap_or("false".into()),
        images = images.join(", "),
        from = source.from,
    )
}

fn aliases(letter: &str, count: usize) -> String {
    (0..count).map(|nth| format!("{letter}{nth}")).collect::<Vec<_>>().join(", ")
}

/// How many orgs have a row on either side of any pair, and which of the listed ones have none.
pub(crate) fn count_orgs(plans: &[PairPlan], rows: Rows<'_>) -> String {
    let mut sides = Vec::new();
    for plan in plans {
        for side in Side::BOTH {
            let org = org_text(plan, side);
            let filter = where_rows(plan, side, rows, Vec::new());
            sides.push(format!("SELECT {org} AS org FROM {}{filter}", plan.table(side).name));
        }
    }
    let orgs = sides.join(" UNION ");
    match rows.orgs {
        None => format!("SELECT count(*), ARRAY[]::text[] FROM ({orgs}) AS o"),
        Some(listed) => {
            let list = crate::sql::text_array(listed);
            format!(
                "WITH o AS MATERIALIZED ({orgs})
                 SELECT (SELECT count(*) FROM o),
                        ARRAY(SELECT unnest({list}::text[]) EXCEPT SELECT org FROM o)"
            )
        }
    }
}
