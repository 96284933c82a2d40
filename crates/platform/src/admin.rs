//! Changes at run time, for callers on this machine: routing flags and misbehaviours.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Failure, ok_json};
use super::flags::FlagChange;
use super::misbehave::Misbehaviour;
use super::request::App;
use crate::error::Error;

/// Lets nobody through who is not on this machine, and nobody at all if we listen to others.
pub(super) async fn only_local(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if app.admin && peer.ip().to_canonical().is_loopback() {
        next.run(request).await
    } else {
        let why =
            "/admin is only for callers on this machine, of a platform that listens on loopback";
        Failure::Forbidden(why.into()).into_response()
    }
}

/// `GET /admin/flags`.
pub(super) async fn flags(State(app): State<Arc<App>>) -> Response {
    ok_json(&app.flags.get())
}

/// `PUT /admin/flags`; see [`FlagChange`].
pub(super) async fn set_flags(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let change = serde_json::from_slice::<FlagChange>(&body);
    let changed = match change {
        Ok(change) => app.flags.change(change),
        Err(error) => {
            return Failure::bad(format!("not a change of flags: {error}")).into_response();
        }
    };
    match changed {
        Ok(flags) => ok_json(&flags),
        Err(error) => refuse(&error).into_response(),
    }
}

/// The list of misbehaviours, whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Misbehave {
    misbehave: Vec<String>,
}

/// `GET /admin/misbehave`.
pub(super) async fn misbehave(State(app): State<Arc<App>>) -> Response {
    let names: Vec<String> = app.injector.active().iter().map(ToString::to_string).collect();
    ok_json(&json!({ "misbehave": names }))
}

/// `PUT /admin/misbehave` with `{"misbehave":["slow=10ms"]}`; an empty list ends all of them.
pub(super) async fn set_misbehave(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let wanted: Misbehave = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            return Failure::bad(format!("not a list of misbehaviours: {error}")).into_response();
        }
    };
    let parsed: Result<Vec<Misbehaviour>, Error> =
        wanted.misbehave.iter().map(|text| text.parse()).collect();
    match parsed {
        Ok(active) => {
            app.injector.set(active);
            misbehave(State(app)).await
        }
        Err(error) => refuse(&error).into_response(),
    }
}

fn refuse(error: &Error) -> Failure {
    Failure::bad(match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}
