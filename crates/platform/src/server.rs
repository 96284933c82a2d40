//! Starts the platform, and stops it gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::answer::Failure;
use super::cache::Cache;
use super::counts::Counts;
use super::flags::FlagStore;
use super::injector::Injector;
use super::options::Options;
use super::request::App;
use super::store::Store;
use super::{admin, finance, monitoring, transport};
use crate::error::{Context, Error, Result};

/// How long requests in flight may take to finish when we are asked to stop.
const GRACE: Duration = Duration::from_secs(2);
/// More than any row needs.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Serves until `stop`, then finishes what is in flight, for two seconds at most. `ready` is told
/// the address once requests are taken.
///
/// # Errors
/// A usage error if misbehaviour is asked for on an address that others can reach; a run error
/// if the database does not answer or the address is taken.
pub async fn serve(
    options: Options,
    ready: impl FnOnce(SocketAddr),
    stop: CancellationToken,
) -> Result<()> {
    options.check()?;
    let local = options.is_local();
    // Bound first: a taken port is the cheapest thing to find out.
    let listener = TcpListener::bind(options.listen)
        .await
        .or_run(format!("cannot listen on {}", options.listen), "is the port taken?")?;
    let address = listener.local_addr().or_run("cannot read our own address", "")?;
    let background = stop.child_token();
    let app = Arc::new(App {
        store: Store::open(&options, background.clone()).await?,
        cache: Cache::open(options.redis_url.as_deref(), background.clone()).await?,
        flags: FlagStore::new(options.flags, options.mode_header),
        injector: Injector::new(options.misbehave),
        counts: Arc::new(Counts::default()),
        admin: local,
        address,
        started: Instant::now(),
    });
    let listener = listener.tap_io(|stream| {
        // Without it small answers may wait for an acknowledgement; it fails on a dead socket only.
        let _ = stream.set_nodelay(true);
    });
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    let server = tokio::spawn(server);
    transport::start(app, background).await;
    ready(address);
    stop.cancelled().await;
    match tokio::time::timeout(GRACE, server).await {
        Ok(Ok(ended)) => ended.or_run("the server broke off", ""),
        Ok(Err(panic)) => Err(Error::run(format!("the server broke off: {panic}"), "")),
        // Somebody keeps a connection open; the process ends all the same.
        Err(_) => Ok(()),
    }
}

fn router(app: Arc<App>) -> Router {
    let one = get(finance::by_id).patch(finance::update).delete(finance::delete);
    let admin = Router::new()
        .route("/admin/flags", get(admin::flags).put(admin::set_flags))
        .route("/admin/misbehave", get(admin::misbehave).put(admin::set_misbehave))
        .layer(middleware::from_fn_with_state(app.clone(), admin::only_local));
    Router::new()
        .route("/finance/cash-balance", put(finance::put_balance).get(finance::balances))
        .route("/finance/{kind}", get(finance::list).post(finance::create))
        .route("/finance/{kind}/summary", get(finance::summary))
        .route("/finance/{kind}/{id}", one)
        .route("/monitoring/partitions/metrics", get(monitoring::partitions))
        .route("/monitoring/unified/health", get(monitoring::health))
        .route("/monitoring/unified/metrics", get(monitoring::metrics))
        .route("/monitoring/cache/invalidation-metrics", get(monitoring::invalidations))
        .route("/database/replica/lag", get(monitoring::replica_lag))
        .route("/database/replica/pool-stats", get(monitoring::pool_stats))
        .route("/alive", get(async || StatusCode::NO_CONTENT))
        .merge(admin)
        .fallback(async || Failure::NotFound("there is nothing at this path".into()))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}
