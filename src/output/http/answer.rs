//! What the web server answers to each request.

use std::future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::super::record;
use super::events::Events;
use super::feed::{BOUNDARY, Feed};
use super::host::Hosts;
use super::limits::Limits;
use super::log::Log;
use super::login;
use super::metrics::{Metrics, Now};
use super::server::Client;
use super::token::Token;
use crate::control::Control;
use crate::cpu;
use crate::error::Error;

/// The page: self-contained, it asks for nothing but the stream and the status.
const PAGE: &str = include_str!("page.html");
/// Headers of every answer. Nothing is cached, and no other site can show the pictures or load anything into the page.
const COMMON: [(&str, &str); 5] = [
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "content-security-policy",
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
];

/// Paths that need no token.
const OPEN: [&str; 2] = ["/healthz", "/login"];
/// Header with the time since a picture was captured, in milliseconds: no clock but this computer's has to be right for it.
const AGE: &str = "densight-age-ms";

/// What all requests are answered from.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) feed: Feed,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    limits: Limits,
    hosts: Hosts,
    /// What clients have to know, if anything.
    token: Option<Token>,
    pub(super) control: Control,
    log: Log,
}

impl Shared {
    pub(super) fn new(feed: Feed, limits: Limits, hosts: Hosts, token: Option<Token>, control: Control) -> Self {
        let (events, metrics) = (Events::new(limits), Metrics::new());
        Self { feed, events, metrics, limits, hosts, token, control, log: Log::default() }
    }

    /// What is to be told.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.log.take()
    }
}

/// All paths there are.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(Html(PAGE)))
        .route("/status.json", get(status))
        .route("/events", get(events))
        .route("/events/{picture}", get(event_picture))
        .route("/healthz", get(health))
        .route("/login", post(login))
        .route("/metrics", get(metrics))
        .route("/snapshot.jpg", get(snapshot))
        .route("/stream.mjpg", get(pictures))
        .fallback((StatusCode::NOT_FOUND, "there is no such page\n"))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Lets only requests pass that are meant for this server, and adds [`COMMON`] to every answer.
async fn guard(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match refusal(&shared, &client, &request) {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    for (name, value) in COMMON {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn refusal(shared: &Shared, client: &Client, request: &Request) -> Option<Response> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, other) = (hosts.next(), hosts.next());
    let uri = request.uri();
    // A target with a host of its own is for a proxy; two hosts could mean one to a proxy and another to this server
    // (RFC 9112, section 3.2).
    let is_plain = uri.authority().is_none() && uri.path().starts_with('/');
    if !is_plain || other.is_some() || (host.is_none() && request.version() == Version::HTTP_11) {
        return Some((StatusCode::BAD_REQUEST, "this is no request for a page\n").into_response());
    }
    // Browsers name a host, and only they can be made to ask for a foreign one. Health checks of HTTP/1.0 name none.
    let host = host.map(|host| host.to_str().unwrap_or("?"));
    if let Some(host) = host.filter(|host| !shared.hosts.allow(host, client.local)) {
        let words = shared.hosts.refusal(host, client.local);
        shared.log.refused(&words);
        return Some((StatusCode::FORBIDDEN, format!("{words}\n")).into_response());
    }
    let is_open = OPEN.contains(&uri.path());
    let is_known = is_open || shared.token.as_ref().is_none_or(|token| token.is_in(request.headers()));
    (!is_known).then(|| login::required(uri.path()))
}

async fn login(State(shared): State<Arc<Shared>>, Extension(client): Extension<Arc<Client>>, form: Body) -> Response {
    login::answer(shared.token.as_ref(), client.secure, form, shared.limits.request).await
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    match shared.feed.newest() {
        Some(newest) => {
            let age = milliseconds(newest.picture_age());
            let paused = shared.control.is_paused().then(|| shared.metrics.skipped());
            ([(CONTENT_TYPE, "application/json")], [(AGE, age)], record::line(&newest.report, paused)).into_response()
        }
        None => unavailable("there is no result yet\n"),
    }
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
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

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
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
async fn snapshot(State(shared): State<Arc<Shared>>) -> Response {
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
async fn pictures(State(shared): State<Arc<Shared>>, Extension(client): Extension<Arc<Client>>) -> Response {
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
async fn events(
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
async fn event_picture(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
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
