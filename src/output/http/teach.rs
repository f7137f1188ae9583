//! Classes that are taught from the camera: how that stands, and what is asked for.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use tokio::task::spawn_blocking;

use super::api::{Answer, Refused};
use super::body::{self, Object, Refusal};
use super::failure;
use super::server::Client;
use super::shared::Shared;
use crate::control::{TeachRequest, Teacher};
use crate::error::{Error, ErrorKind, Result as Done};
use crate::picture;
use crate::text;

/// `GET /api/teach`.
pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Answer {
    let status = with(&shared, |teacher| teacher.status()).await?;
    Ok(failure::json(StatusCode::OK, &status))
}

/// `POST /api/teach`: does what is asked for, and tells how it stands then.
pub(super) async fn ask(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Arc<Client>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Object(request) = body::json::<Object<TeachRequest>>(&headers, body, shared.limits.request).await?;
    let told = told(&request);
    let done = move |teacher: &dyn Teacher| teacher.ask(request).and_then(|()| teacher.status());
    let status = with(&shared, done).await?;
    if let Some(told) = told {
        shared.log.changed(client.peer, &told);
    }
    Ok(failure::json(StatusCode::OK, &status))
}

/// `GET /api/teach/{class}/{picture}`.
pub(super) async fn picture(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let not_found = |words: String| Refused::from((StatusCode::NOT_FOUND, words));
    let Ok(Path((class, name))) = path else { return Err(not_found("there is no such picture".into())) };
    let read = move |teacher: &dyn Teacher| match teacher.picture(&class, &name) {
        Err(error) if error.kind() == ErrorKind::Usage => Ok(Err(error.to_string())),
        read => read.map(Ok),
    };
    let bytes = with(&shared, read).await?.map_err(not_found)?;
    // Files of others may be among them, of whatever they are.
    let kind = match &*bytes {
        bytes if picture::is_jpeg(bytes) => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'R', b'I', b'F', b'F', ..] => "image/webp",
        [b'B', b'M', ..] => "image/bmp",
        _ => return Err(not_found("that is no picture".into())),
    };
    Ok(([(CONTENT_TYPE, kind)], bytes).into_response())
}

/// What whoever teaches says, who may have to wait for a disk.
async fn with<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&dyn Teacher) -> Done<T> + Send + 'static,
) -> Result<T, Refused> {
    let Some(teacher) = shared.control.teacher().cloned() else {
        let words = "nothing is taught here: start with --teach FOLDER".to_owned();
        return Err(Refused::from((StatusCode::CONFLICT, words)));
    };
    let done = spawn_blocking(move || work(&*teacher)).await;
    let done = done.unwrap_or_else(|_| Err(Error::new(ErrorKind::Fault, "what was asked for ended by itself")));
    done.map_err(|error| Refused::from(refusal(&error)))
}

fn refusal(error: &Error) -> Refusal {
    let status = match error.kind() {
        ErrorKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::CONFLICT,
    };
    (status, text::line(&error.to_string()))
}

/// What is told of a request. Captures are too many, and whether a model was right is nobody else's business.
fn told(request: &TeachRequest) -> Option<String> {
    use TeachRequest as R;
    let name = |name: &str| text::name(name);
    Some(match request {
        R::Make { class } => format!("made class '{}'", name(class)),
        R::Rename { class, to } => format!("named class '{}' '{}'", name(class), name(to)),
        R::Delete { class } => format!("deleted class '{}'", name(class)),
        R::Remove { class, picture } => format!("deleted picture {} of '{}'", name(picture), name(class)),
        R::Move { class, picture, to } => {
            format!("moved picture {} of '{}' to '{}'", name(picture), name(class), name(to))
        }
        R::Undo {} => "deleted the last picture".into(),
        R::Train {} => "began to teach".into(),
        R::Cancel {} => "cancelled teaching".into(),
        R::Try {} => "asked for the taught model".into(),
        R::Keep {} => "kept the taught model".into(),
        R::Discard {} => "asked for the model before".into(),
        R::Capture { .. } | R::Stop {} | R::Right {} | R::Wrong { .. } => return None,
    })
}
