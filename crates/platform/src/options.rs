//! How the platform is started.

use std::net::SocketAddr;

use super::flags::Flags;
use super::misbehave::Misbehaviour;
use super::{cache, database};
use crate::error::{Error, Result};

/// How to run the platform.
#[derive(Debug, Clone)]
pub struct Options {
    /// PostgreSQL, already migrated.
    pub database_url: String,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Redis; without it the cache is in memory.
    pub redis_url: Option<String>,
    /// A streaming replica to read from while it is near enough.
    pub replica_url: Option<String>,
    /// The same PostgreSQL behind a pooler in transaction mode.
    pub pooler_url: Option<String>,
    /// The same replica behind a pooler in transaction mode.
    pub replica_pooler_url: Option<String>,
    /// Whether the header `X-Cutover-Mode` overrides the flags for its request.
    pub mode_header: bool,
    /// Who reads from the partitioned tables at the start.
    pub flags: Flags,
    /// How to go wrong; only on loopback.
    pub misbehave: Vec<Misbehaviour>,
}

impl Options {
    /// Whether these options go together; touches nothing.
    ///
    /// # Errors
    /// A usage error if a URL does not parse, or misbehaviour is asked for on an address that
    /// others can reach.
    pub fn check(&self) -> Result<()> {
        database::options(&self.database_url)?;
        let others = [&self.replica_url, &self.pooler_url, &self.replica_pooler_url];
        others.into_iter().flatten().try_for_each(|url| database::options(url).map(drop))?;
        self.redis_url.as_deref().map(cache::check_url).transpose()?;
        if self.is_local() || self.misbehave.is_empty() {
            return Ok(());
        }
        let what = format!("--misbehave is refused on {}", self.listen);
        Err(Error::usage(what, "listen on 127.0.0.1, where nobody else can meet it"))
    }

    pub(super) fn is_local(&self) -> bool {
        self.listen.ip().to_canonical().is_loopback()
    }
}
