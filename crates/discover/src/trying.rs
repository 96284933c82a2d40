//! Pairs whose triggers make their statements up, so that no body names the other table: whether they are tied
//! is seen by trying, in a transaction that is always undone.

use sqlx::postgres::PgConnection;

use super::matching::Match;
use cutover_error::Result;
use cutover_evidence::side::Side;
use cutover_ground::pg::catalog::Table;
use cutover_ground::pg::reach::{Reach, Tried, try_writes};

/// Pairs that are tried at most.
const MOST: usize = 10;

/// Tries pairs that are alike by name alone; one that is seen to be tied is so from here on.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn try_untied(
    connection: &mut PgConnection,
    database_url: &str,
    matches: &mut [Match],
) -> Result<()> {
    let untied = matches.iter_mut().filter(|found| found.untied.is_some() && found.ties.is_empty());
    for found in untied.take(MOST) {
        let legacy = Table::find(connection, &found.legacy, database_url).await?;
        let twin = Table::find(connection, &found.twin, database_url).await?;
        let reach = Reach::look(connection, Some(&[legacy.oid, twin.oid])).await?;
        let ways = [(&legacy, &twin, Side::Legacy), (&twin, &legacy, Side::Partitioned)];
        for (from, to, side) in ways {
            let ties = reach.made_up(from.oid);
            if ties.is_empty() {
                continue;
            }
            match try_writes(database_url, &reach, from, to.oid).await? {
                Tried::Wrote(tables) if tables.contains(&to.oid) => {
                    (found.ties, found.writes, found.untied) = (ties, Some(side), None);
                    break;
                }
                Tried::Wrote(_) => {}
                Tried::Not(why) => {
                    let untied = found.untied.get_or_insert_default();
                    *untied += &format!(
                        "; what the triggers of {} write could not be tried: {why}",
                        from.name
                    );
                }
            }
        }
    }
    Ok(())
}
