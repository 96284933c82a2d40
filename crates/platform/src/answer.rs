//! Answers and failures, and how they look over HTTP.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::side::Side;

/// Which side the request was routed to.
pub(super) const ROUTED_TO: HeaderName = HeaderName::from_static("x-routed-to");
const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// If a read's answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheUse {
    Hit,
    Miss,
    Bypass,
}

/// A request that worked.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// Present on reads.
    pub cache: Option<CacheUse>,
}

impl Answer {
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        Self { status, body: to_json(value), cache: None }
    }

    pub fn read(body: Bytes, cache: CacheUse) -> Self {
        Self { status: StatusCode::OK, body, cache: Some(cache) }
    }
}

/// A request that did not, each with one sentence that says why.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The request is wrong: 400.
    BadRequest(String),
    /// Only for callers on this machine: 403.
    Forbidden(String),
    /// There is no such thing: 404.
    NotFound(String),
    /// It contradicts what is there: 409.
    Conflict(String),
    /// It is well formed, and the tables have no place for it: 422.
    Unprocessable(String),
    /// The database cannot be reached or does not answer in time: 503.
    Unavailable(String),
    /// Ours: 500.
    Internal(String),
}

impl Failure {
    pub fn bad(what: impl Into<String>) -> Self {
        Self::BadRequest(what.into())
    }

    fn parts(&self) -> (StatusCode, &str) {
        match self {
            Self::BadRequest(what) => (StatusCode::BAD_REQUEST, what),
            Self::Forbidden(what) => (StatusCode::FORBIDDEN, what),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, what),
            Self::Conflict(what) => (StatusCode::CONFLICT, what),
            Self::Unprocessable(what) => (StatusCode::UNPROCESSABLE_ENTITY, what),
            Self::Unavailable(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
            Self::Internal(what) => (StatusCode::INTERNAL_SERVER_ERROR, what),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let sqlx::Error::Database(database) = &error else {
            return match error {
                sqlx::Error::RowNotFound => Self::NotFound("there is no such row".into()),
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                    Self::Internal(format!("a row cannot be read: {error}"))
                }
                _ => Self::Unavailable(format!("the database cannot be reached: {error}")),
            };
        };
        let message = database.message().to_owned();
        match database.code().as_deref().unwrap_or_default() {
            "23514" => Self::Unprocessable(format!(
                "the tables have no place for this row (is a partition missing?): {message}"
            )),
            "23505" => Self::Conflict(format!("the row is there already: {message}")),
            code if code.starts_with("22") => {
                Self::BadRequest(format!("the database refuses a value: {message}"))
            }
            // Shutting down, cut off, out of resources, timed out, read-only, or in conflict.
            code if ["08", "25", "40", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                Self::Unavailable(format!("the database cannot serve this now: {message}"))
            }
            code => Self::Internal(format!("the database failed ({code}): {message}")),
        }
    }
}

/// An outcome as an HTTP response; `side` if the request got as far as being routed.
pub(super) fn respond(outcome: Result<Answer, Failure>, side: Option<Side>) -> Response {
    let mut response = match outcome {
        Ok(answer) => {
            let mut response = json_response(answer.status, answer.body);
            if let Some(cache) = answer.cache {
                let value = match cache {
                    CacheUse::Hit => "hit",
                    CacheUse::Miss => "miss",
                    CacheUse::Bypass => "bypass",
                };
                response.headers_mut().insert(CACHE, HeaderValue::from_static(value));
            }
            response
        }
        Err(failure) => failure.into_response(),
    };
    if let Some(side) = side {
        response.headers_mut().insert(ROUTED_TO, HeaderValue::from_static(side.name()));
    }
    response
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, what) = self.parts();
        json_response(status, to_json(&json!({ "error": what })))
    }
}

/// A value as a 200 answer.
pub(super) fn ok_json(value: &impl Serialize) -> Response {
    json_response(StatusCode::OK, to_json(value))
}

/// Our own types have string keys and no failing serialisers.
pub(super) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("our types serialise").into()
}

fn json_response(status: StatusCode, body: Bytes) -> Response {
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
