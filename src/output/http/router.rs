//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};

use super::shared::Shared;
use super::{answer, api, failure, guard, login, teach};

/// All paths there are.
pub(super) fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    vec![
        ("/", get(answer::page)),
        ("/status.json", get(answer::status)),
        ("/events", get(answer::events)),
        ("/events/{picture}", get(answer::event_picture)),
        ("/healthz", get(answer::health)),
        (login::PATH, post(answer::login)),
        ("/metrics", get(answer::metrics)),
        ("/snapshot.jpg", get(answer::snapshot)),
        ("/stream.mjpg", get(answer::pictures)),
        ("/api/openapi.json", get(api::description)),
        ("/api/settings", get(api::settings).patch(api::change_settings)),
        ("/api/model", get(api::models).post(api::change_model)),
        ("/api/reload", post(api::reload)),
        ("/api/pause", post(api::pause)),
        ("/api/resume", post(api::resume)),
        ("/api/snapshot", post(api::take_snapshot)),
        ("/api/teach", get(teach::status).post(teach::ask)),
        ("/api/teach/{class}/{picture}", get(teach::picture)),
    ]
}

/// Answers requests that [`guard`] lets in.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let paths = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    paths
        .method_not_allowed_fallback(failure::wrong_method)
        .fallback(failure::not_found)
        .layer(middleware::from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}
