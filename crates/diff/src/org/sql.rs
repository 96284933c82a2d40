//! The org of a row, or what stands in its place, in statements.

use super::Org;
use crate::schema::{ComparedColumn, PairPlan, Side};
use crate::sql::{text_array, text_of};
use cutover_evidence::finding::{GROUP, NO_ORG};
use cutover_ground::pg::quote_ident;

/// A row's org, never NULL; or the group of a row without: `group:N`, by the hash of its key's text.
pub(crate) fn org(plan: &PairPlan, side: Side) -> String {
    match &plan.org {
        Org::Column(column) if column.not_null => quote_ident(column.on(side)),
        Org::Column(column) => {
            format!("coalesce(({})::text, '{NO_ORG}')", quote_ident(column.on(side)))
        }
        Org::Groups(groups) => {
            let key = row_text(&plan.key, side);
            format!(
                "('{GROUP}'::text || abs(mod(pg_catalog.hashtextextended({key}, 0::bigint), {groups}::bigint))::text)"
            )
        }
    }
}

/// The org as PostgreSQL prints it, compared by its bytes.
pub(crate) fn org_text(plan: &PairPlan, side: Side) -> String {
    format!("({})::text COLLATE \"C\"", org(plan, side))
}

/// Whether a row's org is this one, a parameter for a text. Found by an index of the org if there is one: what
/// the text says against it, the planner knows.
pub(crate) fn org_is(plan: &PairPlan, side: Side, parameter: &str) -> String {
    match plan.org.column() {
        None => format!("{} = {parameter}", org(plan, side)),
        Some(column) => {
            let (name, type_name) = (quote_ident(column.on(side)), org_type(plan, side, column));
            match column.not_null {
                true => format!("{name} = {parameter}::{type_name}"),
                false => format!(
                    "({name} = nullif({parameter}, '{NO_ORG}')::{type_name} \
                     OR {parameter} = '{NO_ORG}' AND num_nulls({name}) > 0)"
                ),
            }
        }
    }
}

/// Whether a row's org is one of these.
pub(crate) fn org_is_among(plan: &PairPlan, side: Side, orgs: &[String]) -> String {
    // A subquery rather than `= ANY (list)`: the planner would weigh a list of thousands
    // element by element, for every partition anew.
    let Some(column) = plan.org.column() else {
        return format!("{} IN (SELECT unnest({}::text[]))", org(plan, side), text_array(orgs));
    };
    let (name, type_name) = (quote_ident(column.on(side)), org_type(plan, side, column));
    let (nobody, some): (Vec<String>, Vec<String>) =
        orgs.iter().cloned().partition(|org| !column.not_null && org == NO_ORG);
    let among = format!("{name} IN (SELECT unnest({}::{type_name}[]))", text_array(&some));
    match nobody.is_empty() {
        true => among,
        false => format!("({among} OR num_nulls({name}) > 0)"),
    }
}

/// The type of the org, without a length.
fn org_type<'p>(plan: &'p PairPlan, side: Side, org: &ComparedColumn) -> &'p str {
    plan.table(side).column(org.on(side)).map_or("text", |column| &column.bare_type)
}

/// Rows as text, NULL and the empty text apart.
pub(crate) fn row_text(columns: &[ComparedColumn], side: Side) -> String {
    let names = columns.iter().map(|column| text_of(column, side));
    format!("ROW({})::text COLLATE \"C\"", names.collect::<Vec<_>>().join(", "))
}
