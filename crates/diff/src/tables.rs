//! Whether the tables that are to be compared are there.

use cutover_error::{Error, Result};
use cutover_ground::config::TablePair;
use cutover_ground::pg::catalog::Table;
use cutover_ground::pg::{QualifiedName, connect_reading, describe};

/// Looks every table up before anything is locked, so that a wrong name gets a clear answer.
///
/// # Errors
/// A usage error if one is not there.
pub(super) async fn find_tables(
    database_url: &str,
    tables: &[TablePair],
) -> Result<Vec<QualifiedName>> {
    let mut connection = connect_reading(database_url).await?;
    let (mut names, mut missing) = (Vec::new(), None);
    for pair in tables {
        for name in [pair.legacy_name()?, pair.partitioned_name()?] {
            match Table::find(&mut connection, &name, database_url).await {
                Ok(_) => names.push(name),
                Err(error) => missing = missing.or(Some(error)),
            }
        }
    }
    match missing {
        None => Ok(names),
        // Tables that nobody named are not named to anybody either.
        Some(Error::Usage { .. }) if names.is_empty() && TablePair::are_presumed(tables) => {
            Err(TablePair::none_described(&describe(database_url)))
        }
        Some(error) => Err(error),
    }
}
