//! What ran before a taught model was tried.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::networks::Networks;

/// The networks that ran before, while a taught one is being tried; clones are of the same.
#[derive(Clone, Default)]
pub(in super::super) struct BeforeTaught(Arc<Mutex<Option<Networks>>>);

impl BeforeTaught {
    fn lock(&self) -> MutexGuard<'_, Option<Networks>> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A taught model took the place of `networks`. Those that were there when the first one was tried stay.
    pub(in super::super) fn keep(&self, networks: Networks) {
        self.lock().get_or_insert(networks);
    }

    /// No taught model is being tried any more; what ran before.
    pub(in super::super) fn take(&self) -> Option<Networks> {
        self.lock().take()
    }

    /// Whether a taught model is being tried.
    pub(super) fn is_there(&self) -> bool {
        self.lock().is_some()
    }
}
