//! The parts of a rig, and how each of them is asked to end.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// A part of the rig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// The reference platform, a process of its own.
    Platform,
    /// Redis.
    Redis,
    /// PgBouncer, in front of PostgreSQL and of the replica.
    Pgbouncer,
    /// `pg_basebackup`, which copies the primary for the replica and then ends by itself.
    Basebackup,
    /// `pg_dump`, which takes a backup and then ends by itself.
    Dump,
    /// `pg_restore`, which makes a second database of it and then ends by itself.
    Restore,
    /// A streaming replica, a hot standby.
    Replica,
    /// `initdb`, which makes the database cluster and then ends by itself.
    Initdb,
    /// PostgreSQL.
    Postgres,
}

impl Component {
    /// Every part, in the order in which they are stopped: first what uses, then what is used.
    pub const ALL: [Self; 9] = [
        Self::Platform,
        Self::Redis,
        Self::Pgbouncer,
        Self::Dump,
        Self::Restore,
        Self::Basebackup,
        Self::Replica,
        Self::Initdb,
        Self::Postgres,
    ];

    /// Its name in messages, logs and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Redis => "redis",
            Self::Pgbouncer => "pgbouncer",
            Self::Basebackup => "pg_basebackup",
            Self::Dump => "pg_dump",
            Self::Restore => "pg_restore",
            Self::Replica => "replica",
            Self::Initdb => "initdb",
            Self::Postgres => "postgres",
        }
    }

    /// The name under which the kernel lists its process.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Platform => "cutover",
            Self::Redis => "redis-server",
            Self::Pgbouncer => "pgbouncer",
            Self::Basebackup => "pg_basebackup",
            Self::Dump => "pg_dump",
            Self::Restore => "pg_restore",
            Self::Initdb => "initdb",
            Self::Replica | Self::Postgres => "postgres",
        }
    }

    /// Its folder inside the rig's, where it also works.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Redis => "redis",
            Self::Pgbouncer => "pgbouncer",
            Self::Basebackup | Self::Replica => "replica",
            Self::Dump | Self::Restore => "backup",
            Self::Initdb | Self::Postgres => "postgres",
        }
    }

    /// Which signals end it, and how long each is given.
    pub(super) fn stop_plan(self) -> &'static [(Signal, Duration)] {
        const ORDINARY: &[(Signal, Duration)] =
            &[(Signal::SIGTERM, Duration::from_secs(5)), (Signal::SIGKILL, Duration::from_secs(5))];
        // PostgreSQL's own words: fast shutdown, immediate shutdown, and no shutdown at all.
        const POSTGRES: &[(Signal, Duration)] = &[
            (Signal::SIGINT, Duration::from_secs(20)),
            (Signal::SIGQUIT, Duration::from_secs(6)),
            (Signal::SIGKILL, Duration::from_secs(5)),
        ];
        match self {
            Self::Postgres | Self::Replica => POSTGRES,
            Self::Platform | Self::Redis | Self::Pgbouncer => ORDINARY,
            Self::Initdb | Self::Basebackup | Self::Dump | Self::Restore => ORDINARY,
        }
    }

    /// What to do if it does not start.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Platform => "run `cutover platform` by hand to see more; is the schema intact?",
            Self::Redis => "is the disk full, or is redis-server older than 5?",
            Self::Pgbouncer => "is the disk full, or is pgbouncer older than 1.18?",
            Self::Basebackup | Self::Dump | Self::Restore | Self::Replica => {
                "is the disk full, or is memory short?"
            }
            Self::Initdb | Self::Postgres => {
                "is the disk full, is memory short, or was --dir made by another version or user?"
            }
        }
    }
}
