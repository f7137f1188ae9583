//! The newest result, handed from the camera loop to any number of watchers.
//!
//! The loop replaces it and never waits for a watcher; a watcher waits for the next one and skips what it was too
//! slow for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::prediction::FrameReport;

/// The newest report and picture.
#[derive(Debug, Default)]
pub(super) struct Feed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    report: Option<FrameReport>,
    /// When it came.
    came: Option<Instant>,
    /// A JPEG file; old while nobody watches.
    picture: Option<Arc<[u8]>>,
    /// Counts pictures.
    number: u64,
    watchers: usize,
    stopped: bool,
}

/// What waiting for a picture came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A picture newer than the last.
    Picture(Arc<[u8]>),
    /// There was none in time.
    Nothing,
    /// There will be no more.
    Stopped,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; and every state is a valid one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody waits for a picture.
    pub(super) fn is_watched(&self) -> bool {
        self.lock().watchers > 0
    }

    /// Replaces the newest report and, where there is one, the newest picture.
    pub(super) fn publish(&self, report: &FrameReport, picture: Option<Vec<u8>>) {
        let mut state = self.lock();
        state.report = Some(report.clone());
        state.came = Some(Instant::now());
        if let Some(picture) = picture {
            state.picture = Some(picture.into());
            state.number += 1;
            self.changed.notify_all();
        }
    }

    /// The newest report.
    pub(super) fn report(&self) -> Option<FrameReport> {
        self.lock().report.clone()
    }

    /// How old the newest report is.
    pub(super) fn age(&self) -> Option<Duration> {
        self.lock().came.map(|came| came.elapsed())
    }

    /// Ends all waiting, for good.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Whether [`stop`](Self::stop) was called.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Watches from now on; `None` when `limit` others do.
    pub(super) fn watch(&self, limit: usize) -> Option<Watch<'_>> {
        let mut state = self.lock();
        (state.watchers < limit).then(|| {
            state.watchers += 1;
            Watch { feed: self, seen: state.number }
        })
    }
}

/// One watcher of a [`Feed`]: as long as there is one, pictures are made.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    feed: &'a Feed,
    seen: u64,
}

impl Watch<'_> {
    /// Waits up to `timeout` for a picture newer than the last one, or than the start of watching.
    pub(super) fn next(&mut self, timeout: Duration) -> Next {
        let waiting = self
            .feed
            .changed
            .wait_timeout_while(self.feed.lock(), timeout, |state| state.number == self.seen && !state.stopped);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        match &state.picture {
            _ if state.stopped => Next::Stopped,
            Some(picture) if state.number != self.seen => {
                self.seen = state.number;
                Next::Picture(picture.clone())
            }
            _ => Next::Nothing,
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.feed.lock().watchers -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::report;
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    #[test]
    fn watchers_get_the_newest_and_skip_the_rest() {
        let feed = Feed::default();
        feed.publish(&report(), Some(vec![0]));
        let mut watch = feed.watch(8).unwrap();
        assert_eq!(watch.next(SHORT), Next::Nothing, "what was before is old");
        feed.publish(&report(), Some(vec![1]));
        feed.publish(&report(), Some(vec![2]));
        feed.publish(&report(), None);
        assert_eq!(watch.next(SHORT), Next::Picture(Arc::from([2])));
        assert_eq!(watch.next(SHORT), Next::Nothing);
        feed.stop();
        assert_eq!(watch.next(Duration::from_secs(60)), Next::Stopped);
    }

    #[test]
    fn watchers_are_counted_and_limited() {
        let feed = Feed::default();
        assert!(!feed.is_watched());
        let watches: Vec<Watch<'_>> = (0..3).map_while(|_| feed.watch(2)).collect();
        assert_eq!(watches.len(), 2);
        assert!(feed.is_watched());
        drop(watches);
        assert!(!feed.is_watched() && feed.watch(2).is_some());
    }
}
