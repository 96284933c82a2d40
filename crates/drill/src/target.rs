//! What a drill needs of the acts it may not know: hands on servers, a comparison, a backup.

use std::path::{Path, PathBuf};

use cutover_error::Result;
use cutover_evidence::finding::DiffEvidence;

/// A server behind the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Redis.
    Redis,
    /// PgBouncer.
    Pgbouncer,
    /// The primary.
    Primary,
}

impl Part {
    /// Its name in what people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Pgbouncer => "PgBouncer",
            Self::Primary => "the primary",
        }
    }
}

/// A comparison of both sides, and the file that mends what it found.
#[derive(Debug, Clone)]
pub struct Compared {
    /// What it found.
    pub evidence: DiffEvidence,
    /// `repair.sql`, if one was asked for and anything is to be mended.
    pub repair: Option<PathBuf>,
}

/// What a drill is played on.
#[expect(async_fn_in_trait, reason = "awaited where it is called, never sent to another thread")]
pub trait DrillTarget {
    /// Ends a server as a crash would.
    fn kill(&mut self, part: Part) -> Result<()>;

    /// Starts it again where it stood.
    async fn start(&mut self, part: Part) -> Result<()>;

    /// Compares both sides, every org; `name` is the folder of what it leaves.
    async fn compare(&mut self, database_url: &str, name: &str, repair: bool) -> Result<Compared>;

    /// Takes a backup of the target's database while it is in use.
    async fn back_up(&mut self) -> Result<PathBuf>;

    /// Restores a backup into a second database; returns its URL.
    async fn restore(&mut self, backup: &Path) -> Result<String>;
}
