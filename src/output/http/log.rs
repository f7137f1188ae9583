//! What the server has to say to whoever runs it, which the loop takes from here.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind};

/// Of refused requests one is told in so long, and of changes [`MOST_CHANGES`]: whoever sends them does not fill the log.
const EVERY: Duration = Duration::from_secs(60);
/// Changes that are told one by one; of further ones, how many there were.
const MOST_CHANGES: u64 = 20;
/// Changes that wait to be told at most: while no frames come, nobody takes them.
const MOST_WAITING: usize = 100;

/// Messages that wait for the loop: one of trouble, and some of changes.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Option<Error>,
    /// When a refusal was told.
    refused: Option<Instant>,
    changes: VecDeque<String>,
    /// Since when changes are counted, and how many there were.
    counted: Option<(Instant, u64)>,
}

impl State {
    fn add(&mut self, change: String) {
        if self.changes.len() < MOST_WAITING {
            self.changes.push_back(change);
        }
    }
}

impl Log {
    /// Something that went wrong. While another message waits it is not told.
    pub(super) fn tell(&self, message: String) {
        self.lock().waiting.get_or_insert_with(|| Error::new(ErrorKind::Output, message));
    }

    /// A request that was refused, and why.
    pub(super) fn refused(&self, why: &str) {
        let mut state = self.lock();
        if state.waiting.is_none() && state.refused.is_none_or(|last| last.elapsed() >= EVERY) {
            state.refused = Some(Instant::now());
            state.waiting = Some(Error::new(ErrorKind::Output, format!("web page: a request was refused: {why}")));
        }
    }

    /// What a client has changed: `"paused the camera"`.
    pub(super) fn changed(&self, client: IpAddr, what: &str) {
        self.changed_at(Instant::now(), client, what);
    }

    fn changed_at(&self, now: Instant, client: IpAddr, what: &str) {
        let mut state = self.lock();
        let (since, count) = match state.counted {
            Some((since, count)) if now.saturating_duration_since(since) < EVERY => (since, count + 1),
            Some((_, count)) if count > MOST_CHANGES => {
                state.add(format!("web page: {} more changes within a minute", count - MOST_CHANGES));
                (now, 1)
            }
            _ => (now, 1),
        };
        state.counted = Some((since, count));
        if count <= MOST_CHANGES {
            state.add(format!("web page: {client} {what}"));
        }
    }

    /// What is to be told.
    pub(super) fn take(&self) -> Option<Error> {
        let mut state = self.lock();
        let change = |state: &mut State| Some(Error::new(ErrorKind::Output, state.changes.pop_front()?));
        state.waiting.take().or_else(|| change(&mut state))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; and every state is a valid one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_one_by_one_and_many_are_counted() {
        let log = Log::default();
        let (now, client) = (Instant::now(), IpAddr::from([192, 168, 1, 7]));
        for _ in 0..25 {
            log.changed_at(now, client, "paused the camera");
        }
        log.changed_at(now + EVERY, client, "resumed the camera");
        let told: Vec<String> = std::iter::from_fn(|| log.take()).map(|error| error.to_string()).collect();
        assert_eq!(told.len(), 22);
        assert_eq!(told[0], "web page: 192.168.1.7 paused the camera");
        assert_eq!(
            told[20..],
            ["web page: 5 more changes within a minute", "web page: 192.168.1.7 resumed the camera"]
        );
    }
}
