//! The camera loop: a thread captures, the newest frame wins, the network labels it, outputs take the result.
//!
//! ```text
//! Source -> capture.rs -> handover.rs -> decode, watch.rs: Classifier, selection.rs, events -> overlay -> Sinks
//!           (a thread)    (one frame)    (the calling thread; region by region)
//! ```
//!
//! While it is paused ([`Control`]) frames go no further than the handover. What was changed of regions meanwhile is taken over between
//! two frames.

mod capture;
mod damage;
mod handover;
mod needs;
mod region;
mod selection;
mod statistics;
#[cfg(test)]
mod tests;
mod watch;

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
use needs::Needs;
use statistics::{Latencies, Rate};
use watch::{Seen, Watch};

pub use crate::control::Control;
pub use region::{Place, Region};
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
    /// The camera's name, if it has one.
    pub name: Option<Arc<str>>,
    /// How pictures are turned first.
    pub turning: Turning,
    /// What networks look at, one after the other.
    pub regions: Vec<Region>,
    /// Pictures to run through the network before capturing begins, so that the first frames are not slow.
    pub warmup: u32,
    /// Stop after this many results.
    pub frames: Option<u64>,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// What the run can be asked for while it goes on.
    pub control: Control,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            turning: Turning::default(),
            regions: vec![Region::default()],
            warmup: 2,
            frames: None,
            duration: None,
            control: Control::default(),
        }
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
    /// ended, [`ErrorKind::Image`] for files of which nothing could be decoded, [`ErrorKind::Output`] for a result that could not be
    /// delivered, [`ErrorKind::Model`] for a network that failed, [`ErrorKind::Usage`] for a region that is not inside a picture.
    pub end: Result<End>,
}

/// Processes the frames of `source` until it ends, a limit is reached, a sink's reader is gone, or `stop` becomes
/// true. `warn` is told what went wrong without ending the run. The sinks are finished when this returns.
///
/// # Panics
/// If a region of `options` names a classifier that is not there.
pub fn run(
    source: Box<dyn Source>,
    classifiers: &mut [&mut dyn Classifier],
    sinks: Vec<Box<dyn Sink>>,
    options: &Options,
    stop: &AtomicBool,
    warn: &mut dyn FnMut(&Error),
) -> Outcome {
    let named = options.regions.iter().map(|region| region.classifier).max();
    assert!(named.is_none_or(|most| most < classifiers.len()), "each region has a classifier");
    let is_live = source.is_live();
    options.control.tunings().begin(options.regions.iter().map(Region::tuning).collect());
    let hand = Arc::new(Handover::new(is_live));
    let mut state = Loop {
        watches: options.regions.iter().map(Watch::new).collect(),
        tuned: 0,
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
        classifiers,
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
        while let Some(error) = sink.trouble() {
            (state.warn)(&error);
        }
    }
    let (p50_ms, p99_ms) = (state.latencies.percentile_ms(50.0), state.latencies.percentile_ms(99.0));
    let (dropped, damaged, lost) = (state.hand.dropped(), state.damaged(), state.lost());
    Outcome { summary: Summary { dropped, damaged, lost, p50_ms, p99_ms, ..state.summary }, end }
}

/// The state of a run.
struct Loop<'a, 'c> {
    hand: Arc<Handover>,
    classifiers: &'a mut [&'c mut dyn Classifier],
    sinks: Vec<Box<dyn Sink>>,
    options: &'a Options,
    warn: &'a mut dyn FnMut(&Error),
    watches: Vec<Watch>,
    /// The version of the tunings that they have.
    tuned: u64,
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

impl Loop<'_, '_> {
    fn run(&mut self, source: Box<dyn Source>, stop: &AtomicBool) -> Result<End> {
        for _ in 0..self.options.warmup {
            for classifier in &mut *self.classifiers {
                classifier.classify(&RgbImage::filled(64, 64, [128; 3]), 1)?;
            }
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
                Taken::Frame(_) if self.options.control.is_paused() => self.skip(),
                Taken::Frame(frame) => {
                    self.tune();
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

    /// Takes over what was changed of regions since the last frame.
    fn tune(&mut self) {
        let tunings = self.options.control.tunings().newer(&mut self.tuned);
        for (watch, tuning) in self.watches.iter_mut().zip(tunings.iter().flat_map(|tunings| tunings.iter())) {
            watch.tune(tuning);
        }
    }

    /// A frame goes by while the run is paused.
    fn skip(&mut self) {
        self.summary.skipped += 1;
        for watch in &mut self.watches {
            watch.interrupt();
        }
        for sink in &mut self.sinks {
            sink.skip(self.summary.skipped);
            while let Some(error) = sink.trouble() {
                (self.warn)(&error);
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
        let mut stages = StageTimes { decode: begin.elapsed(), ..StageTimes::default() };
        let monotonic = frame.captured.saturating_duration_since(self.start);
        let (mut regions, mut events) = (Vec::with_capacity(self.watches.len()), Vec::new());
        for watch in &mut self.watches {
            let seen = watch.look(&picture, frame, monotonic, self.classifiers)?;
            let Seen { report, events: changes, stages: times } = seen;
            regions.push(report);
            events.extend(changes);
            stages += times;
        }
        let now = Instant::now();
        let report = FrameReport {
            camera: self.options.name.clone(),
            sequence: frame.sequence,
            timestamp: frame.timestamp,
            monotonic,
            origin: frame.origin.clone(),
            regions,
            events,
            stages,
            latency: now.saturating_duration_since(frame.captured),
            fps: self.rate.add(now),
            dropped: self.hand.dropped(),
            skipped: self.summary.skipped,
            damaged: self.damaged(),
            lost: self.lost(),
            partial: !is_whole,
            throttled: self.throttled(now),
        };
        self.failures_in_row = 0;
        self.summary.frames += 1;
        self.latencies.add(report.latency);
        self.deliver(&report, &mut picture)
    }

    fn deliver(&mut self, report: &FrameReport, picture: &mut RgbImage) -> Result<Delivery> {
        let needs: Vec<Needs> = self.sinks.iter().map(|sink| Needs::of(&**sink, picture)).collect();
        let mut delivery = Delivery::Continue;
        // First to those that want it as it is, or scaled: it is drawn on in place.
        for is_drawn in [false, true] {
            let sinks = self.sinks.iter_mut().zip(&needs);
            let sinks: Vec<_> = sinks.filter(|(_, needs)| (**needs == Needs::Annotated) == is_drawn).collect();
            if is_drawn && !sinks.is_empty() {
                overlay::draw(picture, report);
            }
            for (sink, needs) in sinks {
                let scaled = needs.scaled(picture, report)?;
                let given = (*needs != Needs::Nothing).then(|| scaled.as_ref().unwrap_or(picture));
                if sink.deliver(report, given)? == Delivery::Stop {
                    delivery = Delivery::Stop;
                }
                while let Some(error) = sink.trouble() {
                    (self.warn)(&error);
                }
            }
        }
        Ok(delivery)
    }

    /// What outputs did not deliver so far.
    fn lost(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.lost()).sum()
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
