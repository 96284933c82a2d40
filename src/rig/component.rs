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
    /// `initdb`, which makes the database cluster and then ends by itself.
    Initdb,
    /// PostgreSQL.
    Postgres,
}

impl Component {
    /// Every part, in the order in which they are stopped: first what uses, then what is used.
    pub const ALL: [Self; 4] = [Self::Platform, Self::Redis, Self::Initdb, Self::Postgres];

    /// Its name in messages, logs and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Redis => "redis",
            Self::Initdb => "initdb",
            Self::Postgres => "postgres",
        }
    }

    /// The name under which the kernel lists its process.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Platform => "cutover",
            Self::Redis => "redis-server",
            Self::Initdb => "initdb",
            Self::Postgres => "postgres",
        }
    }

    /// Its folder inside the rig's, where it also works.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Redis => "redis",
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
            Self::Postgres => POSTGRES,
            Self::Platform | Self::Redis | Self::Initdb => ORDINARY,
        }
    }

    /// What to do where it does not start.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Platform => "run `cutover platform` by hand to see more; is the schema intact?",
            Self::Redis => "is the disk full, or is redis-server older than 5?",
            Self::Initdb | Self::Postgres => {
                "is the disk full, is memory short, or was --dir made by another version or user?"
            }
        }
    }
}
