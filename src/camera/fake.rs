//! A source for tests: it does what it was told, in order.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use super::Source;
use crate::error::{Error, Result};
use crate::frame::Frame;

/// One thing a [`FakeSource`] does.
#[derive(Debug)]
pub enum Step {
    /// Delivers this frame, captured at the moment it is delivered.
    Frame(Frame),
    /// Fails.
    Error(Error),
    /// Lets time pass before the next step.
    Wait(Duration),
}

/// Frames, errors and delays in the order given; the stream ends after the last.
#[derive(Debug)]
pub struct FakeSource {
    steps: VecDeque<Step>,
    live: bool,
}

impl FakeSource {
    /// A source that does `steps`; `live` is what [`Source::is_live`] says.
    pub fn new(steps: impl IntoIterator<Item = Step>, live: bool) -> Self {
        Self { steps: steps.into_iter().collect(), live }
    }
}

impl Source for FakeSource {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.steps.pop_front() {
                Some(Step::Frame(mut frame)) => {
                    frame.captured = std::time::Instant::now();
                    return Ok(Some(frame));
                }
                Some(Step::Error(error)) => return Err(error),
                Some(Step::Wait(time)) => thread::sleep(time),
                None => return Ok(None),
            }
        }
    }

    fn describe(&self) -> String {
        "fake".into()
    }

    fn is_live(&self) -> bool {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::frame::RgbImage;

    #[test]
    fn steps_happen_in_order_and_then_the_stream_ends() {
        let frame = Frame::from_image(RgbImage::filled(2, 2, [1, 2, 3]), 5);
        let error = Error::new(ErrorKind::Camera, "unplugged");
        let mut source =
            FakeSource::new([Step::Wait(Duration::from_millis(1)), Step::Frame(frame), Step::Error(error)], true);
        assert_eq!(source.next_frame().unwrap().unwrap().sequence, 5);
        assert_eq!(source.next_frame().unwrap_err().to_string(), "unplugged");
        assert!(source.next_frame().unwrap().is_none() && source.next_frame().unwrap().is_none());
    }
}
