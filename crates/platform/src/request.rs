//! The way of every finance request: route it, do it, say where it was done.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;

use super::answer::{Answer, CacheUse, Failure, respond};
use super::cache::{Cache, Scope};
use super::counts::Counts;
use super::flags::FlagStore;
use super::injector::Injector;
use super::misbehave::Fault;
use super::pool::STATEMENT_TIMEOUT;
use super::side::Side;
use super::store::Store;

/// Everything a request may need.
pub(super) struct App {
    pub store: Store,
    pub cache: Arc<Cache>,
    pub flags: FlagStore,
    pub injector: Injector,
    pub counts: Arc<Counts>,
    /// Whether `/admin` is there at all: only if we listen on loopback.
    pub admin: bool,
    pub address: SocketAddr,
    pub started: Instant,
}

impl App {
    /// Routes a request and answers with what `handle` makes of it on that side.
    pub async fn serve(
        &self,
        headers: &HeaderMap,
        org_id: Result<i64, Failure>,
        handle: impl AsyncFnOnce(i64, Side) -> Result<Answer, Failure>,
    ) -> Response {
        let started = Instant::now();
        let routed = org_id.and_then(|org_id| Ok((org_id, self.flags.route(org_id, headers)?)));
        let (org_id, mut side) = match routed {
            Ok(routed) => routed,
            Err(failure) => return respond(Err(failure), None),
        };
        if self.injector.injects(Fault::WrongMode) {
            side = side.other();
        }
        let outcome = match self.injector.before().await {
            Ok(()) => AssertUnwindSafe(async { handle(org_id, side).await })
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(Failure::Internal("the request broke off".into()))),
            Err(failure) => Err(failure),
        };
        self.injector.after(side, started).await;
        respond(outcome, Some(side))
    }

    /// Answers from the cache, else with what `compute` finds. The side is part of the question,
    /// so that after a rollback nothing that came from a twin is served.
    pub async fn cached(
        &self,
        (kind, org_id): (&str, i64),
        side: Side,
        question: &str,
        compute: impl Future<Output = Result<Bytes, Failure>>,
    ) -> Result<Answer, Failure> {
        let scope = Scope::new(kind, org_id);
        let what = format!("{}:{question}", side.name());
        if let Some(body) = self.injector.foreign_entry(org_id, &what) {
            return Ok(Answer::read(body, CacheUse::Hit));
        }
        let (stamp, found) = self.cache.read(&scope, &what).await;
        let (body, cache) = match found {
            Some(body) => (body, CacheUse::Hit),
            None => {
                let body = compute.await?;
                self.cache.fill(scope, what.clone(), stamp, body.clone());
                (body, CacheUse::Miss)
            }
        };
        self.injector.remember_entry(org_id, &what, &body);
        Ok(Answer::read(body, cache))
    }

    /// Writes, and forgets what the write made stale before anybody is told of it. It goes on to
    /// the end in a task of its own when the caller hangs up: the database would commit, and
    /// nobody would tell the cache.
    pub async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        (kind, org_id): (&str, i64),
        work: impl Future<Output = sqlx::Result<T>> + Send + 'static,
    ) -> Result<T, Failure> {
        let (app, scope) = (self.clone(), Scope::new(kind, org_id));
        let task = tokio::spawn(async move {
            let outcome = work.await;
            if !app.injector.injects(Fault::StaleCache) {
                app.cache.invalidate(&scope).await;
            }
            let unknown = outcome.as_ref().is_err_and(|e| e.as_database_error().is_none());
            if unknown {
                // It may still commit: forget again when the server has given up on it for sure.
                tokio::spawn(async move {
                    tokio::time::sleep(STATEMENT_TIMEOUT).await;
                    app.cache.invalidate(&scope).await;
                });
            }
            outcome
        });
        match task.await {
            Ok(Ok(_)) if self.injector.injects(Fault::PhantomWrite) => {
                Err(Failure::Internal("told to fail after the commit".into()))
            }
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Failure::Internal("the write broke off".into())),
        }
    }
}
