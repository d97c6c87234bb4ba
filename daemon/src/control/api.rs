//! The requests: paths to reports. Every answer is JSON; what is no success has the body `{ "error": … }`.

use super::report::{Failure, Feeds, Lookup, Origin, Rejects, Status};
use super::{Control, live};
use crate::core::entry::FeedId;
use crate::core::explain::{DomainExplanation, Explanation, Target, explain, explain_domain};
use crate::core::feed::domain_name;
use crate::engine::Command;
use crate::engine::hold::{Held, HoldChange};
use crate::engine::preview::{Preview, PreviewError};
use crate::engine::status::{EngineStatus, FeedStatus};
use crate::engine::why_not::why_not;
use crate::engine::written::fill_lines;
use crate::generations::fill_since;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Most addresses and domains in one lookup.
pub(super) const MAX_TARGETS: usize = 100;
/// Longest wait for the engine, which may be compiling a generation.
const ENGINE_TIME: Duration = Duration::from_secs(10);
/// Longest wait for something that may end in a whole generation.
const LONG_TIME: Duration = Duration::from_secs(55);
/// Longest wait for a fresh status; the last one is at hand.
const REPORT_TIME: Duration = Duration::from_millis(500);
/// Longest wait for the entries as written; the rest of a lookup is there at once.
const LINES_TIME: Duration = Duration::from_secs(30);

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) StatusCode, pub(super) String);

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
pub(super) struct Api {
    pub(super) control: Control,
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
        .merge(live::routes())
        .route("/v1/preview", get(preview))
        .route("/v1/pin", post(pin))
        .route("/v1/resume", post(resume))
        .route("/v1/rollback/{serial}", post(rollback))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(Api { control, reading: Arc::new(Semaphore::new(1)) })
}

async fn unknown(uri: Uri) -> ApiError {
    let known = "/v1/status, /v1/feeds, /v1/feeds/ID/rejects, /v1/lookup?address=ADDRESS&domain=DOMAIN, /v1/preview, /v1/live, and to \
                 change something POST /v1/pin, /v1/resume, /v1/rollback/SERIAL";
    ApiError(StatusCode::NOT_FOUND, format!("nothing at {}; there are {known}", uri.path()))
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not supported here; use GET to ask, POST to change, DELETE for /v1/live only"),
    )
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
        live: live::counts(&control.live),
        dns: control.stats.dns(),
        zones: control.stats.zones().into_iter().collect(),
        hits: control.stats.hits().into_iter().collect(),
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
    let rejects = command(&control, ENGINE_TIME, |answer| Command::Rejects { feed, answer }).await?;
    let rejects = rejects.ok_or_else(unknown)?.to_vec();
    Ok(Json(Rejects { origin: Origin::Daemon, feed: id, rejects }))
}

/// Sends the engine a command and waits for its answer.
async fn command<T>(
    control: &Control,
    limit: Duration,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, ApiError> {
    let (answer, answered) = oneshot::channel();
    let ask = async {
        control.commands.send(command(answer)).await.ok()?;
        answered.await.ok()
    };
    let busy = |what: &str| ApiError(StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
    match timeout(limit, ask).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(busy("the daemon is stopping")),
        Err(_) => Err(busy("the engine is busy with a generation; try again in a moment")),
    }
}

async fn preview(State(Api { control, .. }): State<Api>) -> Result<Json<Preview>, ApiError> {
    let preview = command(&control, LONG_TIME, |answer| Command::Preview { answer }).await?;
    preview.map(Json).map_err(|error| {
        let status = match error {
            PreviewError::Build(_) => StatusCode::CONFLICT,
            PreviewError::Busy | PreviewError::NothingLive => StatusCode::SERVICE_UNAVAILABLE,
            PreviewError::Lost(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError(status, error.to_string())
    })
}

async fn pin(State(Api { control, .. }): State<Api>) -> Result<Json<Held>, ApiError> {
    hold(&control, HoldChange::Pin).await
}

async fn resume(State(Api { control, .. }): State<Api>) -> Result<Json<Held>, ApiError> {
    hold(&control, HoldChange::Resume).await
}

async fn rollback(
    State(Api { control, .. }): State<Api>,
    serial: Result<Path<u32>, PathRejection>,
) -> Result<Json<Held>, ApiError> {
    let Path(serial) = serial?;
    hold(&control, HoldChange::RollBack(serial)).await
}

async fn hold(control: &Control, change: HoldChange) -> Result<Json<Held>, ApiError> {
    let held = command(control, LONG_TIME, |answer| Command::Hold { change, answer }).await?;
    held.map(Json).map_err(|error| ApiError(StatusCode::CONFLICT, error.to_string()))
}

async fn lookup(
    State(api): State<Api>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Lookup>, ApiError> {
    let Query(query) = query?;
    let asked = Asked::read(&query).map_err(|error| ApiError(StatusCode::BAD_REQUEST, error))?;
    let Some(view) = api.control.live.view() else {
        return Err(ApiError(StatusCode::SERVICE_UNAVAILABLE, "no generation is published yet".to_owned()));
    };
    // Looks through all exclusions, of which there may be millions: not on a thread that answers DNS.
    let explain_all = move || {
        let (mut addresses, mut domains): (Vec<Explanation>, Vec<DomainExplanation>) = Default::default();
        for target in &asked.targets {
            match target {
                Target::Address(address) => {
                    addresses.push(explain(&view.generation, &view.overlay, *address));
                }
                Target::Domain(name) => domains.push(explain_domain(&view.generation, name)),
            }
        }
        (addresses, domains)
    };
    let (addresses, domains) = spawn_blocking(explain_all)
        .await
        .map_err(|lost| ApiError(StatusCode::INTERNAL_SERVER_ERROR, format!("explaining failed: {lost}")))?;
    let feeds = if asked.why_not { engine_status(&api.control).await.feeds.clone() } else { Vec::new() };
    let filter = api.control.engine.borrow().filter.action.clone();
    let (origin, notes, reasons) = (Origin::Daemon, Vec::new(), Vec::new());
    let report = Lookup { origin, notes, filter, addresses, domains, why_not: reasons };
    Ok(Json(with_bodies(&api, report, asked.why_not.then_some(feeds)).await))
}

/// The report with what only the stored copies tell: entries as written and, with the status of the `feeds`, why not.
/// What cannot be read in time is left out, with a note that says why.
async fn with_bodies(api: &Api, report: Lookup, feeds: Option<Vec<FeedStatus>>) -> Lookup {
    let config = Arc::clone(&api.control.config.borrow());
    let mut filled = report.clone();
    let fill = async {
        // Never closed.
        let permit = Arc::clone(&api.reading).acquire_owned().await.ok()?;
        let reading = spawn_blocking(move || {
            filled.notes = fill_lines(&config, &mut filled.addresses, &mut filled.domains);
            fill_since(&config.state_dir, &mut filled.addresses, &mut filled.domains);
            if let Some(feeds) = feeds {
                let (reasons, notes) = why_not(&config, &feeds, &filled.addresses);
                filled.why_not = reasons;
                filled.notes.extend(notes);
            }
            // The thread cannot be stopped: even if nobody waits any more, the next one does not start before its end.
            drop(permit);
            filled
        });
        reading.await.ok()
    };
    let note = match timeout(LINES_TIME, fill).await {
        Ok(Some(filled)) => return filled,
        Ok(None) => "entries as written are not shown: reading them failed".to_owned(),
        Err(_) => {
            format!("entries as written are not shown: reading takes over {} s", LINES_TIME.as_secs())
        }
    };
    Lookup { notes: vec![note], ..report }
}

/// What a lookup asks for.
struct Asked {
    targets: Vec<Target>,
    why_not: bool,
}

impl Asked {
    fn read(query: &[(String, String)]) -> Result<Self, String> {
        let mut asked = Self { targets: Vec::new(), why_not: false };
        for (key, value) in query {
            match key.as_str() {
                "address" => {
                    let address =
                        value.parse().map_err(|_| format!("{value:?} is no IPv4 or IPv6 address"))?;
                    asked.targets.push(Target::Address(address));
                }
                "domain" => {
                    let name =
                        domain_name(value).map_err(|reason| format!("{value:?} is no domain: {reason}"))?;
                    asked.targets.push(Target::Domain(name));
                }
                "why_not" => {
                    asked.why_not =
                        value.parse().map_err(|_| format!("why_not is true or false, not {value:?}"))?;
                }
                _ => return Err(format!("unknown parameter {key:?}; allowed: address, domain, why_not")),
            }
        }
        match asked.targets.len() {
            0 => {
                Err("give addresses or domains, as in /v1/lookup?address=192.0.2.1&domain=bad.example"
                    .to_owned())
            }
            1..=MAX_TARGETS => Ok(asked),
            many => Err(format!("{many} addresses and domains, at most {MAX_TARGETS} go into one request")),
        }
    }
}
