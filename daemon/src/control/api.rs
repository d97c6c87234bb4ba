//! The requests: paths to reports. Every answer is JSON; what is no success has the body `{ "error": … }`.

use super::Control;
use super::report::{Failure, Feeds, Lookup, Origin, Rejects, Status};
use crate::core::entry::FeedId;
use crate::core::explain::{Explanation, explain};
use crate::engine::Command;
use crate::engine::status::EngineStatus;
use crate::engine::written::fill_lines;
use crate::generations::fill_since;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Most addresses in one lookup.
pub(super) const MAX_ADDRESSES: usize = 100;
/// Longest wait for the engine, which may be compiling a generation.
const ENGINE_TIME: Duration = Duration::from_secs(10);
/// Longest wait for a fresh status; the last one is at hand.
const REPORT_TIME: Duration = Duration::from_millis(500);
/// Longest wait for the entries as written; the rest of a lookup is there at once.
const LINES_TIME: Duration = Duration::from_secs(30);

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

/// What the handlers share.
#[derive(Clone, Debug)]
struct Api {
    control: Control,
    /// Held while stored copies are read, which takes memory and a processor.
    reading: Arc<Semaphore>,
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
        .with_state(Api { control, reading: Arc::new(Semaphore::new(1)) })
}

async fn unknown(uri: Uri) -> ApiError {
    let known = "/v1/status, /v1/feeds, /v1/feeds/ID/rejects, /v1/lookup?address=ADDRESS";
    ApiError(StatusCode::NOT_FOUND, format!("nothing at {}; there are {known}", uri.path()))
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not supported here; use GET"))
}

/// What the engine says of itself now; what it said last while it is busy.
async fn engine_status(control: &Control) -> Arc<EngineStatus> {
    let (done, reported) = oneshot::channel();
    let ask = async {
        // If the engine is gone, its last word has to do.
        if control.commands.send(Command::Report { done }).await.is_ok() {
            let _ = reported.await;
        }
    };
    let _ = timeout(REPORT_TIME, ask).await;
    Arc::clone(&control.engine.borrow())
}

async fn status(State(Api { control, .. }): State<Api>) -> Json<Status> {
    let engine = engine_status(&control).await;
    Json(Status {
        process: control.process.borrow().clone(),
        engine: (*engine).clone(),
        dns: control.stats.dns.clone(),
    })
}

async fn feeds(State(Api { control, .. }): State<Api>) -> Json<Feeds> {
    let feeds = engine_status(&control).await.feeds.clone();
    Json(Feeds { origin: Origin::Daemon, notes: Vec::new(), feeds })
}

async fn rejects(
    State(Api { control, .. }): State<Api>,
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
    State(api): State<Api>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Lookup>, ApiError> {
    let Query(query) = query?;
    let addresses = addresses(&query).map_err(|error| ApiError(StatusCode::BAD_REQUEST, error))?;
    let Some(generation) = api.control.live.get() else {
        return Err(ApiError(StatusCode::SERVICE_UNAVAILABLE, "no generation is published yet".to_owned()));
    };
    // Looks through all exclusions, of which there may be millions: not on a thread that answers DNS.
    let explained = spawn_blocking(move || addresses.into_iter().map(|a| explain(&generation, a)).collect());
    let addresses = explained
        .await
        .map_err(|lost| ApiError(StatusCode::INTERNAL_SERVER_ERROR, format!("explaining failed: {lost}")))?;
    let (addresses, notes) = with_lines(&api, addresses).await;
    let filter = api.control.engine.borrow().filter.action.clone();
    Ok(Json(Lookup { origin: Origin::Daemon, notes, filter, addresses }))
}

/// The explanations with the entries as written, or else as they are, with a note that says why.
async fn with_lines(api: &Api, explanations: Vec<Explanation>) -> (Vec<Explanation>, Vec<String>) {
    let config = Arc::clone(&api.control.config.borrow());
    let mut filled = explanations.clone();
    let fill = async {
        // Never closed.
        let permit = Arc::clone(&api.reading).acquire_owned().await.ok()?;
        let reading = spawn_blocking(move || {
            let notes = fill_lines(&config, &mut filled);
            fill_since(&config.state_dir, &mut filled);
            // The thread cannot be stopped: even if nobody waits any more, the next one does not start before its end.
            drop(permit);
            (filled, notes)
        });
        reading.await.ok()
    };
    match timeout(LINES_TIME, fill).await {
        Ok(Some(filled)) => filled,
        Ok(None) => (explanations, vec!["entries as written are not shown: reading them failed".to_owned()]),
        Err(_) => {
            let note =
                format!("entries as written are not shown: reading takes over {} s", LINES_TIME.as_secs());
            (explanations, vec![note])
        }
    }
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
