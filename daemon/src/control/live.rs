//! Live entries over the control socket: the list, and changes in the name of the user at the other end.

use super::api::{Api, ApiError};
use super::report::{LiveChanged, LiveCounts, LiveReport, RemoveLive, SetLive};
use super::server::Peer;
use crate::core::explain::LiveVerdict;
use crate::core::live_set::{Action, MAX_ENTRIES, clean_reason};
use crate::core::network::Network;
use crate::engine::live_entries::{Change, LiveError};
use crate::live::Live;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};

/// Most networks in one request.
pub const MAX_NETWORKS: usize = 10_000;
/// Largest body, in bytes: that many ranges of IPv6 in the longest form.
const MAX_BODY: usize = 1 << 20;
/// User id in the audit when the kernel does not tell: that of nobody.
const UNKNOWN_USER: u32 = 65_534;

pub(super) fn routes() -> Router<Api> {
    let methods = get(list).post(set).delete(remove);
    Router::new().route("/v1/live", methods).layer(DefaultBodyLimit::max(MAX_BODY))
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<LiveError> for ApiError {
    fn from(error: LiveError) -> Self {
        let status = match error {
            LiveError::Busy | LiveError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            LiveError::Filter(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::CONFLICT,
        };
        Self(status, error.to_string())
    }
}

async fn list(State(Api { control, .. }): State<Api>) -> Json<LiveReport> {
    let view = control.live.view();
    let entries = view.iter().flat_map(|view| view.overlay.entries());
    let entries = entries.map(|entry| LiveVerdict::from(&**entry)).collect();
    Json(LiveReport { limit: MAX_ENTRIES as u64, entries })
}

/// For the status, which says how many there are.
pub(super) fn counts(live: &Live) -> LiveCounts {
    let view = live.view();
    let count = |action| view.as_ref().map_or(0, |view| view.overlay.count(action) as u64);
    LiveCounts { blocks: count(Action::Block), allows: count(Action::Allow) }
}

async fn set(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    body: Result<Json<SetLive>, JsonRejection>,
) -> Result<Json<LiveChanged>, ApiError> {
    let Json(SetLive { action, networks, lasts, reason, force }) = body?;
    let networks = read(&networks)?;
    let reason = clean_reason(&reason);
    change(&api, peer, Change::Set { action, networks, lasts, reason, force }).await
}

async fn remove(
    State(api): State<Api>,
    Extension(peer): Extension<Peer>,
    body: Result<Json<RemoveLive>, JsonRejection>,
) -> Result<Json<LiveChanged>, ApiError> {
    let Json(RemoveLive { networks }) = body?;
    change(&api, peer, Change::Remove { networks: read(&networks)? }).await
}

async fn change(api: &Api, peer: Peer, change: Change) -> Result<Json<LiveChanged>, ApiError> {
    let changed = api.control.live_entries.change(change, peer.user.unwrap_or(UNKNOWN_USER)).await?;
    let not_saved = |why: String| format!("in force, but it will not survive a restart: {why}");
    Ok(Json(LiveChanged {
        changed: changed.changed as u64,
        missing: changed.missing.iter().map(Network::to_string).collect(),
        expires_at: changed.expires_at,
        notes: changed.not_saved.map(not_saved).into_iter().collect(),
    }))
}

fn read(texts: &[String]) -> Result<Vec<Network>, ApiError> {
    let bad = |error: String| ApiError(StatusCode::BAD_REQUEST, error);
    if texts.is_empty() || texts.len() > MAX_NETWORKS {
        return Err(bad(format!("{} networks; one request takes 1 to {MAX_NETWORKS}", texts.len())));
    }
    let network = |text: &String| text.parse().map_err(|error| bad(format!("{text:?}: {error}")));
    texts.iter().map(network).collect()
}
