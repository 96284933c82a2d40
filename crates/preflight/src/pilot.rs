//! The pilot: small orgs at low risk, as a list, as a targeting rule, as SQL.

use serde_json::json;

use super::sql;
use cutover_error::foreign::value;
use cutover_error::{Error, Result};
use cutover_ground::pg::Shared;

/// Which orgs may be pilots.
#[derive(Debug, Clone, Copy)]
pub struct PilotOptions {
    /// Fewer transactions than this.
    pub fewer_than: i64,
    /// At most so many.
    pub orgs: i64,
}

/// The pilot orgs, in each form that somebody needs.
#[derive(Debug, Clone)]
pub struct Pilot {
    /// Their ids, newest org first.
    pub orgs: Vec<i64>,
    /// One per line, for `cutover diff --orgs-file`.
    pub list: String,
    /// The targeting rule of LaunchDarkly, as the handbook has it.
    pub rule: String,
    /// The handbook's statement that checks exactly those orgs.
    pub check: String,
    /// The body of `PUT /admin/flags` that lets in exactly those.
    pub flags: String,
}

/// Selects the pilots.
///
/// # Errors
/// If the database does not answer, or no org fits.
pub async fn pilot(database_url: &str, options: PilotOptions) -> Result<Pilot> {
    let mut connection = Shared::connect(database_url, super::QUESTION_LIMIT).await?;
    let found = sql::pilots(&mut connection, options.fewer_than, options.orgs).await;
    connection.close().await;
    let found = found.map_err(|why| {
        Error::run(format!("cannot select pilots: {why}"), "is there a table organizations?")
    })?;
    if found.is_empty() {
        let fewer_than = options.fewer_than;
        let what =
            format!("public.organizations has no org with fewer than {fewer_than} transactions");
        return Err(Error::run(what, "raise --fewer-than, or fill that table: is it empty?"));
    }
    let orgs: Vec<i64> = found.iter().map(|(id, ..)| *id).collect();
    let lines = found
        .iter()
        .map(|(id, name, count)| format!("{id} # {}, {count} transactions\n", value(name)));
    let rule = json!({ "USE_PARTITIONED_TABLES": {
        "enabled": true,
        "rules": [{
            "variation": true,
            "clauses": [{ "attribute": "orgId", "op": "in", "values": orgs }],
        }],
        "fallthrough": { "variation": false },
    } });
    let flags = json!({ "USE_PARTITIONED_TABLES": true, "pilotOrgs": orgs });
    let ids: Vec<String> = orgs.iter().map(ToString::to_string).collect();
    Ok(Pilot {
        list: lines.collect(),
        rule: format!("{rule:#}\n"),
        check: CHECK.replace("$ORGS", &ids.join(", ")),
        flags: format!("{flags:#}\n"),
        orgs,
    })
}

/// The handbook's check, for each table; counted on each side by itself, so that a row that stands
/// twice does not hide one that is missing.
const CHECK: &str = include_str!("pilot_check.sql");
