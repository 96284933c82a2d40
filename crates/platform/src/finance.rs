//! The finance endpoints.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use chrono::Datelike;
use serde_json::json;

use super::answer::{Answer, CacheUse, Failure, respond, to_json};
use super::input::{Body, Params, Period};
use super::misbehave::Fault;
use super::request::App;
use super::rows::Kind;
use super::side::Side;
use super::store::Group;

/// The scope of cash balances in the cache; they are read through, so nothing is kept there.
const BALANCES: &str = "cash-balance";

/// `POST /finance/{kind}`.
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (kind, body) = match kind_of(&kind).and_then(|kind| Ok((kind, Body::read(&body)?))) {
        Ok(read) => read,
        Err(failure) => return respond(Err(failure), None),
    };
    let handle = async |_, _| {
        let row = app.insert(kind, body.new_transaction(kind, &headers)?).await?;
        Ok(Answer::json(StatusCode::CREATED, &row))
    };
    app.serve(&headers, body.org_id(), handle).await
}

/// `GET /finance/{kind}`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let kind = match kind_of(&kind) {
        Ok(kind) => kind,
        Err(failure) => return respond(Err(failure), None),
    };
    let params = Params::read(query.as_deref());
    let handle = async |org_id, side| {
        let (days, limit) = (params.days()?, params.limit()?);
        let question = format!("list:{}:{}:{limit}", days.0, days.1);
        let compute = async {
            let mut items = app.store.list(kind, side, org_id, days, limit).await?;
            if side == Side::Partitioned && app.injector.injects(Fault::TwinOrder) {
                items.reverse();
            }
            Ok(to_json(&json!({ "count": items.len(), "items": items })))
        };
        app.cached((kind.name(), org_id), side, &question, compute).await
    };
    app.serve(&headers, params.org_id(), handle).await
}

/// `GET /finance/{kind}/{id}`: with `date` it asks one partition, without it all of them.
pub(super) async fn by_id(
    State(app): State<Arc<App>>,
    Path((kind, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let (kind, id) = match kind_and_id(&kind, &id) {
        Ok(read) => read,
        Err(failure) => return respond(Err(failure), None),
    };
    let params = Params::read(query.as_deref());
    let handle = async |org_id, side| {
        let mut date = params.date("date")?;
        if app.injector.injects(Fault::UnprunedById) {
            date = None;
        }
        match app.store.by_id(kind, side, org_id, id, date).await? {
            Some(row) => Ok(Answer::read(to_json(&row), CacheUse::Bypass)),
            None => Err(no_row(kind, id)),
        }
    };
    app.serve(&headers, params.org_id(), handle).await
}

/// `GET /finance/{kind}/summary`: a month by category, or a year by month.
pub(super) async fn summary(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let kind = match kind_of(&kind) {
        Ok(kind) => kind,
        Err(failure) => return respond(Err(failure), None),
    };
    let params = Params::read(query.as_deref());
    let handle = async |org_id, side| {
        let period = Period::read(&params)?;
        let question = match &period {
            Period::Month(first, _) => format!("month:{first}"),
            Period::Year(first, _) => format!("year:{first}"),
        };
        let compute = summarise(&app, kind, side, org_id, &period);
        app.cached((kind.name(), org_id), side, &question, compute).await
    };
    app.serve(&headers, params.org_id(), handle).await
}

async fn summarise(
    app: &App,
    kind: Kind,
    side: Side,
    org_id: i64,
    period: &Period,
) -> Result<Bytes, Failure> {
    match *period {
        Period::Month(first, after) => {
            let mut groups = app.store.by_category(kind, side, org_id, (first, after)).await?;
            if side == Side::Partitioned && app.injector.injects(Fault::TwinRounding) {
                groups.iter_mut().for_each(|group| group.total = rounded(&group.total));
            }
            let whole = groups.pop().ok_or_else(|| Failure::Internal("no total came".into()))?;
            let by_category: Vec<_> = groups
                .into_iter()
                .map(|g| json!({ "category": g.group, "count": g.count, "total": g.total }))
                .collect();
            Ok(to_json(&json!({
                "orgId": org_id, "month": first.format("%Y-%m").to_string(),
                "count": whole.count, "total": whole.total, "byCategory": by_category,
            })))
        }
        Period::Year(first, after) => {
            let groups = app.store.by_month(kind, side, org_id, (first, after)).await?;
            let months: Vec<_> =
                (1..=12).map(|month| month_of(&groups, first.year(), month)).collect();
            Ok(to_json(&json!({ "orgId": org_id, "year": first.year(), "months": months })))
        }
    }
}

/// A total without its last digit.
fn rounded(total: &str) -> String {
    total.parse().map_or_else(
        |_| total.to_owned(),
        |exact: rust_decimal::Decimal| format!("{:.2}", exact.round_dp(1)),
    )
}

fn month_of(groups: &[Group<i32>], year: i32, month: i32) -> serde_json::Value {
    let found = groups.iter().find(|g| g.group == Some(month));
    let (count, total) = found.map_or((0, "0.00"), |g| (g.count, g.total.as_str()));
    json!({ "month": format!("{year:04}-{month:02}"), "count": count, "total": total })
}

/// `PATCH /finance/{kind}/{id}`.
pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read = kind_and_id(&kind, &id).and_then(|read| Ok((read, Body::read(&body)?)));
    let ((kind, id), body) = match read {
        Ok(read) => read,
        Err(failure) => return respond(Err(failure), None),
    };
    let handle = async |_, _| match app.update(kind, body.change(id)?).await? {
        Some(row) => Ok(Answer::json(StatusCode::OK, &row)),
        None => Err(no_row(kind, id)),
    };
    app.serve(&headers, body.org_id(), handle).await
}

/// `DELETE /finance/{kind}/{id}`.
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path((kind, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let (kind, id) = match kind_and_id(&kind, &id) {
        Ok(read) => read,
        Err(failure) => return respond(Err(failure), None),
    };
    let handle = async |org_id, _| match app.delete(kind, org_id, id).await? {
        true => Ok(Answer { status: StatusCode::NO_CONTENT, body: Bytes::new(), cache: None }),
        false => Err(no_row(kind, id)),
    };
    let org_id = Params::read(query.as_deref()).org_id();
    app.serve(&headers, org_id, handle).await
}

/// `PUT /finance/cash-balance`.
pub(super) async fn put_balance(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = match Body::read(&body) {
        Ok(body) => body,
        Err(failure) => return respond(Err(failure), None),
    };
    let handle = async |org_id, _| {
        let row = app.upsert((BALANCES, org_id), body.new_balance()?).await?;
        Ok(Answer::json(StatusCode::OK, &row))
    };
    app.serve(&headers, body.org_id(), handle).await
}

/// `GET /finance/cash-balance`.
pub(super) async fn balances(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let params = Params::read(query.as_deref());
    let handle = async |org_id, side| {
        let (days, limit) = (params.days()?, params.limit()?);
        let items = app.store.balances(side, org_id, days, limit).await?;
        let body = to_json(&json!({ "count": items.len(), "items": items }));
        Ok(Answer::read(body, CacheUse::Bypass))
    };
    app.serve(&headers, params.org_id(), handle).await
}

fn kind_of(text: &str) -> Result<Kind, Failure> {
    Kind::parse(text).ok_or_else(|| {
        Failure::NotFound(
            "there is /finance/revenue, /finance/expense and /finance/cash-balance".into(),
        )
    })
}

fn kind_and_id(kind: &str, id: &str) -> Result<(Kind, i64), Failure> {
    let kind = kind_of(kind)?;
    let id = id.parse().map_err(|_| Failure::bad("the id in the path must be a whole number"))?;
    Ok((kind, id))
}

fn no_row(kind: Kind, id: i64) -> Failure {
    Failure::NotFound(format!("this org has no {} {id}", kind.name()))
}
