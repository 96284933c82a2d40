//! What the watch asks of the database.

/// How many of the triggers, each by its legacy table and its name, do not work; where the server stands
/// in its log, and where the replica farthest behind has come, in bytes (a server that is a replica
/// itself cannot tell); how many replicas there are, and how many whose state the role may not see;
/// connections in use, and how many there may be.
pub(super) const LOOK: &str = "SELECT
    (SELECT count(*) FROM unnest($1::text[], $2::text[]) AS named (legacy, trigger)
      WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger
                         WHERE tgrelid = to_regclass(named.legacy) AND tgname = named.trigger
                           AND tgenabled IN ('O', 'A'))),
    CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_lsn() - '0/0'::pg_lsn)::int8 END,
    (SELECT min(replay_lsn - '0/0'::pg_lsn)::int8 FROM pg_catalog.pg_stat_replication
      WHERE state IN ('streaming', 'catchup')),
    (SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE state IN ('streaming', 'catchup')),
    (SELECT count(*) FROM pg_catalog.pg_stat_replication WHERE state IS NULL),
    (SELECT sum(numbackends)::int8 FROM pg_catalog.pg_stat_database),
    current_setting('max_connections')::int8";
