//! The cache in Redis, shared by all processes of the platform.

use std::sync::RwLock;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisResult, cmd};

use super::{ENTRY_LIFE, GENERATION_LIFE, never_used};
use crate::error::{Context, Result};

/// How long a request waits for Redis before it goes on without; then nobody else waits, until a
/// probe in the background succeeds.
const REDIS_TIMEOUT: Duration = Duration::from_millis(150);
/// How often the background looks whether Redis is there.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(250);

const EPOCH: &str = "finance:epoch";

/// Redis, as long as it answers.
pub(super) struct RedisSide {
    client: Client,
    config: AsyncConnectionConfig,
    /// Present while Redis answers: this is the breaker.
    connection: RwLock<Option<MultiplexedConnection>>,
}

impl RedisSide {
    pub fn new(url: &str) -> Result<Self> {
        let client = Client::open(url)
            .or_usage("Redis URL does not parse", "write redis://host:port/database-number")?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(REDIS_TIMEOUT))
            .set_response_timeout(Some(REDIS_TIMEOUT))
            .set_pipeline_buffer_size(4096);
        Ok(Self { client, config, connection: RwLock::new(None) })
    }

    pub fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection.read().expect("no panic while held").clone()
    }

    /// Looks whether Redis answers, and takes or leaves it. `on_loss` runs before anybody can see
    /// that it is gone.
    pub async fn probe(&self, on_loss: impl FnOnce()) {
        match self.connection() {
            Some(mut connection) => {
                if cmd("PING").exec_async(&mut connection).await.is_err() {
                    self.disconnect(on_loss);
                }
            }
            None => {
                if let Ok(connection) = self.connect().await {
                    *self.connection.write().expect("no panic while held") = Some(connection);
                }
            }
        }
    }

    /// A connection, and a new epoch: nothing stored before it will be served.
    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&self.config).await?;
        cmd("SET").arg(EPOCH).arg(never_used()).exec_async(&mut connection).await?;
        Ok(connection)
    }

    pub fn disconnect(&self, on_loss: impl FnOnce()) {
        let mut connection = self.connection.write().expect("no panic while held");
        if connection.is_some() {
            on_loss();
            *connection = None;
        }
    }

    /// The present stamp, and the entry if it bears it.
    pub async fn read(
        &self,
        mut connection: MultiplexedConnection,
        scope: &str,
        what: &str,
    ) -> RedisResult<(String, Option<Bytes>)> {
        let mget = Cmd::mget(&[EPOCH, &generation_key(scope), &entry_key(scope, what)][..]);
        let (epoch, generation, entry): (Option<String>, Option<String>, Option<Vec<u8>>) =
            mget.query_async(&mut connection).await?;
        let present = |part: Option<String>| part.unwrap_or_else(|| "none".into());
        let stamp = format!("{}/{}", present(epoch), present(generation));
        let found = entry.map(Bytes::from).and_then(|entry| {
            // An entry is its stamp, a line feed, and the answer.
            let body_at = stamp.len() + 1;
            let bears = entry.get(..stamp.len()) == Some(stamp.as_bytes())
                && entry.get(stamp.len()) == Some(&b'\n');
            bears.then(|| entry.slice(body_at..))
        });
        Ok((stamp, found))
    }

    pub async fn fill(
        &self,
        mut connection: MultiplexedConnection,
        scope: &str,
        what: &str,
        stamp: &str,
        body: &[u8],
    ) -> RedisResult<()> {
        let entry = [stamp.as_bytes(), b"\n", body].concat();
        let set = Cmd::set_ex(entry_key(scope, what), entry, ENTRY_LIFE.as_secs());
        set.exec_async(&mut connection).await
    }

    pub async fn renew(
        &self,
        mut connection: MultiplexedConnection,
        scope: &str,
    ) -> RedisResult<()> {
        let set = Cmd::set_ex(generation_key(scope), never_used(), GENERATION_LIFE.as_secs());
        set.exec_async(&mut connection).await
    }
}

fn generation_key(scope: &str) -> String {
    format!("finance:generation:{scope}")
}

fn entry_key(scope: &str, what: &str) -> String {
    format!("finance:entry:{scope}:{what}")
}
