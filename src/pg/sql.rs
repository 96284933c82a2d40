//! Statements about the server as a whole.

/// The server's version as it states it.
pub(super) const SERVER_VERSION: &str = "SELECT version()";

/// Whether no ordinary or partitioned table stands outside the system's own schemas.
pub(super) const IS_EMPTY: &str = "
    SELECT NOT EXISTS (
        SELECT 1
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p')
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND n.nspname NOT LIKE 'pg\\_toast%'
           AND n.nspname NOT LIKE 'pg\\_temp%')";
