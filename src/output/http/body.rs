//! Bodies of requests, within bounds.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::time::timeout;

/// Longest body, in bytes.
const LONGEST: usize = 16 * 1024;
/// So much of a longer one is read before it is refused: a client that is still sending might not read why.
const READ: usize = 1024 * 1024;

/// A status and one line.
pub(super) type Refusal = (StatusCode, String);

/// What a body of JSON means, for which a client has `patience`.
///
/// # Errors
/// What is wrong with it: 415 for another type, 413 for one that is too long, 408 for one that does not come, 400 for what is no JSON, 422
/// for JSON that means nothing here.
pub(super) async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    patience: Duration,
) -> Result<T, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let words = "this takes JSON: send Content-Type: application/json".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let bytes = whole(headers, body, patience).await?;
    serde_json::from_slice(&bytes).map_err(|error| match error.is_data() {
        true => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        false => (StatusCode::BAD_REQUEST, format!("this is no JSON: {error}")),
    })
}

/// That there is no body.
///
/// # Errors
/// 400 where there is one.
pub(super) async fn none(headers: &HeaderMap, body: Body, patience: Duration) -> Result<(), Refusal> {
    match whole(headers, body, patience).await?.is_empty() {
        true => Ok(()),
        false => Err((StatusCode::BAD_REQUEST, "this takes no body".to_owned())),
    }
}

async fn whole(headers: &HeaderMap, body: Body, patience: Duration) -> Result<Vec<u8>, Refusal> {
    let too_long = || (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is too long: {LONGEST} bytes at most"));
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > READ as u64) {
        return Err(too_long());
    }
    let read = async {
        let (mut chunks, mut bytes, mut length) = (body.into_data_stream(), Vec::new(), 0_usize);
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| (StatusCode::BAD_REQUEST, "the body broke off".to_owned()))?;
            length += chunk.len();
            if length <= LONGEST {
                bytes.extend_from_slice(&chunk);
            } else if length > READ {
                break;
            }
        }
        if length > LONGEST { Err(too_long()) } else { Ok(bytes) }
    };
    let late = |_| (StatusCode::REQUEST_TIMEOUT, format!("the body did not come within {} s", patience.as_secs()));
    timeout(patience, read).await.map_err(late)?
}

/// What JSON has as an object: of itself serde takes an array of the members' values too.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}
