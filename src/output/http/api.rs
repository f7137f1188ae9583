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
use crate::control::{ModelRequest, RunningModel, Status, Ticket};

/// The description of all paths.
const DESCRIPTION: &str = include_str!("openapi.json");

/// An answer, or why there is none.
pub(super) type Answer = Result<Response, Refused>;

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
    shared: State<Arc<Shared>>,
    client: Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    set_paused(true, shared, client, headers, body).await
}

/// `POST /api/resume`.
pub(super) async fn resume(
    shared: State<Arc<Shared>>,
    client: Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    set_paused(false, shared, client, headers, body).await
}

async fn set_paused(
    paused: bool,
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    body::none(&headers, body, shared.limits.request).await?;
    if shared.control.is_paused() != paused {
        let done = if paused {
            shared.control.pause();
            "paused the camera"
        } else {
            shared.control.resume();
            "resumed the camera"
        };
        shared.log.changed(client.peer, done);
    }
    Ok(failure::json(StatusCode::OK, &Paused { paused }))
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

#[derive(Serialize)]
struct Models<'a> {
    regions: Vec<Model<'a>>,
    /// How far the newest request for others is, of whoever; null before the first.
    request: Option<Status>,
}

#[derive(Serialize)]
struct Model<'a> {
    region: &'a str,
    model: &'a str,
    hash: &'a str,
    /// None where the model carries no labels.
    classes: Vec<&'a str>,
    /// Null where it is not known.
    input: Option<Input>,
}

impl<'a> Model<'a> {
    fn of(running: &'a RunningModel) -> Self {
        let RunningModel { region, model, hash, labels, input } = running;
        let classes = labels.iter().map(|label| &**label).collect();
        let input = input.map(|[channels, height, width]| Input { channels, height, width });
        Self { region, model, hash, classes, input }
    }
}

#[derive(Serialize)]
struct Input {
    channels: usize,
    height: usize,
    width: usize,
}

/// `GET /api/model`: what looks at each region, and how far the newest request for another is.
pub(super) async fn models(State(shared): State<Arc<Shared>>) -> Answer {
    let running = shared.control.running();
    if running.is_empty() {
        return Err(not_begun());
    }
    let request = shared.control.newest_request().map(|ticket| ticket.status());
    Ok(failure::json(StatusCode::OK, &Models { regions: running.iter().map(Model::of).collect(), request }))
}

/// `POST /api/model`: asks for another model, and does not wait for it.
pub(super) async fn change_model(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Object(request) = body::json::<Object<ModelRequest>>(&headers, body, shared.limits.request).await?;
    asked(&shared, &client, shared.control.swap(request))
}

/// `POST /api/reload`: has the settings file read again, and does not wait for that.
pub(super) async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    body::none(&headers, body, shared.limits.request).await?;
    asked(&shared, &client, shared.control.reload())
}

/// The answer to a request that was taken, or was not: since it is not offered, or another one is not settled.
fn asked(shared: &Shared, client: &Client, ticket: crate::error::Result<Ticket>) -> Answer {
    let ticket = ticket.map_err(|error| Refused((StatusCode::CONFLICT, error.to_string())))?;
    let status = ticket.status();
    shared.log.changed(client.peer, &format!("asked for {}", status.asked));
    Ok(failure::json(StatusCode::ACCEPTED, &status))
}

fn not_begun() -> Refused {
    Refused((StatusCode::SERVICE_UNAVAILABLE, "the camera has not begun yet".to_owned()))
}
