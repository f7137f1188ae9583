//! The JSON API: what can be asked of a run and changed of it while it goes on. `openapi.json` describes it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::timeout;

use super::body::{self, Object, Refusal};
use super::failure;
use super::server::Client;
use super::settings::{self, Change, Settings};
use super::shared::Shared;

/// The description of all paths.
const DESCRIPTION: &str = include_str!("openapi.json");

/// An answer, or why there is none.
type Answer = Result<Response, Refused>;

/// Becomes `{"error": "..."}`.
pub(super) struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self((status, words)) = self;
        let mut response = failure::answer("/api/", status, &words);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[derive(Serialize)]
struct Paused {
    paused: bool,
}

#[derive(Serialize)]
struct Taken {
    taken: bool,
    /// Where it is.
    picture: &'static str,
    /// Time since it was captured.
    age_ms: u128,
}

/// `GET /api/openapi.json`.
pub(super) async fn description() -> Response {
    ([(CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}

/// `GET /api/settings`.
pub(super) async fn settings(State(shared): State<Arc<Shared>>) -> Answer {
    let tunings = shared.control.tunings().get();
    if tunings.is_empty() {
        return Err(not_begun());
    }
    Ok(failure::json(StatusCode::OK, &Settings::of(&tunings)))
}

/// `PATCH /api/settings`: changes what it names until the program ends.
pub(super) async fn change_settings(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Object(change) = body::json::<Object<Change>>(&headers, body, shared.limits.request).await?;
    let [before, after] = shared.control.tunings().change(|tunings| match tunings {
        [] => Err(not_begun()),
        tunings => change.apply(tunings).map_err(Refused),
    })?;
    if let Some(what) = settings::differences(&before, &after) {
        shared.log.changed(client.peer, &format!("changed {what}"));
    }
    Ok(failure::json(StatusCode::OK, &Settings::of(&after)))
}

/// `POST /api/pause`.
pub(super) async fn pause(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    body::none(&headers, body, shared.limits.request).await?;
    if !shared.control.is_paused() {
        shared.control.pause();
        shared.log.changed(client.peer, "paused the camera");
    }
    Ok(failure::json(StatusCode::OK, &Paused { paused: true }))
}

/// `POST /api/resume`.
pub(super) async fn resume(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    body::none(&headers, body, shared.limits.request).await?;
    if shared.control.is_paused() {
        shared.control.resume();
        shared.log.changed(client.peer, "resumed the camera");
    }
    Ok(failure::json(StatusCode::OK, &Paused { paused: false }))
}

/// `POST /api/snapshot`: outputs that send single pictures send the next one; answered when it is there.
pub(super) async fn take_snapshot(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    body::none(&headers, body, shared.limits.request).await?;
    let mut pictures = shared.feed.pictures_to_come();
    if !shared.control.snapshot() {
        return Err(Refused((StatusCode::CONFLICT, "the camera is paused: resume it first".to_owned())));
    }
    shared.log.changed(client.peer, "took a picture");
    match timeout(shared.limits.snapshot, pictures.next()).await {
        Ok(Some(picture)) => {
            let taken = Taken { taken: true, picture: "/snapshot.jpg", age_ms: picture.age().as_millis() };
            Ok(failure::json(StatusCode::OK, &taken))
        }
        _ => {
            let words =
                format!("no frame came within {} s: the next one will be sent", shared.limits.snapshot.as_secs());
            Err(Refused((StatusCode::SERVICE_UNAVAILABLE, words)))
        }
    }
}

fn not_begun() -> Refused {
    Refused((StatusCode::SERVICE_UNAVAILABLE, "the camera has not begun yet".to_owned()))
}
