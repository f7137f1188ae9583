//! What is said where a request cannot be answered: `{"error": "..."}` below `/api/`, a line elsewhere.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::text;

#[derive(Serialize)]
struct Failure<'a> {
    error: &'a str,
}

/// The answer to a request for `path`: `words`, one line without a line end.
pub(super) fn answer(path: &str, status: StatusCode, words: &str) -> Response {
    match path.starts_with("/api/") {
        true => json(status, &Failure { error: words }),
        false => (status, format!("{words}\n")).into_response(),
    }
}

/// `value` as JSON, with a line end.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
    let mut line = text::json(value).unwrap_or_default();
    line.push('\n');
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], line).into_response()
}

/// There is nothing by that name.
pub(super) async fn not_found(uri: Uri) -> Response {
    answer(uri.path(), StatusCode::NOT_FOUND, "there is no such page")
}

/// There is, but for other methods, which are named in `Allow`.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Response {
    let method = text::name(method.as_str());
    answer(uri.path(), StatusCode::METHOD_NOT_ALLOWED, &format!("there is no {method} of this page"))
}
