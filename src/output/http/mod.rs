//! A web page with the annotated pictures as they come.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the page |
//! | `/stream.mjpg` | pictures without end, `multipart/x-mixed-replace`; 503 where too many look already |
//! | `/snapshot.jpg` | the newest picture, however old: milliseconds since its capture are in the header `Densight-Age-Ms` |
//! | `/events` | states as they change, as server-sent events (`change`: a member of `events[]` in records; `lost`: how many were missed) |
//! | `/events/NUMBER.jpg` | a small picture of an event, by its id |
//! | `/status.json` | the newest record, as `json://` writes it, with the same header; `paused` is whether the run is paused now |
//! | `/healthz` | 200 and the newest record's age; 503 where there was none for ten seconds, unless the run is paused |
//! | `/metrics` | counts and times for Prometheus |
//! | `/api/settings` | settings of regions, and with `PATCH` changes of them, until the program ends |
//! | `/api/pause`, `/api/resume`, `/api/snapshot` | with `POST`, what they say |
//! | `/api/model` | the model of each region, and how far the newest request for another is, which is made with `POST` |
//! | `/api/reload` | with `POST`, the settings file is read again |
//! | `/api/teach` | classes that are taught from the camera, and with `POST` what is asked for: pictures, training, trying |
//! | `/api/teach/CLASS/PICTURE` | a picture of a class |
//! | `/api/openapi.json` | the description of all paths (OpenAPI 3.1) |
//!
//! Pictures are encoded only when somebody wants them, once for all who do. By default only this computer can connect;
//! where others can, they need a token ([`token`]) for all but `/healthz`. Requests have to call the server by a name
//! of this computer ([`host`]), and those that change something not come from a page from elsewhere (`guard.rs`). With the feature `tls`
//! there is `https://`, too ([`tls`]).
//!
//! ```text
//! the loop -> feed.rs, events.rs, metrics.rs -> answer.rs (axum) -> server.rs (hyper, in a thread of its own)
//! the loop <- Control <- api.rs (axum) <-
//! ```

mod answer;
mod api;
mod body;
#[cfg(feature = "tls")]
mod certificate;
mod events;
mod failure;
mod feed;
mod guard;
pub(crate) mod host;
mod limits;
mod log;
mod login;
mod metrics;
mod page;
mod router;
#[cfg(feature = "tls")]
mod self_signed;
mod server;
mod settings;
mod shared;
mod teach;
mod timed;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
pub(super) mod tls;
pub(super) mod token;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::encode::Encoding;
use super::{Delivery, Sink, SinkOptions};
use crate::error::{Error, ErrorKind, Result, reason};
use crate::frame::RgbImage;
use crate::prediction::FrameReport;
use feed::Feed;
use host::Hosts;
use limits::Limits;
use server::Server;
use shared::Shared;
use tls::Tls;
use token::Token;

/// Shows results to web browsers.
#[derive(Debug)]
pub(super) struct Http {
    shared: Arc<Shared>,
    server: Server,
    /// Where connections are encrypted.
    tls: Option<Arc<Tls>>,
    encoding: Encoding,
    /// Events that still lack a picture.
    bare: Vec<u64>,
}

impl Http {
    /// Starts serving at `place`: `HOST:PORT`, where the host is an IP address or `localhost`, or `:PORT` for
    /// this computer only.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a place that is none, [`ErrorKind::Output`] for one that cannot be had.
    pub(super) fn open(place: &str, options: &SinkOptions) -> Result<Self> {
        Self::start("http", place, options, Limits::default())
    }

    /// The same by encrypted connections, `https://`.
    ///
    /// # Errors
    /// The same; what is wrong with the certificate, and [`ErrorKind::Usage`] without the feature `tls`.
    pub(super) fn open_secure(place: &str, options: &SinkOptions) -> Result<Self> {
        Self::start("https", place, options, Limits::default())
    }

    fn start(scheme: &str, place: &str, options: &SinkOptions, limits: Limits) -> Result<Self> {
        let address = parse(scheme, place)?;
        let hosts = Hosts::new(&gethostname::gethostname().to_string_lossy(), &options.allow_hosts)?;
        let token = (!address.ip().is_loopback()).then(|| Token::open(options.token_file.as_deref())).transpose()?;
        let secure = scheme == "https";
        let tls = secure.then(|| Tls::open(address.ip(), hosts.names(), options, limits)).transpose()?;
        let encoding = Encoding::Jpeg(options.jpeg_quality);
        let feed = Feed::new(limits.streams, encoding);
        let shared = Arc::new(Shared::new(feed, limits, hosts, token, options.control.clone()));
        let server = Server::start(address, router::router(shared.clone()), limits, tls.clone()).map_err(|error| {
            let port = address.port();
            let message = match error.kind() {
                io::ErrorKind::AddrInUse => format!("port {port} is in use: choose another, or 0 for any free one"),
                io::ErrorKind::PermissionDenied => format!("port {port} needs privileges: choose one above 1023"),
                io::ErrorKind::AddrNotAvailable => {
                    format!("{} is no address of this computer: use 127.0.0.1, or 0.0.0.0 for all", address.ip())
                }
                _ => format!("cannot serve at {address}: {}", reason(&error)),
            };
            Error::new(ErrorKind::Output, message).caused_by(error)
        })?;
        Ok(Self { shared, server, tls, encoding, bare: Vec::new() })
    }

    /// Has the events' pictures made, beside the loop.
    fn illustrate(&mut self, picture: &RgbImage) {
        let numbers = std::mem::take(&mut self.bare);
        if self.shared.events.may_illustrate() {
            let (shared, image, encoding) = (self.shared.clone(), picture.clone(), self.encoding);
            self.server.spawn_blocking(move || shared.events.illustrate(&numbers, &image, encoding));
        }
    }
}

impl Sink for Http {
    fn wants_picture(&self) -> bool {
        !self.bare.is_empty() || self.shared.feed.wants_picture()
    }

    fn deliver(&mut self, report: &FrameReport, picture: Option<&RgbImage>) -> Result<Delivery> {
        self.shared.metrics.add(report);
        // With this picture if there is one, else with the next.
        self.bare.extend(self.shared.events.add(&report.events));
        if let Some(picture) = picture.filter(|_| !self.bare.is_empty()) {
            self.illustrate(picture);
        }
        self.shared.feed.publish(report, picture);
        Ok(Delivery::Continue)
    }

    fn skip(&mut self, skipped: u64) {
        self.shared.metrics.skip(skipped);
    }

    fn finish(&mut self) -> Result<()> {
        self.server.stop();
        Ok(())
    }

    fn describe(&self) -> String {
        let address = self.server.address();
        let reach = match address.ip().is_loopback() {
            true => "this computer only",
            false => "reachable from the network with the token that --show-token shows",
        };
        match &self.tls {
            None => format!("http://{address}/ ({reach})"),
            Some(tls) => format!("https://{address}/ ({reach}; certificate SHA-256 {})", tls.fingerprint()),
        }
    }

    fn trouble(&mut self) -> Option<Error> {
        self.tls.as_ref().and_then(|tls| tls.trouble()).or_else(|| self.shared.trouble())
    }
}

/// The address that `HOST:PORT`, with or without a final slash, means.
fn parse(scheme: &str, place: &str) -> Result<SocketAddr> {
    let trimmed = place.strip_suffix('/').unwrap_or(place);
    let local = trimmed.strip_prefix("localhost:").or_else(|| trimmed.strip_prefix(':'));
    let parsed = match local {
        Some(port) => port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => trimmed.parse().ok(),
    };
    parsed.ok_or_else(|| {
        let message = format!(
            "'{scheme}://{place}' is no address to serve at: write {scheme}://127.0.0.1:8080 (0.0.0.0 for the whole network)"
        );
        Error::new(ErrorKind::Usage, message)
    })
}

#[cfg(test)]
mod tests;
