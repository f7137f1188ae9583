//! Which requests are let in, and what every answer says.
//!
//! A request has to call this server by one of its names (else a page from elsewhere could read it: DNS rebinding), to know the token, and
//! where it is to change something, not to be made by a page from elsewhere (cross-site request forgery).

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::Response;

use super::server::Client;
use super::shared::Shared;
use super::{failure, login};

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
const OPEN: [&str; 2] = ["/healthz", login::PATH];

/// Lets only requests pass that are meant for this server, and adds [`COMMON`] to every answer.
pub(super) async fn guard(
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
        return Some(failure::answer(uri.path(), StatusCode::BAD_REQUEST, "this is no request for a page"));
    }
    // Browsers name a host, and only they can be made to ask for a foreign one. Health checks of HTTP/1.0 name none.
    let host = host.map(|host| host.to_str().unwrap_or("?"));
    if let Some(host) = host.filter(|host| !shared.hosts.allow(host, client.local)) {
        let words = shared.hosts.refusal(host, client.local);
        shared.log.refused(&words);
        return Some(failure::answer(uri.path(), StatusCode::FORBIDDEN, &words));
    }
    let is_open = OPEN.contains(&uri.path());
    let is_known = is_open || shared.token.as_ref().is_none_or(|token| token.is_in(request.headers()));
    if !is_known {
        return Some(login::required(uri.path()));
    }
    // Logging in changes nothing here. By the referrer policy of the page its form comes with the origin `null`.
    let is_change = ![Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(request.method());
    let has_bearer = shared.token.as_ref().is_some_and(|token| token.is_bearer_in(request.headers()));
    if is_change && uri.path() != login::PATH && !has_bearer && is_foreign(request.headers(), host) {
        let words = "a page from elsewhere may change nothing: send the request from this page, or with Authorization: Bearer TOKEN";
        shared.log.refused(words);
        return Some(failure::answer(uri.path(), StatusCode::FORBIDDEN, words));
    }
    None
}

/// Whether a request may come from a page of another server than `host`: browsers say where from. What does not say so is no
/// browser, unless it has a cookie.
fn is_foreign(headers: &HeaderMap, host: Option<&str>) -> bool {
    let header = |name| headers.get_all(name).iter().map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let (mut sites, mut origins) = (header(HeaderName::from_static("sec-fetch-site")), header(ORIGIN));
    match (sites.next(), origins.next()) {
        (Some(site), _) => site != "same-origin" || sites.next().is_some(),
        (None, Some(origin)) => {
            let place = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            let is_own = |place: &str| host.is_some_and(|host| host.eq_ignore_ascii_case(place));
            !place.is_some_and(is_own) || origins.next().is_some()
        }
        (None, None) => headers.contains_key(COOKIE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_from_elsewhere_are_told_from_programs_and_from_this_page() {
        let foreign = |headers: &[(&'static str, &'static str)]| {
            let pairs =
                headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            is_foreign(&HeaderMap::from_iter(pairs), Some("Camera.local:8080"))
        };
        for own in [
            &[][..],
            &[("origin", "http://camera.local:8080")],
            &[("origin", "https://camera.local:8080"), ("cookie", "a=b")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://proxy.example"), ("cookie", "a=b")],
            &[("authorization", "Basic x")],
        ] {
            assert!(!foreign(own), "{own:?}");
        }
        for elsewhere in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://camera.local")],
            &[("origin", "http://camera.local:9090")],
            &[("origin", "http://camera.local:8080.evil.example")],
            &[("origin", "http://evil.example/http://camera.local:8080")],
            &[("origin", "camera.local:8080")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://camera.local:8080")],
            &[("sec-fetch-site", "none")],
            &[("cookie", "densight=0123456789abcdef")],
        ] {
            assert!(foreign(elsewhere), "{elsewhere:?}");
        }
        assert!(is_foreign(&HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("http://"))]), None));
        let mut two = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static("http://camera.local:8080"))]);
        two.append(ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(is_foreign(&two, Some("camera.local:8080")));
    }
}
