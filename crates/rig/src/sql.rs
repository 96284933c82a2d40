//! The statements of the rig.

/// Whether the database in `$1` exists.
pub(super) const DATABASE_EXISTS: &str =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)";

/// Makes the database that the handbook names.
pub(super) const CREATE_DATABASE: &str = "CREATE DATABASE hospitality_platform";

/// Makes room for the second database that a backup is restored into.
pub(super) const DROP_RESTORED: &str =
    "DROP DATABASE IF EXISTS hospitality_platform_restored WITH (FORCE)";

/// Makes it, empty.
pub(super) const CREATE_RESTORED: &str =
    "CREATE DATABASE hospitality_platform_restored TEMPLATE template0";

/// What every session behind the pooler begins with; see the platform's own pool for the reasons.
pub(super) const POOLED_SESSION: &str = "SET statement_timeout = 4000";
