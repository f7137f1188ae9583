//! What the server has to say to whoever runs it, which the loop takes from here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// Of refused requests one is told in so long: whoever sends them does not fill the log.
const REFUSALS: Duration = Duration::from_secs(60);

/// One message at a time.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Option<Error>,
    /// When a refusal was told.
    refused: Option<Instant>,
}

impl Log {
    /// Something that went wrong. While another message waits it is not told.
    pub(super) fn tell(&self, message: String) {
        self.lock().waiting.get_or_insert_with(|| Error::new(ErrorKind::Output, message));
    }

    /// A request that was refused, and why.
    pub(super) fn refused(&self, why: &str) {
        let mut state = self.lock();
        if state.waiting.is_none() && state.refused.is_none_or(|last| last.elapsed() >= REFUSALS) {
            state.refused = Some(Instant::now());
            state.waiting = Some(Error::new(ErrorKind::Output, format!("web page: a request was refused: {why}")));
        }
    }

    /// What is to be told.
    pub(super) fn take(&self) -> Option<Error> {
        self.lock().waiting.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; and every state is a valid one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
