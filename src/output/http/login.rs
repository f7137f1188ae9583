//! The log-in page, which trades the token for a cookie, so that a browser has it for pictures, too.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::http::header::{LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use axum::response::{Html, IntoResponse, Response};
use tokio::time::timeout;

use super::failure;
use super::token::{COOKIE_NAME, SECURE_COOKIE_NAME, Token};

/// Where the form is sent to.
pub(super) const PATH: &str = "/login";
const PAGE: &str = include_str!("page/login.html");
/// Longest form, in bytes.
const LONGEST: usize = 1024;

/// The answer to a request for `path` that comes without the token: the page for people, words for programs.
pub(super) fn required(path: &str) -> Response {
    let words = || failure::answer(path, StatusCode::UNAUTHORIZED, "a token is needed: Authorization: Bearer TOKEN");
    let response = if path == "/" { (StatusCode::UNAUTHORIZED, Html(PAGE)).into_response() } else { words() };
    ([(WWW_AUTHENTICATE, "Bearer")], response).into_response()
}

/// The answer to the form, for which a client has `patience`; `secure` where the connection is encrypted.
pub(super) async fn answer(token: Option<&Token>, secure: bool, form: Body, patience: Duration) -> Response {
    let Ok(Ok(form)) = timeout(patience, to_bytes(form, LONGEST)).await else {
        return (StatusCode::BAD_REQUEST, "this is no log-in form\n").into_response();
    };
    // All of a token's characters stand in a form as they are; a blank is a plus.
    let given = str::from_utf8(&form).ok().and_then(|form| form.strip_prefix("token="));
    let given = given.unwrap_or_default().trim_matches('+');
    match token {
        Some(token) if token.is(given) => {
            // Browsers keep cookies apart by host, not by port. One that came encrypted is sent encrypted only, and a page without
            // encryption at another port could not replace it: its name is another.
            let (name, more) = if secure { (SECURE_COOKIE_NAME, "; Secure") } else { (COOKIE_NAME, "") };
            let cookie = format!("{name}={given}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax{more}");
            (StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)]).into_response()
        }
        None => (StatusCode::SEE_OTHER, [(LOCATION, "/")]).into_response(),
        Some(_) => {
            let page = PAGE.replace("<!-- notice -->", "<p role=\"alert\">This is not the token.</p>");
            (StatusCode::UNAUTHORIZED, Html(page)).into_response()
        }
    }
}
