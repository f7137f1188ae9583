//! Frame by frame: decoded, looked at, delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::damage::Damage;
use super::exchange::{News, Order, Sample};
use super::handover::{Handover, Taken};
use super::needs::Needs;
use super::scene::{Looked, Models, Scene};
use super::statistics::{Latencies, Rate, Summary};
use super::{End, Options, Outcome};
use crate::camera::{self, Source};
use crate::cpu::Throttle;
use crate::error::{Error, ErrorKind, Result};
use crate::frame::{Frame, RgbImage};
use crate::output::{Delivery, Sink};
use crate::overlay;
use crate::prediction::{FrameReport, StageTimes};
use crate::tuning::Tuning;

/// Longest wait without looking whether the loop should stop.
const LOOK: Duration = Duration::from_millis(50);
/// Time between two looks for throttling, which may ask the firmware.
const THROTTLE_EVERY: Duration = Duration::from_secs(1);
/// Pictures that fail in a row before a source is given up that is not live: else repeating it would have no end.
pub(super) const MOST_FAILURES: u64 = 1000;

/// What was looked with before.
struct Before {
    models: Models,
    /// The regions whose labels differ.
    relabelled: Vec<Arc<str>>,
    tuned: Arc<[Tuning]>,
}

/// The state of a run.
pub(super) struct Loop<'a> {
    hand: Arc<Handover>,
    scene: Scene,
    /// While what took its place can be taken back.
    before: Option<Before>,
    /// The version of the tunings that the scene has.
    tuned: u64,
    sinks: Vec<Box<dyn Sink>>,
    options: &'a Options,
    warn: &'a mut dyn FnMut(&Error),
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

impl<'a> Loop<'a> {
    pub(super) fn new(
        is_live: bool,
        models: Models,
        sinks: Vec<Box<dyn Sink>>,
        options: &'a Options,
        warn: &'a mut dyn FnMut(&Error),
    ) -> Self {
        options.control.tunings().begin(models.tunings());
        options.control.set_running(models.running());
        Self {
            scene: Scene::new(models),
            before: None,
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
            hand: Arc::new(Handover::new(is_live)),
            sinks,
            options,
            warn,
        }
    }

    /// Finishes the sinks of a run that came to this `end`.
    pub(super) fn finish(mut self, mut end: Result<End>) -> Outcome {
        for sink in &mut self.sinks {
            match sink.finish() {
                Err(error) if end.is_ok() => end = Err(error),
                Err(error) => (self.warn)(&error),
                Ok(()) => {}
            }
            while let Some(error) = sink.trouble() {
                (self.warn)(&error);
            }
        }
        let (p50_ms, p99_ms) = (self.latencies.percentile_ms(50.0), self.latencies.percentile_ms(99.0));
        let (dropped, damaged, lost) = (self.hand.dropped(), self.damaged(), self.lost());
        Outcome { summary: Summary { dropped, damaged, lost, p50_ms, p99_ms, ..self.summary }, end }
    }

    pub(super) fn run(&mut self, source: Box<dyn Source>, stop: &AtomicBool) -> Result<End> {
        for _ in 0..self.options.warmup {
            self.scene.warm_up()?;
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
            self.exchange();
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

    /// Between two frames: other models take the place of those that run, or give it back, where that is asked for.
    fn exchange(&mut self) {
        match self.options.exchange.order() {
            Some(Order::PutIn { models, relabelled }) => {
                let tuned = self.options.control.tunings().get();
                let base = models.tunings();
                let before = self.put_in(models, &relabelled, &base);
                self.before = Some(Before { models: before, relabelled, tuned });
                self.options.exchange.tell(News::PutIn);
            }
            Some(Order::Keep) => {
                if let Some(before) = self.before.take() {
                    self.options.exchange.tell(News::Kept(before.models));
                }
            }
            Some(Order::TakeBack) => self.take_back(None),
            None => {}
        }
    }

    /// What was looked with before is looked with again, since what took its place failed with `error`, or is not wanted.
    fn take_back(&mut self, error: Option<Error>) {
        if let Some(Before { models, relabelled, tuned }) = self.before.take() {
            let failed = self.put_in(models, &relabelled, &tuned);
            self.options.exchange.tell(News::TakenBack(failed, error));
        }
    }

    /// Looks with `models` from now on; what was looked with before. What others have changed of a region stays, unless its settings are
    /// others: then it is `tuned` so.
    fn put_in(&mut self, models: Models, relabelled: &[Arc<str>], tuned: &[Tuning]) -> Models {
        let before = self.scene.exchange(models, relabelled);
        let (control, models) = (&self.options.control, self.scene.models());
        control.tunings().rebase(&before.tunings(), &models.tunings(), tuned);
        control.set_running(models.running());
        self.tune();
        before
    }

    /// Takes over what was changed of regions since the last frame.
    fn tune(&mut self) {
        if let Some(tunings) = self.options.control.tunings().newer(&mut self.tuned) {
            self.scene.tune(&tunings);
        }
    }

    /// What is seen in a frame. Models that fail on it while they can still be taken back are, and it is looked at again.
    fn look(&mut self, picture: &RgbImage, frame: &Frame, now: Duration) -> Result<Looked> {
        let shown = self.sinks.iter().any(|sink| sink.wants_picture() && sink.wants_overlay());
        let looked = self.scene.look(picture, frame, now, shown);
        if self.before.is_none() {
            return looked;
        }
        match looked {
            Ok(looked) => {
                self.options.exchange.tell(News::Frame(looked.seen.clone()));
                Ok(looked)
            }
            Err(error) => {
                self.take_back(Some(error));
                self.scene.look(picture, frame, now, shown)
            }
        }
    }

    /// A frame goes by while the run is paused.
    fn skip(&mut self) {
        self.summary.skipped += 1;
        self.scene.interrupt();
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
        let Looked { regions, events, stages: times, seen } = self.look(&picture, frame, monotonic)?;
        stages += times;
        if self.options.exchange.wants_sample() {
            self.options.exchange.tell(News::Sample(Sample { picture: picture.clone(), seen }));
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
