//! What the web server answers to each request but those of the JSON API.

use std::future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{Html, IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::super::record;
use super::feed::BOUNDARY;
use super::login;
use super::metrics::Now;
use super::page::PAGE;
use super::server::Client;
use super::shared::Shared;
use crate::cpu;

/// Header with the time since a picture was captured, in milliseconds: no clock but this computer's has to be right for it.
const AGE: &str = "densight-age-ms";

/// The page.
pub(super) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// The log-in form.
pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    form: Body,
) -> Response {
    login::answer(shared.token.as_ref(), client.secure, form, shared.limits.request).await
}

/// The newest record.
pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Response {
    match shared.feed.newest() {
        Some(newest) => {
            let age = milliseconds(newest.picture_age());
            let paused = shared.control.is_paused().then(|| shared.metrics.skipped());
            ([(CONTENT_TYPE, "application/json")], [(AGE, age)], record::line(&newest.report, paused)).into_response()
        }
        None => unavailable("there is no result yet\n"),
    }
}

/// Whether results come.
pub(super) async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let paused = shared.control.is_paused();
    match shared.feed.newest() {
        Some(newest) if paused || newest.age() < shared.limits.stale => {
            let (age, lost) = (newest.age().as_millis(), newest.report.lost);
            let line = format!("{{\"age_ms\":{age},\"lost\":{lost},\"paused\":{paused}}}\n");
            ([(CONTENT_TYPE, "application/json")], line).into_response()
        }
        Some(newest) => unavailable(format!("the newest result is {} s old\n", newest.age().as_secs())),
        None => unavailable("there is no result yet\n"),
    }
}

/// Counts and times.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let newest = shared.feed.newest();
    let (viewers, temperature) = (shared.feed.viewers(), cpu::temperature());
    let paused = shared.control.is_paused();
    match shared.metrics.answer(accept, &Now { newest: newest.as_deref(), viewers, temperature, paused }) {
        Ok((kind, body)) => ([(CONTENT_TYPE, kind)], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The newest picture, however old; waits for the first.
pub(super) async fn snapshot(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(Some(picture)) = timeout(shared.limits.snapshot, shared.feed.pictures().next()).await else {
        return unavailable("there is no picture yet\n");
    };
    match picture.encoded().await {
        Ok(encoded) => {
            let age = milliseconds(picture.age());
            ([(CONTENT_TYPE, "image/jpeg")], [(AGE, age)], encoded.jpeg.clone()).into_response()
        }
        Err(words) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{words}\n")).into_response(),
    }
}

/// Pictures as they come, each replacing the one before (`multipart/x-mixed-replace`), until the client leaves.
pub(super) async fn pictures(State(shared): State<Arc<Shared>>, Extension(client): Extension<Arc<Client>>) -> Response {
    let Some(place) = shared.feed.place() else {
        let most = shared.limits.streams;
        return unavailable(format!("too many viewers: {most} at a time; /snapshot.jpg has the newest picture\n"));
    };
    client.is_stream.store(true, Ordering::Relaxed);
    let pictures = shared.feed.pictures();
    let parts = stream::unfold((pictures, shared, place), |(mut pictures, shared, place)| async move {
        loop {
            match pictures.next().await?.encoded().await {
                Ok(encoded) => return Some((Ok(encoded.part.clone()), (pictures, shared, place))),
                Err(words) => shared.log.tell(words.to_owned()),
            }
        }
    });
    let begin: Result<Bytes, std::convert::Infallible> = Ok(format!("--{BOUNDARY}\r\n").into());
    let body = Body::from_stream(stream::once(future::ready(begin)).chain(parts));
    let kind = format!("multipart/x-mixed-replace; boundary={BOUNDARY}");
    let mut response = ([(CONTENT_TYPE, kind)], body).into_response();
    // An answer of HTTP/1.0 ends with its connection; in the chunks of HTTP/1.1 many readers of Motion JPEG find no picture.
    *response.version_mut() = Version::HTTP_10;
    response
}

/// States as they change (server-sent events), from the one on that the client saw last, or all that are kept.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
) -> Response {
    let Some(place) = shared.events.place() else {
        let most = shared.limits.followers;
        return unavailable(format!("too many clients follow events: {most} at a time\n"));
    };
    client.is_stream.store(true, Ordering::Relaxed);
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.trim().parse().ok());
    let followed = shared.events.follow(last.unwrap_or(0));
    let parts = stream::unfold((followed, shared, place), |(mut followed, shared, place)| async move {
        let sent: Result<Bytes, std::convert::Infallible> = Ok(followed.next(&shared.events).await);
        Some((sent, (followed, shared, place)))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(parts)).into_response()
}

/// The picture of an event, `NUMBER.jpg`.
pub(super) async fn event_picture(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let number = name.strip_suffix(".jpg").and_then(|number| number.parse().ok());
    match number.and_then(|number| shared.events.picture(number)) {
        Some(jpeg) => ([(CONTENT_TYPE, "image/jpeg")], jpeg).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no picture of such an event, or none any more\n").into_response(),
    }
}

fn milliseconds(time: Duration) -> String {
    time.as_millis().to_string()
}

/// Not now, in words.
fn unavailable(words: impl IntoResponse) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], words).into_response()
}
