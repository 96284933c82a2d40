//! The second platform: bookings and night counts of tenants, who are known by their signed tokens alone.

use std::net::SocketAddr;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::postgres::{PgPool, PgPoolOptions};

/// What tokens are signed with.
pub const SECRET: &str = "the desk's own secret, planted";
/// The variable that the scenario names.
pub const SECRET_VARIABLE: &str = "SECOND_PLATFORM_SECRET";

type Refusal = (StatusCode, String);
type Answer = Result<Response, Refusal>;

/// Serves until the process ends; returns where.
pub async fn serve(database_url: &str) -> SocketAddr {
    let pool = PgPoolOptions::new().max_connections(4).connect(database_url).await;
    let router = Router::new()
        .route("/v1/bookings", get(list_bookings).post(create_booking))
        .route("/v1/bookings/{no}", patch(correct_booking).get(get_booking))
        .route("/v1/nights", get(list_nights))
        .with_state(pool.expect("the database of this test"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The tenant of a token whose signature and time hold.
fn tenant(headers: &HeaderMap) -> Result<i32, Refusal> {
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    let claims = token.and_then(|token| verified(token.strip_prefix("Bearer ")?));
    let tenant = claims.and_then(|claims| i32::try_from(claims["tenant"].as_i64()?).ok());
    tenant.ok_or((StatusCode::UNAUTHORIZED, "who are you?".into()))
}

fn verified(token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    (claims["exp"].as_i64()? > chrono::Utc::now().timestamp()).then_some(claims)
}

/// The table that reads of this request go to, and what the answer says of it.
fn side(
    headers: &HeaderMap,
    legacy: &'static str,
    twin: &'static str,
) -> (&'static str, &'static str) {
    match headers.get("x-read-from").and_then(|value| value.to_str().ok()) {
        Some("partitioned") => (twin, "partitioned"),
        _ => (legacy, "legacy"),
    }
}

fn not_found() -> Refusal {
    (StatusCode::NOT_FOUND, "this tenant has no such booking".into())
}

fn broken(error: sqlx::Error) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn ask(
    pool: &PgPool,
    statement: &str,
    tenant: i32,
    number: i64,
) -> Result<Vec<Value>, Refusal> {
    let statement = format!("SELECT to_jsonb(q)::text FROM ({statement}) AS q");
    let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
        .bind(tenant)
        .bind(number)
        .fetch_all(pool)
        .await
        .map_err(broken)?;
    Ok(rows.iter().map(|row| serde_json::from_str(row).expect("JSON of the server")).collect())
}

const BOOKING: &str = "booking_no AS \"bookingNo\", tenant_id AS tenant, occurred_at AS \"occurredAt\", \
     amount_cents AS \"amountCents\", memo";

#[derive(Deserialize)]
struct Limit {
    limit: i64,
}

async fn list_bookings(
    State(pool): State<PgPool>,
    Query(page): Query<Limit>,
    headers: HeaderMap,
) -> Answer {
    let (table, side) = side(&headers, "ledger.bookings", "ledger.bookings_by_quarter");
    let statement = format!(
        "SELECT {BOOKING} FROM {table} WHERE tenant_id = $1 ORDER BY occurred_at DESC, booking_no LIMIT $2"
    );
    let items = ask(&pool, &statement, tenant(&headers)?, page.limit).await?;
    Ok(([("x-served-from", side)], Json(json!({ "items": items }))).into_response())
}

async fn list_nights(
    State(pool): State<PgPool>,
    Query(page): Query<Limit>,
    headers: HeaderMap,
) -> Answer {
    let (table, side) = side(&headers, "ledger.night_counts", "ledger.night_counts_hashed");
    let statement = format!(
        "SELECT tenant_id AS tenant, room_id AS room, night, guests FROM {table} \
         WHERE tenant_id = $1 ORDER BY night DESC, room_id LIMIT $2"
    );
    let items = ask(&pool, &statement, tenant(&headers)?, page.limit).await?;
    Ok(([("x-served-from", side)], Json(json!({ "items": items }))).into_response())
}

async fn get_booking(
    State(pool): State<PgPool>,
    Path(number): Path<i64>,
    headers: HeaderMap,
) -> Answer {
    let (table, side) = side(&headers, "ledger.bookings", "ledger.bookings_by_quarter");
    let statement =
        format!("SELECT {BOOKING} FROM {table} WHERE tenant_id = $1 AND booking_no = $2");
    let found = ask(&pool, &statement, tenant(&headers)?, number).await?.pop();
    let found = found.ok_or_else(not_found)?;
    Ok(([("x-served-from", side)], Json(found)).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewBooking {
    occurred_at: chrono::NaiveDateTime,
    amount_cents: i64,
    currency: String,
    memo: String,
}

async fn create_booking(
    State(pool): State<PgPool>,
    headers: HeaderMap,
    Json(new): Json<NewBooking>,
) -> Answer {
    let tenant = tenant(&headers)?;
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO ledger.bookings (tenant_id, occurred_at, amount_cents, currency, memo) \
         VALUES ($1, $2, $3, $4, $5) RETURNING booking_no",
    )
    .bind(tenant)
    .bind(new.occurred_at)
    .bind(new.amount_cents)
    .bind(&new.currency)
    .bind(&new.memo)
    .fetch_one(&pool)
    .await
    .map_err(broken)?;
    let served = side(&headers, "", "").1;
    let made = json!({ "bookingNo": number, "tenant": tenant, "occurredAt": new.occurred_at });
    Ok((StatusCode::CREATED, [("x-served-from", served)], Json(made)).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Correction {
    amount_cents: i64,
    memo: String,
}

async fn correct_booking(
    State(pool): State<PgPool>,
    Path(number): Path<i64>,
    headers: HeaderMap,
    Json(new): Json<Correction>,
) -> Answer {
    let tenant = tenant(&headers)?;
    let changed = sqlx::query(
        "UPDATE ledger.bookings SET amount_cents = $3, memo = $4, touched_at = now() \
          WHERE tenant_id = $1 AND booking_no = $2",
    )
    .bind(tenant)
    .bind(number)
    .bind(new.amount_cents)
    .bind(&new.memo)
    .execute(&pool)
    .await
    .map_err(broken)?;
    if changed.rows_affected() != 1 {
        return Err(not_found());
    }
    let served = side(&headers, "", "").1;
    let row = json!({ "bookingNo": number, "tenant": tenant, "memo": new.memo });
    Ok(([("x-served-from", served)], Json(row)).into_response())
}
