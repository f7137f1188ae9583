//! Between the thread that captures and the one that computes: one frame waits at most.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;

/// Errors that wait at most where the newest frame wins; older ones are forgotten.
const TROUBLES: usize = 8;

/// One place for a frame. Of a live source the newest frame takes it and the one before is dropped; the frames of any
/// other are handed over one by one, and capturing waits.
pub(super) struct Handover {
    newest_wins: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    frame: Option<Frame>,
    troubles: VecDeque<Error>,
    end: Option<Result<()>>,
    closed: bool,
    dropped: u64,
    damaged: u64,
}

impl State {
    fn tell(&mut self, error: Error) {
        if self.troubles.len() == TROUBLES {
            self.troubles.pop_front();
        }
        self.troubles.push_back(error);
    }
}

/// What [`Handover::take`] found.
#[derive(Debug)]
pub(super) enum Taken {
    Frame(Frame),
    /// Something failed, and capturing went on.
    Trouble(Error),
    /// Nothing will follow.
    End(Result<()>),
    /// Nothing yet.
    Nothing,
}

impl Handover {
    pub(super) fn new(newest_wins: bool) -> Self {
        Self { newest_wins, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Hands a frame over; `lost` frames were lost by the device before it. False if nobody takes frames any more.
    pub(super) fn put(&self, frame: Frame, lost: u64) -> bool {
        let mut state = self.room();
        if state.closed {
            // Nobody wanted it: it is not lost.
            return false;
        }
        state.damaged += u64::from(frame.damage.is_some());
        let replaced = state.frame.replace(frame);
        state.dropped += lost + u64::from(replaced.is_some());
        if let Some((frame, what)) = replaced.and_then(|frame| frame.damage.map(|what| (frame, what))) {
            // Nobody will decode it and find out.
            state.tell(Error::new(ErrorKind::Image, format!("{}: the picture {what}: passed over", frame.place())));
        }
        self.changed.notify_all();
        true
    }

    /// Hands over an error after which capturing goes on. False if nobody takes it any more.
    pub(super) fn trouble(&self, error: Error) -> bool {
        let mut state = self.room();
        state.damaged += u64::from(error.kind() != ErrorKind::Camera);
        state.tell(error);
        self.changed.notify_all();
        !state.closed
    }

    /// Says that nothing will follow. Only the first end counts.
    pub(super) fn end(&self, end: Result<()>) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }

    /// Says that nobody takes anything any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// What there is, after waiting for it `longest`.
    pub(super) fn take(&self, longest: Duration) -> Taken {
        let nothing = |state: &mut State| state.frame.is_none() && state.troubles.is_empty() && state.end.is_none();
        let waited = self.changed.wait_timeout_while(self.lock(), longest, nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        self.changed.notify_all();
        if let Some(error) = state.troubles.pop_front() {
            return Taken::Trouble(error);
        }
        if let Some(frame) = state.frame.take() {
            return Taken::Frame(frame);
        }
        state.end.take().map_or(Taken::Nothing, Taken::End)
    }

    /// Frames that gave way to newer ones so far, here or in the device.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Damaged pictures that were captured so far, and errors of others that could not be.
    pub(super) fn damaged(&self) -> u64 {
        self.lock().damaged
    }

    /// The state, once there is room for something more.
    fn room(&self) -> MutexGuard<'_, State> {
        let full = |state: &mut State| {
            !self.newest_wins && !state.closed && (state.frame.is_some() || !state.troubles.is_empty())
        };
        self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::frame::RgbImage;

    const LONG: Duration = Duration::from_secs(60);

    fn frame(sequence: u64) -> Frame {
        Frame::from_image(RgbImage::filled(1, 1, [0; 3]), sequence)
    }

    fn sequence(taken: Taken) -> u64 {
        match taken {
            Taken::Frame(frame) => frame.sequence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_wins_and_the_rest_is_counted() {
        let hand = Handover::new(true);
        for i in 0..3 {
            assert!(hand.put(frame(i), 2));
        }
        for _ in 0..TROUBLES + 1 {
            assert!(hand.trouble(Error::new(ErrorKind::Image, "bad")));
        }
        hand.end(Ok(()));
        for _ in 0..TROUBLES {
            assert!(matches!(hand.take(LONG), Taken::Trouble(_)));
        }
        assert_eq!(sequence(hand.take(LONG)), 2);
        assert!(matches!(hand.take(LONG), Taken::End(Ok(()))));
        assert!(matches!(hand.take(Duration::ZERO), Taken::Nothing));
        assert_eq!((hand.dropped(), hand.damaged()), (2 + 3 * 2, TROUBLES as u64 + 1));
        assert!(hand.put(Frame { damage: Some("is cut off"), ..frame(4) }, 0));
        hand.trouble(Error::new(ErrorKind::Camera, "unplugged"));
        assert_eq!(hand.damaged(), TROUBLES as u64 + 2);
        assert!(matches!(hand.take(LONG), Taken::Trouble(_)), "unplugged");
        assert!(hand.put(frame(5), 0));
        let Taken::Trouble(told) = hand.take(LONG) else { panic!("a damaged frame gave way in silence") };
        assert_eq!(told.to_string(), "frame 4: the picture is cut off: passed over");
    }

    #[test]
    fn in_order_nothing_is_lost() {
        let hand = Handover::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..100 {
                    assert!(hand.put(frame(i), 0));
                }
                hand.trouble(Error::new(ErrorKind::Image, "bad"));
                hand.end(Ok(()));
            });
            for i in 0..100 {
                assert_eq!(sequence(hand.take(LONG)), i);
            }
            assert!(matches!(hand.take(LONG), Taken::Trouble(_)));
            assert!(matches!(hand.take(LONG), Taken::End(Ok(()))));
        });
        assert_eq!(hand.dropped(), 0);
    }

    #[test]
    fn closing_lets_a_waiting_capture_go() {
        let hand = Handover::new(false);
        assert!(hand.put(frame(0), 0));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| hand.put(frame(1), 0));
            hand.close();
            assert!(!waiting.join().unwrap());
        });
        assert_eq!(hand.dropped(), 0, "a frame that comes after the end is not lost");
    }
}
