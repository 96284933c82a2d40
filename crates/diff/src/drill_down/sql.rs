//! The statements that read the rows of diverging orgs.

use crate::org::org;
use crate::schema::{ComparedColumn, PairPlan, Side};
use crate::scope::Rows;
use crate::sql::{changed, image, sortable, source, text_array, where_rows};
use cutover_ground::pg::catalog::Leaf;
use cutover_ground::pg::quote_ident;

/// Reads the rows of one leaf, or of the whole side, that are `selected`: the columns of
/// [`PairPlan::identity`] as bytes that order alike, whether it is the twin's, whether its org is asked for,
/// org, leaf, whether misrouted, whether changed since the time that `rows` asks for, then the images of the
/// compared columns (their texts if bytes do not tell values apart), and the beginnings of their texts as an array.
///
/// With `keys` it reads rows with one of these keys that are *not* selected: only so is a row under the wrong
/// org told from one that is missing.
pub(super) fn rows(
    plan: &PairPlan,
    (side, leaf): (Side, Option<&Leaf>),
    selected: Rows<'_>,
    rows: Rows<'_>,
    keys: Option<&[Vec<String>]>,
    cut: usize,
) -> String {
    let filter = match keys {
        None => where_rows(plan, side, selected, Vec::new()),
        Some(keys) => {
            let selected = where_rows(plan, side, selected, Vec::new());
            format!(
                " WHERE {} AND NOT ({})",
                with_key(plan, side, keys),
                selected.trim_start_matches(" WHERE ")
            )
        }
    };
    let source = source(plan, side, leaf, &filter);
    let mut fields: Vec<String> =
        plan.identity().iter().map(|column| sortable(column, side)).collect();
    fields.push((side == Side::Partitioned).to_string());
    fields.push(keys.is_none().to_string());
    fields.push(format!("({})::text", org(plan, side)));
    fields.push(format!("{}::regclass::text", source.leaf));
    fields.push(source.misrouted.unwrap_or("false".into()));
    fields.push(changed(plan, side, rows).unwrap_or("true".into()));
    let apart = |column: &ComparedColumn| match column.has_many_forms {
        true => sortable(column, side),
        false => image(column, side),
    };
    fields.extend(plan.columns.iter().map(apart));
    // In one field: a statement sends no more than 1,664, and a table may have 1,600 columns.
    let text = |column| format!("left(format('%s', {}), {})", quote_ident(column), cut + 1);
    let texts: Vec<String> = plan.columns.iter().map(|column| text(column.on(side))).collect();
    fields.push(format!("ARRAY[{}]::text[]", texts.join(", ")));
    format!("SELECT {} FROM {}", fields.join(", "), source.from)
}

/// Whether a row has one of these keys, each the texts of the key's columns.
fn with_key(plan: &PairPlan, side: Side, keys: &[Vec<String>]) -> String {
    let identity = plan.identity();
    let images: Vec<String> = identity.iter().map(|column| image(column, side)).collect();
    let lists = identity.iter().enumerate().map(|(at, column)| {
        let texts: Vec<String> = keys.iter().map(|key| key[at].clone()).collect();
        let type_name = plan.table(side).column(column.on(side)).map(|c| c.bare_type.as_str());
        let type_name = type_name.filter(|_| !column.as_text).unwrap_or("text");
        format!("unnest({}::{type_name}[])", text_array(&texts))
    });
    let lists: Vec<String> = lists.collect();
    format!("({}) IN (SELECT {})", images.join(", "), lists.join(", "))
}

/// Sends what the parts read, which see one state of the database wherever their tables are.
pub(super) fn copy(parts: &[String]) -> String {
    format!("COPY ({}) TO STDOUT (FORMAT binary)", parts.join(" UNION ALL "))
}
