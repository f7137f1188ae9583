//! The thread that captures, so that a slow network never makes frames old.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::handover::Handover;
use crate::camera::Source;
use crate::error::{Error, ErrorKind, Result};

/// Longest wait for the thread at the end. A camera that delivers nothing holds it until its own time-out: it may do so
/// alone.
const PATIENCE: Duration = Duration::from_millis(500);

/// The running thread.
pub(super) struct Capture {
    hand: Arc<Handover>,
    thread: JoinHandle<()>,
}

impl Capture {
    /// Starts to capture from `source` into `hand`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the system gives no thread.
    pub(super) fn start(source: Box<dyn Source>, hand: Arc<Handover>) -> Result<Self> {
        let theirs = hand.clone();
        let thread = thread::Builder::new().name("capture".into()).spawn(move || {
            let guard = EndOnPanic(&theirs);
            theirs.end(capture(source, &theirs));
            drop(guard);
        });
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Io, format!("cannot start the capture thread: {}", crate::error::reason(&e)))
                .caused_by(e)
        })?;
        Ok(Self { hand, thread })
    }

    /// Ends the thread, unless the camera holds it.
    pub(super) fn finish(self) {
        self.hand.close();
        let begin = Instant::now();
        while !self.thread.is_finished() && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(2));
        }
        if self.thread.is_finished() {
            // A panic has been told by `EndOnPanic`.
            let _ = self.thread.join();
        }
    }
}

/// Says that nothing will follow, whatever becomes of the thread: else its taker would wait for ever.
struct EndOnPanic<'a>(&'a Handover);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        self.0.end(Err(Error::new(ErrorKind::Camera, "capturing ended with an internal error")));
    }
}

/// Captures until the source ends, fails, or nobody takes frames any more.
fn capture(mut source: Box<dyn Source>, hand: &Handover) -> Result<()> {
    let mut expected = None;
    let mut failed = false;
    loop {
        let wanted = match source.next_frame() {
            Ok(Some(frame)) => {
                failed = false;
                let lost = expected.map_or(0, |expected| frame.sequence.saturating_sub(expected));
                expected = Some(frame.sequence + 1);
                hand.put(frame, lost)
            }
            Ok(None) => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Image | ErrorKind::Io) => hand.trouble(error),
            // A USB camera may need a moment: it is asked a second time, and for ever if it may be plugged in again.
            Err(error) if error.kind() == ErrorKind::Camera && (!failed || source.recovers()) => {
                failed = true;
                hand.trouble(error)
            }
            Err(error) => return Err(error),
        };
        if !wanted {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::handover::Taken;
    use super::*;
    use crate::camera::fake::{FakeSource, Step};
    use crate::frame::{Frame, RgbImage};

    fn frame(sequence: u64) -> Step {
        Step::Frame(Frame::from_image(RgbImage::filled(1, 1, [0; 3]), sequence))
    }

    fn camera_error() -> Step {
        Step::Error(Error::new(ErrorKind::Camera, "nothing came"))
    }

    /// What comes out (sequence numbers, `E` for errors, the end), and how many frames were lost.
    fn captured(steps: Vec<Step>) -> (String, u64) {
        let hand = Arc::new(Handover::new(false));
        let capture = Capture::start(Box::new(FakeSource::new(steps, false)), hand.clone()).unwrap();
        let mut said = String::new();
        loop {
            match hand.take(Duration::from_secs(60)) {
                Taken::Frame(frame) => said += &format!("{} ", frame.sequence),
                Taken::Trouble(_) => said += "E ",
                Taken::End(end) => {
                    said += if end.is_ok() { "end" } else { "failed" };
                    break;
                }
                Taken::Nothing => panic!("nothing after {said}"),
            }
        }
        capture.finish();
        (said, hand.dropped())
    }

    #[test]
    fn gaps_in_the_sequence_are_frames_the_device_lost() {
        let (said, lost) = captured(vec![frame(5), frame(6), frame(9), frame(3), frame(4)]);
        assert_eq!((said.as_str(), lost), ("5 6 9 3 4 end", 2));
    }

    #[test]
    fn a_camera_is_asked_twice_and_pictures_that_fail_are_passed_over() {
        assert_eq!(captured(vec![camera_error(), frame(0), camera_error(), frame(1)]).0, "E 0 E 1 end");
        assert_eq!(captured(vec![frame(0), camera_error(), camera_error(), frame(1)]).0, "0 E failed");
        let picture = || Step::Error(Error::new(ErrorKind::Image, "no picture"));
        assert_eq!(captured(vec![picture(), picture(), picture(), frame(3)]).0, "E E E 3 end");
    }

    #[test]
    fn a_panic_is_an_end() {
        struct Broken;
        impl Source for Broken {
            fn next_frame(&mut self) -> Result<Option<Frame>> {
                panic!("a source that panics on purpose")
            }
            fn describe(&self) -> String {
                String::new()
            }
            fn is_live(&self) -> bool {
                true
            }
        }
        let hand = Arc::new(Handover::new(true));
        let capture = Capture::start(Box::new(Broken), hand.clone()).unwrap();
        assert!(matches!(hand.take(Duration::from_secs(60)), Taken::End(Err(_))));
        capture.finish();
    }

    #[test]
    fn a_source_that_hangs_is_left_alone() {
        let hand = Arc::new(Handover::new(true));
        let wait = Step::Wait(Duration::from_secs(20));
        let capture = Capture::start(Box::new(FakeSource::new([wait], true)), hand).unwrap();
        let begin = Instant::now();
        capture.finish();
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
