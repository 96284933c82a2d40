//! The reference platform's failures, in the words of ours: it knows nothing of the harness.

use chrono::NaiveDate;

use crate::error::{Error, Result};
use crate::platform;

/// Brings the reference schema to its newest version, with monthly partitions around `as_of`.
///
/// # Errors
/// As [`platform::migrate`].
pub async fn migrate(database_url: &str, as_of: NaiveDate) -> Result<()> {
    platform::migrate(database_url, as_of).await.map_err(failure)
}

/// The same failure as one of ours; it keeps its exit code and advice.
pub fn failure(error: platform::Error) -> Error {
    match error {
        platform::Error::Usage { what, hint } => Error::usage(what, hint),
        platform::Error::Run { what, hint } => Error::run(what, hint),
    }
}
