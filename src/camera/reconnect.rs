//! A camera that may be lost: it is waited for and opened again.
//!
//! Frames are numbered on, and those that a camera would have delivered meanwhile are left out of the numbering, so that
//! whoever counts gaps counts them as lost.

use std::thread;
use std::time::{Duration, Instant};

use super::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::Frame;

/// How often and how patiently a lost camera is looked for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Between the first two attempts to open it; each time takes twice as long as the one before.
    retry: Duration,
    /// At most.
    longest_retry: Duration,
    /// Until it is said for the first time that it is still missing; each time takes twice as long as the one before.
    first: Duration,
    /// At most.
    longest: Duration,
}

const PATIENCE: Patience = Patience {
    retry: Duration::from_millis(500),
    longest_retry: Duration::from_secs(4),
    first: Duration::from_secs(10),
    longest: Duration::from_secs(60),
};

/// Opens a camera.
type Open = Box<dyn FnMut() -> Result<Box<dyn Source>> + Send>;

/// A source that opens its camera again when that fails.
pub(super) struct Reconnecting {
    open: Open,
    /// The camera, while it is open.
    source: Option<Box<dyn Source>>,
    /// Set from its loss to its next frame.
    absence: Option<Absence>,
    /// The frame that ended an absence, while that is told.
    held: Option<Frame>,
    patience: Patience,
    numbers: Numbers,
    /// What the camera was when it was there.
    name: String,
}

/// A time without frames.
struct Absence {
    since: Instant,
    /// When it was last told of.
    told: Instant,
    /// How long nothing is told.
    wait: Duration,
    /// How long to wait before the next attempt.
    retry: Duration,
}

impl Reconnecting {
    /// The camera that `open` opens; `is_steady` says that it would have delivered frames all the time that it is away.
    ///
    /// # Errors
    /// Those of `open`: a camera that is not there at first is not waited for.
    pub(super) fn new(is_steady: bool, mut open: Open) -> Result<Self> {
        let source = open()?;
        let (name, source, numbers) = (source.describe(), Some(source), Numbers { is_steady, ..Numbers::default() });
        Ok(Self { open, source, absence: None, held: None, patience: PATIENCE, numbers, name })
    }

    /// The camera's next frame, from the camera that is opened if it is not.
    fn attempt(&mut self) -> Result<Option<Frame>> {
        let source = match &mut self.source {
            Some(source) => source,
            closed => {
                // Whatever is wrong with it, it was right once.
                let opened = (self.open)().map_err(|e| Error::new(ErrorKind::Camera, e.to_string()).caused_by(e))?;
                self.name = opened.describe();
                self.numbers.interrupt();
                closed.insert(opened)
            }
        };
        source.next_frame()
    }

    /// The camera failed; what to tell, if it is time to.
    fn lost(&mut self, error: Error) -> Option<Error> {
        // It is closed, else it could not come back under its name.
        self.source = None;
        let now = Instant::now();
        let Patience { retry, longest_retry, first, longest } = self.patience;
        let Some(absence) = &mut self.absence else {
            self.absence = Some(Absence { since: now, told: now, wait: first, retry });
            return Some(Error::new(ErrorKind::Camera, format!("{error} (waiting for it)")).caused_by(error));
        };
        if absence.told.elapsed() >= absence.wait {
            (absence.told, absence.wait) = (now, (absence.wait * 2).min(longest));
            let message = format!("{error} (waiting for it since {:.0} s)", absence.since.elapsed().as_secs_f32());
            return Some(Error::new(ErrorKind::Camera, message).caused_by(error));
        }
        let due = absence.wait.saturating_sub(absence.told.elapsed());
        thread::sleep(absence.retry.min(due));
        absence.retry = (absence.retry * 2).min(longest_retry);
        None
    }
}

impl Source for Reconnecting {
    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if let Some(frame) = self.held.take() {
            return Ok(Some(frame));
        }
        loop {
            match self.attempt() {
                Ok(Some(mut frame)) => {
                    frame.sequence = self.numbers.next(frame.sequence, frame.captured);
                    let Some(absence) = self.absence.take() else { return Ok(Some(frame)) };
                    self.held = Some(frame);
                    let message = format!("{} is back after {:.1} s", self.name, absence.since.elapsed().as_secs_f32());
                    return Err(Error::new(ErrorKind::Camera, message));
                }
                Err(error) if error.kind() == ErrorKind::Camera => {
                    if let Some(told) = self.lost(error) {
                        return Err(told);
                    }
                }
                other => return other,
            }
        }
    }

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn is_live(&self) -> bool {
        true
    }

    fn recovers(&self) -> bool {
        true
    }
}

/// Numbers frames over interruptions.
#[derive(Debug, Default)]
struct Numbers {
    /// Whether frames go on while nobody takes them.
    is_steady: bool,
    /// The first frame since the camera was opened: its number of the camera's, ours, and when it was captured.
    first: Option<(u64, u64, Instant)>,
    /// The last: ours, and when it was captured.
    last: Option<(u64, Instant)>,
    /// Time from one frame to the next, where two have come.
    interval: Option<Duration>,
}

impl Numbers {
    /// The camera was lost: its next frame is the first of another count.
    fn interrupt(&mut self) {
        self.first = None;
    }

    /// Our number of the camera's frame `sequence`.
    fn next(&mut self, sequence: u64, captured: Instant) -> u64 {
        let &mut (theirs, ours, begin) = self.first.get_or_insert_with(|| {
            let missed = |(number, last): (u64, Instant)| {
                let away = captured.saturating_duration_since(last).as_secs_f64();
                let interval = self.interval.filter(|_| self.is_steady);
                let frames = interval.map_or(1.0, |interval| (away / interval.as_secs_f64()).round());
                number + (frames as u64).max(1)
            };
            (sequence, self.last.map_or(0, missed), captured)
        });
        let since_first = sequence.saturating_sub(theirs);
        let elapsed = captured.saturating_duration_since(begin);
        if let Ok(frames) = u32::try_from(since_first)
            && frames > 0
            && !elapsed.is_zero()
        {
            self.interval = Some(elapsed / frames);
        }
        let number = ours + since_first;
        self.last = Some((number, captured));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{FakeSource, Step};
    use super::*;
    use crate::frame::RgbImage;

    const SHORT: Patience = Patience {
        retry: Duration::from_millis(1),
        longest_retry: Duration::from_millis(2),
        first: Duration::from_millis(3),
        longest: Duration::from_millis(6),
    };

    fn frame(sequence: u64) -> Step {
        Step::Frame(Frame::from_image(RgbImage::filled(1, 1, [0; 3]), sequence))
    }

    fn unplugged() -> Error {
        Error::new(ErrorKind::Camera, "camera was unplugged")
    }

    /// A camera that is opened once for each of `lives`; `Err` is an attempt that fails. None are left: it stays away.
    fn camera(lives: Vec<Result<Vec<Step>>>) -> Result<Reconnecting> {
        let mut lives = lives.into_iter();
        let open = move || -> Result<Box<dyn Source>> {
            let steps = lives.next().unwrap_or_else(|| Err(unplugged()))?;
            Ok(Box::new(FakeSource::new(steps, true)))
        };
        Ok(Reconnecting { patience: SHORT, ..Reconnecting::new(true, Box::new(open))? })
    }

    #[test]
    fn it_is_waited_for_and_comes_back() {
        let lives = vec![Ok(vec![frame(0), Step::Error(unplugged())]), Err(unplugged()), Ok(vec![frame(0), frame(1)])];
        let mut camera = camera(lives).unwrap();
        assert!(camera.is_live() && camera.recovers() && camera.describe() == "fake");
        let first = camera.next_frame().unwrap().unwrap().sequence;
        assert_eq!(camera.next_frame().unwrap_err().to_string(), "camera was unplugged (waiting for it)");
        assert!(camera.next_frame().unwrap_err().to_string().starts_with("fake is back after "));
        let again = [camera.next_frame().unwrap().unwrap().sequence, camera.next_frame().unwrap().unwrap().sequence];
        assert_eq!((first, again), (0, [1, 2]), "without a second frame before there is no rate");
        assert!(camera.next_frame().unwrap().is_none());
    }

    #[test]
    fn it_is_said_ever_more_rarely_that_it_is_away() {
        let mut camera = camera(vec![Ok(vec![Step::Error(unplugged())])]).unwrap();
        camera.next_frame().unwrap_err();
        for wait in [3, 6, 6] {
            let begin = Instant::now();
            let said = camera.next_frame().unwrap_err();
            assert!(begin.elapsed() >= Duration::from_millis(wait), "{wait}");
            assert!(said.to_string().starts_with("camera was unplugged (waiting for it since "), "{said}");
            assert_eq!(said.kind(), ErrorKind::Camera);
        }
    }

    #[test]
    fn one_that_is_there_and_silent_is_not_back() {
        let silent = || Ok(vec![Step::Wait(Duration::from_millis(1)), Step::Error(unplugged())]);
        let mut lives: Vec<_> = std::iter::repeat_with(silent).take(12).collect();
        lives.push(Ok(vec![frame(0)]));
        let mut camera = camera(lives).unwrap();
        let mut told = Vec::new();
        let first = loop {
            match camera.next_frame() {
                Ok(frame) => break frame.unwrap(),
                Err(error) => told.push(error.to_string()),
            }
        };
        assert_eq!((first.sequence, told[0].as_str()), (0, "camera was unplugged (waiting for it)"));
        assert!(told.len() < 10, "{told:?}");
        assert_eq!(told.iter().filter(|line| line.contains(" is back after ")).count(), 1);
        assert!(told.last().unwrap().contains(" is back after "), "{told:?}");
    }

    #[test]
    fn the_end_of_what_cannot_be_opened_again_is_the_end() {
        let end = Error::new(ErrorKind::Ended, "standard input ended");
        let mut camera = camera(vec![Ok(vec![frame(0), Step::Error(end)])]).unwrap();
        assert!(camera.next_frame().is_ok());
        assert_eq!(camera.next_frame().unwrap_err().kind(), ErrorKind::Ended);
    }

    #[test]
    fn one_that_is_not_there_at_first_is_an_error() {
        assert_eq!(camera(vec![Err(unplugged())]).err().unwrap().to_string(), "camera was unplugged");
    }

    #[test]
    fn a_picture_that_fails_is_no_loss() {
        let image = Error::new(ErrorKind::Image, "no picture");
        let mut camera = camera(vec![Ok(vec![Step::Error(image), frame(4)])]).unwrap();
        assert_eq!(camera.next_frame().unwrap_err().to_string(), "no picture");
        assert_eq!(camera.next_frame().unwrap().unwrap().sequence, 0);
    }

    #[test]
    fn frames_that_did_not_come_are_left_out_of_the_numbering() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut numbers = Numbers { is_steady: true, ..Numbers::default() };
        assert_eq!([numbers.next(7, at(0)), numbers.next(8, at(40)), numbers.next(10, at(120))], [0, 1, 3]);
        numbers.interrupt();
        // 40 ms a frame: 50 frames in two seconds.
        assert_eq!([numbers.next(0, at(2120)), numbers.next(1, at(2160))], [53, 54]);
        numbers.interrupt();
        assert_eq!(numbers.next(0, at(2161)), 55, "never the same number twice");
        let mut pipe = Numbers::default();
        assert_eq!([pipe.next(0, at(0)), pipe.next(1, at(1))], [0, 1]);
        pipe.interrupt();
        assert_eq!(pipe.next(0, at(5000)), 2, "a pipe has no frames while nobody writes");
    }
}
