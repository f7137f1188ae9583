//! What all requests are answered from.

use super::events::Events;
use super::feed::Feed;
use super::host::Hosts;
use super::limits::Limits;
use super::log::Log;
use super::metrics::Metrics;
use super::token::Token;
use crate::control::Control;
use crate::error::Error;

/// The newest results, and what clients may take and change.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) feed: Feed,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    pub(super) limits: Limits,
    pub(super) hosts: Hosts,
    /// What clients have to know, if anything.
    pub(super) token: Option<Token>,
    pub(super) control: Control,
    pub(super) log: Log,
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
