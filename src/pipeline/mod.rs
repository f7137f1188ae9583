//! The camera loop: a thread captures, the newest frame wins, the network labels it, outputs take the result.
//!
//! ```text
//! Source -> capture.rs -> handover.rs -> decode, Classifier, selection.rs -> overlay -> Sinks
//!           (a thread)    (one frame)    (the calling thread)
//! ```

mod capture;
mod damage;
mod handover;
mod selection;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::camera::{self, Source, Turning};
use crate::cpu::Throttle;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, RgbImage};
use crate::output::{Delivery, Sink};
use crate::overlay;
use crate::prediction::{FrameReport, StageTimes};
use crate::runtime::Classifier;

use capture::Capture;
use damage::Damage;
use handover::{Handover, Taken};
use selection::Selection;
use statistics::{Latencies, Rate};

pub use statistics::Summary;

/// Longest wait without looking whether the loop should stop.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two looks for throttling, which may ask the firmware.
const THROTTLE_EVERY: Duration = Duration::from_secs(1);
/// Pictures that fail in a row before a source is given up that is not live: else repeating it would have no end.
const MOST_FAILURES: u64 = 1000;

/// How frames are processed, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How pictures are turned first.
    pub turning: Turning,
    /// Classes to report at most.
    pub topk: usize,
    /// Least score of a reported class, 0 to 1.
    pub threshold: f32,
    /// Share of the past in each score, 0 (none) <= smoothing < 1: an exponential moving average.
    pub smoothing: f32,
    /// Pictures to run through the network before capturing begins, so that the first frames are not slow.
    pub warmup: u32,
    /// Stop after this many results.
    pub frames: Option<u64>,
    /// Stop after this time.
    pub duration: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let turning = Turning::default();
        Self { turning, topk: 3, threshold: 0.0, smoothing: 0.0, warmup: 2, frames: None, duration: None }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The source has no more frames.
    Source,
    /// [`Options::frames`] or [`Options::duration`] was reached.
    Limit,
    /// Whoever read an output is gone (a closed pipe).
    Reader,
    /// It was asked to stop.
    Stopped,
}

/// What a run came to. There is a summary even when it failed.
#[derive(Debug)]
pub struct Outcome {
    /// Frames, drops, latencies.
    pub summary: Summary,
    /// Why it ended. Errors: [`ErrorKind::Camera`] for a source that failed, [`ErrorKind::Ended`] for a live one that
    /// ended, [`ErrorKind::Image`] for files of which nothing could be decoded, [`ErrorKind::Output`] for a result that could not be delivered, [`ErrorKind::Model`]
    /// for a network that failed.
    pub end: Result<End>,
}

/// Processes the frames of `source` until it ends, a limit is reached, a sink's reader is gone, or `stop` becomes
/// true. `warn` is told what went wrong without ending the run. The sinks are finished when this returns.
pub fn run(
    source: Box<dyn Source>,
    classifier: &mut dyn Classifier,
    sinks: Vec<Box<dyn Sink>>,
    options: &Options,
    stop: &AtomicBool,
    warn: &mut dyn FnMut(&Error),
) -> Outcome {
    let is_live = source.is_live();
    let hand = Arc::new(Handover::new(is_live));
    let mut state = Loop {
        selection: Selection::new(options.topk, options.threshold, options.smoothing),
        start: Instant::now(),
        rate: Rate::default(),
        latencies: Latencies::new(),
        throttle: Throttle::watch(),
        throttled: None,
        is_live,
        damage: Damage::new(is_live),
        failures_in_row: 0,
        summary: Summary::default(),
        hand,
        classifier,
        sinks,
        options,
        warn,
    };
    let mut end = state.run(source, stop);
    for sink in &mut state.sinks {
        match sink.finish() {
            Err(error) if end.is_ok() => end = Err(error),
            Err(error) => (state.warn)(&error),
            Ok(()) => {}
        }
    }
    let (p50_ms, p99_ms) = (state.latencies.percentile_ms(50.0), state.latencies.percentile_ms(99.0));
    let (dropped, damaged) = (state.hand.dropped(), state.damaged());
    Outcome { summary: Summary { dropped, damaged, p50_ms, p99_ms, ..state.summary }, end }
}

/// The state of a run.
struct Loop<'a> {
    hand: Arc<Handover>,
    classifier: &'a mut dyn Classifier,
    sinks: Vec<Box<dyn Sink>>,
    options: &'a Options,
    warn: &'a mut dyn FnMut(&Error),
    selection: Selection,
    start: Instant,
    rate: Rate,
    latencies: Latencies,
    throttle: Throttle,
    /// When throttling was last looked for, and what was found.
    throttled: Option<(Instant, Option<bool>)>,
    is_live: bool,
    damage: Damage,
    failures_in_row: u64,
    /// What is counted here; of `damaged` what is not known before decoding.
    summary: Summary,
}

impl Loop<'_> {
    fn run(&mut self, source: Box<dyn Source>, stop: &AtomicBool) -> Result<End> {
        for _ in 0..self.options.warmup {
            self.classifier.classify(&RgbImage::filled(64, 64, [128; 3]), 1)?;
        }
        self.start = Instant::now();
        let capture = Capture::start(source, self.hand.clone())?;
        let end = self.process(stop);
        capture.finish();
        self.summary.seconds = self.start.elapsed().as_secs_f64();
        end
    }

    fn process(&mut self, stop: &AtomicBool) -> Result<End> {
        loop {
            let left = self.options.duration.map(|longest| longest.saturating_sub(self.start.elapsed()));
            if left == Some(Duration::ZERO) || self.options.frames.is_some_and(|most| self.summary.frames >= most) {
                return Ok(End::Limit);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            match self.hand.take(left.unwrap_or(LOOK).min(LOOK)) {
                Taken::Frame(frame) => {
                    if self.frame(&frame)? == Delivery::Stop {
                        return Ok(End::Reader);
                    }
                }
                Taken::Trouble(error) => self.failure(error)?,
                Taken::End(Ok(())) if self.summary.frames == 0 && self.damaged() > 0 => {
                    let message = format!("none of {} pictures could be read", self.damaged());
                    return Err(Error::new(ErrorKind::Image, message));
                }
                Taken::End(end) => return end.map(|()| End::Source),
                Taken::Nothing => {}
            }
        }
    }

    /// From a frame to its delivered result. [`Delivery::Stop`] when a sink's reader is gone.
    fn frame(&mut self, frame: &Frame) -> Result<Delivery> {
        let begin = Instant::now();
        let decoded = camera::decode(frame, self.options.turning);
        let is_whole = decoded.as_ref().is_ok_and(|decoded| decoded.damage.is_none());
        self.summary.damaged += u64::from(!is_whole && frame.damage.is_none());
        let mut picture = match decoded {
            Ok(decoded) => {
                self.tell_of_part(frame, decoded.damage);
                decoded.image
            }
            Err(error) => {
                self.failure(error)?;
                return Ok(Delivery::Continue);
            }
        };
        let decode = begin.elapsed();
        let result = self.classifier.classify(&picture, self.selection.wanted())?;
        let begin = Instant::now();
        let predictions = self.selection.of(result.predictions);
        let now = Instant::now();
        let postprocess = result.stages.postprocess + (now - begin);
        let report = FrameReport {
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            monotonic: frame.captured.saturating_duration_since(self.start),
            origin: frame.origin.clone(),
            predictions,
            stages: StageTimes { decode, postprocess, ..result.stages },
            latency: now.saturating_duration_since(frame.captured),
            fps: self.rate.add(now),
            dropped: self.hand.dropped(),
            damaged: self.damaged(),
            partial: !is_whole,
            throttled: self.throttled(now),
            model: self.classifier.name(),
            model_hash: self.classifier.hash(),
        };
        self.failures_in_row = 0;
        self.summary.frames += 1;
        self.latencies.add(report.latency);
        self.deliver(&report, &mut picture)
    }

    fn deliver(&mut self, report: &FrameReport, picture: &mut RgbImage) -> Result<Delivery> {
        let drawn = self.sinks.iter().any(|sink| sink.wants_picture());
        if drawn {
            overlay::draw(picture, report);
        }
        let picture = drawn.then_some(&*picture);
        let mut delivery = Delivery::Continue;
        for sink in &mut self.sinks {
            if sink.deliver(report, picture)? == Delivery::Stop {
                delivery = Delivery::Stop;
            }
        }
        Ok(delivery)
    }

    /// One picture that could not be read, or a camera that is asked again.
    fn failure(&mut self, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Camera {
            (self.warn)(&error);
            return Ok(());
        }
        self.failures_in_row += 1;
        if !self.is_live && self.failures_in_row == MOST_FAILURES {
            let message = format!("{MOST_FAILURES} pictures in a row could not be read, the last: {error}");
            return Err(Error::new(ErrorKind::Image, message).caused_by(error));
        }
        if let Some(word) = self.damage.unreadable(error) {
            (self.warn)(&word);
        }
        Ok(())
    }

    fn tell_of_part(&mut self, frame: &Frame, damage: Option<&str>) {
        let Some(what) = damage else { return };
        let message = format!("{}: the picture {what}: used as far as it goes", frame.place());
        if let Some(word) = self.damage.partial(Error::new(ErrorKind::Image, message)) {
            (self.warn)(&word);
        }
    }

    /// Damaged pictures so far.
    fn damaged(&self) -> u64 {
        self.hand.damaged() + self.summary.damaged
    }

    fn throttled(&mut self, now: Instant) -> Option<bool> {
        match self.throttled {
            Some((last, found)) if now.saturating_duration_since(last) < THROTTLE_EVERY => found,
            _ => {
                let found = self.throttle.check();
                self.throttled = Some((now, found));
                found
            }
        }
    }
}
