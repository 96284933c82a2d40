//! What the database says: version, tables, triggers, parity, log.

use super::{backup, item, sql, unknown};
use cutover_error::Result;
use cutover_evidence::checklist::Item;
use cutover_evidence::limits::{LimitId, Limits};
use cutover_ground::config::{Config, TablePair};
use cutover_ground::pg::Shared;

/// The handbook's oldest server.
const OLDEST: i32 = 150_000;

pub(super) async fn items(config: &Config, database_url: &str) -> Result<Vec<Item>> {
    let title = "PostgreSQL 15+ answers";
    let mut connection = match Shared::connect(database_url, super::QUESTION_LIMIT).await {
        Ok(connection) => connection,
        Err(error) => {
            let advice = error.hint().unwrap_or("is the server running there?").to_owned();
            return Ok(vec![item("server_version", title, false, error.to_string(), &advice)]);
        }
    };
    let row_delta = Limits { own: &config.limits, phase: None }.value(LimitId::RowDelta);
    let mut items = vec![version(&mut connection, title).await];
    for pair in &config.tables {
        items.push(tables(&mut connection, pair).await);
        items.push(trigger(&mut connection, pair).await);
        items.push(parity(&mut connection, pair, row_delta).await);
    }
    items.push(backup::age(config, &mut connection).await);
    items.push(log(config));
    connection.close().await;
    Ok(items)
}

async fn version(connection: &mut Shared, title: &str) -> Item {
    match sql::version(connection).await {
        Ok(number) => {
            let seen = format!("{}.{}", number / 10_000, number % 10_000);
            item("server_version", title, number >= OLDEST, seen, "upgrade the server")
        }
        Err(why) => unknown("server_version", title, why, "ask the server: SHOW server_version"),
    }
}

async fn tables(connection: &mut Shared, pair: &TablePair) -> Item {
    let (id, title) =
        (format!("tables_{}", pair.name), "both tables are there, the twin partitioned");
    let title = format!("{}: {title}", pair.name);
    match sql::kinds(connection, pair).await {
        Ok((legacy, twin, leaves)) => {
            let holds = legacy.is_some() && twin.as_deref() == Some("p") && leaves > 0;
            let seen = format!(
                "legacy {}, twin {} with {leaves} partitions",
                legacy.map_or("missing", |_| "there"),
                match twin.as_deref() {
                    Some("p") => "partitioned",
                    Some(_) => "not partitioned",
                    None => "missing",
                }
            );
            item(&id, &title, holds, seen, "apply the migrations")
        }
        Err(why) => unknown(&id, &title, why, "apply the migrations"),
    }
}

pub(super) async fn trigger(connection: &mut Shared, pair: &TablePair) -> Item {
    let id = format!("trigger_{}", pair.name);
    let title = format!("{}: the dual-write trigger is active", pair.name);
    let Some(trigger) = &pair.trigger else {
        let advice = "name it in the configuration, or let cutover diff try the triggers on a row";
        return unknown(&id, &title, "the configuration names none", advice);
    };
    match sql::trigger_state(connection, pair, trigger).await {
        Ok(Some(state)) => {
            let holds = state == "O" || state == "A";
            let seen = format!("{trigger} is {}", if holds { "enabled" } else { "disabled" });
            item(&id, &title, holds, seen, "enable the trigger, then cutover diff --repair")
        }
        Ok(None) => item(&id, &title, false, "it is missing", "apply the migrations"),
        Err(why) => unknown(&id, &title, why, "is the table there?"),
    }
}

/// `limit` is the difference of row counts that is too large.
pub(super) async fn parity(connection: &mut Shared, pair: &TablePair, limit: f64) -> Item {
    let id = format!("row_delta_{}", pair.name);
    let title = format!("{}: row count delta < {limit}", pair.name);
    match sql::counts(connection, pair).await {
        // Two empty tables agree about nothing.
        Ok((0, 0)) => unknown(&id, &title, "both sides are empty", "seed or backfill first"),
        Ok((legacy, twin)) => {
            let seen = format!("{legacy} legacy, {twin} partitioned");
            let advice = "cutover diff --repair says which rows, and mends them";
            item(&id, &title, ((legacy - twin).abs() as f64) < limit, seen, advice)
        }
        Err(why) => unknown(&id, &title, why, "are the tables there?"),
    }
}

/// Lines of the server's log that tell of a trigger's failure.
fn log(config: &Config) -> Item {
    let (id, title) = ("server_log", "no trigger errors in the server's log");
    let Some(path) = &config.preflight.log_file else {
        let how = "name log_file in [preflight], where it can be read from here";
        return Item { optional: true, ..unknown(id, title, "nobody says where it is", how) };
    };
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                let why = format!("{} is empty", path.display());
                return unknown(id, title, why, "was it rotated just now? name the one before");
            }
            let named = config.tables.iter().filter_map(|pair| pair.trigger.as_deref());
            let named: Vec<&str> = named.chain(["dual_write"]).collect();
            let is_error = |line: &str| line.contains("ERROR:") || line.contains("FATAL:");
            let of_trigger = |at: usize| {
                // The context of an error follows it within a few lines.
                let context = &lines[at..lines.len().min(at + 4)];
                context.iter().any(|line| named.iter().any(|name| line.contains(name)))
                    || lines[at].contains("no partition of relation")
            };
            let found: Vec<&str> = (0..lines.len())
                .filter(|at| is_error(lines[*at]) && of_trigger(*at))
                .map(|at| lines[at])
                .collect();
            let seen = match found.last() {
                Some(last) => format!("{} errors, the last: {last}", found.len()),
                None => format!("{} lines, none of a trigger", lines.len()),
            };
            item(id, title, found.is_empty(), seen, "mend the trigger, then cutover diff --repair")
        }
        Err(error) => unknown(id, title, format!("{}: {error}", path.display()), "may we read it?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_evidence::verdict::State;

    fn with_log(text: &str) -> Item {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let mut config = Config::default();
        config.preflight.log_file = Some(file.path().to_owned());
        log(&config)
    }

    #[test]
    fn an_error_of_a_trigger_is_found_and_one_of_somebody_else_is_not() {
        let bad = "ERROR:  null value\nCONTEXT:  PL/pgSQL function revenue_dual_write() line 3\n";
        assert_eq!(with_log(bad).state, State::Fail);
        assert_eq!(with_log("ERROR:  syntax error\nSTATEMENT:  x\n").state, State::Pass);
        assert_eq!(with_log("").state, State::Unknown);
        assert_eq!(log(&Config::default()).state, State::Unknown);
        let mut config = Config::default();
        config.tables[0].trigger = Some("carry_over".into());
        let file = tempfile::NamedTempFile::new().expect("a file");
        config.preflight.log_file = Some(file.path().to_owned());
        std::fs::write(file.path(), bad.replace("revenue_dual_write", "carry_over"))
            .expect("written");
        assert_eq!(log(&config).state, State::Fail);
    }
}
