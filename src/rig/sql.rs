//! The statements of the rig.

/// Whether the database in `$1` exists.
pub(super) const DATABASE_EXISTS: &str =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)";

/// Makes the database that the handbook names.
pub(super) const CREATE_DATABASE: &str = "CREATE DATABASE hospitality_platform";
