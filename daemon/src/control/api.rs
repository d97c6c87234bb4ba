//! The requests: paths to reports. Every answer is JSON; what is no success has the body `{ "error": … }`.

use super::Control;
use super::report::{Failure, Feeds, Lookup, Origin, Rejects, Status};
use crate::core::entry::FeedId;
use crate::core::explain::explain;
use crate::engine::Command;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Most addresses in one lookup.
pub(super) const MAX_ADDRESSES: usize = 100;
/// Longest wait for the engine, which may be compiling a generation.
const ENGINE_TIME: Duration = Duration::from_secs(10);

/// An answer that is no success.
#[derive(Debug)]
struct ApiError(StatusCode, String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(Failure { error: self.1 })).into_response()
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

/// All requests.
pub(super) fn router(control: Control) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/feeds", get(feeds))
        .route("/v1/feeds/{id}/rejects", get(rejects))
        .route("/v1/lookup", get(lookup))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(control)
}

async fn unknown(uri: Uri) -> ApiError {
    let known = "/v1/status, /v1/feeds, /v1/feeds/ID/rejects, /v1/lookup?address=ADDRESS";
    ApiError(StatusCode::NOT_FOUND, format!("nothing at {}; there are {known}", uri.path()))
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not supported here; use GET"))
}

async fn status(State(control): State<Control>) -> Json<Status> {
    Json(Status {
        process: control.process.borrow().clone(),
        engine: (**control.engine.borrow()).clone(),
        dns: control.stats.dns.clone(),
    })
}

async fn feeds(State(control): State<Control>) -> Json<Feeds> {
    let feeds = control.engine.borrow().feeds.clone();
    Json(Feeds { origin: Origin::Daemon, notes: Vec::new(), feeds })
}

async fn rejects(
    State(control): State<Control>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Rejects>, ApiError> {
    let Path(id) = id?;
    let unknown = || ApiError(StatusCode::NOT_FOUND, format!("no feed {id:?} is configured"));
    let feed = FeedId::new(&id).map_err(|_| unknown())?;
    let (answer, rejects) = oneshot::channel();
    let ask = async {
        control.commands.send(Command::Rejects { feed, answer }).await.ok()?;
        rejects.await.ok()
    };
    let busy = |what: &str| ApiError(StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
    match timeout(ENGINE_TIME, ask).await {
        Ok(Some(Some(rejects))) => {
            Ok(Json(Rejects { origin: Origin::Daemon, feed: id, rejects: rejects.to_vec() }))
        }
        Ok(Some(None)) => Err(unknown()),
        Ok(None) => Err(busy("the daemon is stopping")),
        Err(_) => Err(busy("the engine is busy with a generation; try again in a moment")),
    }
}

async fn lookup(
    State(control): State<Control>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Lookup>, ApiError> {
    let Query(query) = query?;
    let addresses = addresses(&query).map_err(|error| ApiError(StatusCode::BAD_REQUEST, error))?;
    let Some(generation) = control.live.get() else {
        return Err(ApiError(StatusCode::SERVICE_UNAVAILABLE, "no generation is published yet".to_owned()));
    };
    let addresses = addresses.into_iter().map(|address| explain(&generation, address)).collect();
    let filter = control.engine.borrow().filter.action.clone();
    Ok(Json(Lookup { origin: Origin::Daemon, notes: Vec::new(), filter, addresses }))
}

fn addresses(query: &[(String, String)]) -> Result<Vec<IpAddr>, String> {
    if query.is_empty() {
        return Err("give addresses, as in /v1/lookup?address=192.0.2.1&address=2001:db8::1".to_owned());
    }
    if query.len() > MAX_ADDRESSES {
        return Err(format!("{} addresses, at most {MAX_ADDRESSES} go into one request", query.len()));
    }
    let address = |(key, value): &(String, String)| match key.as_str() {
        "address" => value.parse().map_err(|_| format!("{value:?} is no IPv4 or IPv6 address")),
        _ => Err(format!("unknown parameter {key:?}; allowed: address")),
    };
    query.iter().map(address).collect()
}
