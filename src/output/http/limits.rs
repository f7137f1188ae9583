//! How many clients there may be, and how long each may take.

use std::time::Duration;

/// Bounds on what clients can take of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; for a further one the oldest is closed that is no stream.
    pub(super) connections: usize,
    /// Streams at a time; further ones are told 503. Less than `connections`.
    pub(super) streams: usize,
    /// Clients that follow events at a time; further ones are told 503. With `streams` less than `connections`.
    pub(super) followers: usize,
    /// A client without an event for so long gets a comment, so that whatever lies between knows that the connection is used.
    pub(super) alive: Duration,
    /// For a request to arrive.
    pub(super) request: Duration,
    /// For a client to take any bytes at all, before it counts as vanished.
    pub(super) write: Duration,
    /// For `/snapshot.jpg` to wait for the first picture.
    pub(super) snapshot: Duration,
    /// Between two looks whether the files of a certificate have changed.
    #[cfg(feature = "tls")]
    pub(super) certificate: Duration,
    /// Without a result for so long the loop is not well.
    pub(super) stale: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 8,
            followers: 32,
            alive: Duration::from_secs(15),
            request: Duration::from_secs(5),
            write: Duration::from_secs(10),
            snapshot: Duration::from_secs(5),
            #[cfg(feature = "tls")]
            certificate: Duration::from_secs(60),
            stale: Duration::from_secs(10),
        }
    }
}
