//! What a service manager (systemd) is told: that the loop runs, that it still does, and how it does. Without one nothing is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::error::{Error, ErrorKind, Result};
use crate::frame::RgbImage;
use crate::output::{Delivery, Sink};
use crate::prediction::FrameReport;
use crate::text;

/// Longest time between two words on how it does.
const EVERY: Duration = Duration::from_secs(10);

/// Sends states. A manager that does not listen is none of the loop's business.
type Notify = Box<dyn Fn(&[NotifyState]) + Send>;

/// What the loop tells, shared by those who see that it runs.
#[derive(Clone)]
pub(super) struct Service(Arc<Mutex<State>>);

struct State {
    notify: Notify,
    every: Duration,
    /// When it was last said that the loop runs; `None` before its first result.
    last: Option<Instant>,
}

impl Service {
    /// The manager that started this program, if one did.
    pub(super) fn new() -> Self {
        let notify = |states: &[NotifyState]| _ = sd_notify::notify(states);
        Self::with(Box::new(notify), sd_notify::watchdog_enabled())
    }

    fn with(notify: Notify, watchdog: Option<Duration>) -> Self {
        // Twice within the watchdog's time, as systemd recommends.
        let every = watchdog.map_or(EVERY, |time| EVERY.min(time / 2));
        Self(Arc::new(Mutex::new(State { notify, every, last: None })))
    }

    /// Tells of results.
    pub(super) fn sink(&self) -> Box<dyn Sink> {
        Box::new(self.clone())
    }

    /// The settings are about to be read again.
    pub(super) fn reloads(&self) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not before it was ready: that would be taken for the end of the start.
        if let (Some(_), Ok(now)) = (state.last, NotifyState::monotonic_usec_now()) {
            (state.notify)(&[NotifyState::Reloading, now]);
        }
    }

    /// The settings were read again, with whatever success.
    pub(super) fn has_reloaded(&self) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some() {
            (state.notify)(&[NotifyState::Ready]);
        }
    }

    /// A camera that is waited for is no reason to be started again; pictures that cannot be read may become one.
    pub(super) fn trouble(&self, error: &Error) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if error.kind() == ErrorKind::Camera && state.last.is_some() {
            state.last = Some(Instant::now());
            (state.notify)(&[NotifyState::Watchdog, NotifyState::Status(&crate::cli::one_line(&error.to_string()))]);
        }
    }
}

impl State {
    /// Tells how it does, if that is due; that it is ready, the first time.
    fn tell(&mut self, status: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            return;
        }
        let status = status();
        let (alive, status) = (NotifyState::Watchdog, NotifyState::Status(&status));
        match self.last {
            None => (self.notify)(&[NotifyState::Ready, alive, status]),
            Some(_) => (self.notify)(&[alive, status]),
        }
        self.last = Some(now);
    }
}

impl Sink for Service {
    fn wants_picture(&self) -> bool {
        false
    }

    fn deliver(&mut self, report: &FrameReport, _: Option<&RgbImage>) -> Result<Delivery> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.tell(|| {
            let seen =
                report.predictions().first().map_or(String::new(), |best| format!(", {}", text::name(&best.label)));
            let damaged = if report.damaged > 0 { format!(", {} damaged", report.damaged) } else { String::new() };
            format!("{:.1} frames a second, {} dropped{damaged}{seen}", report.fps, report.dropped)
        });
        Ok(Delivery::Continue)
    }

    fn skip(&mut self, skipped: u64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.tell(|| format!("paused, {skipped} frames skipped"));
    }

    fn finish(&mut self) -> Result<()> {
        (self.0.lock().unwrap_or_else(PoisonError::into_inner).notify)(&[NotifyState::Stopping]);
        Ok(())
    }

    fn describe(&self) -> String {
        "service manager".into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;
    use std::time::SystemTime;

    use super::*;
    use crate::frame::Area;
    use crate::prediction::{Prediction, RegionReport, StageTimes};

    fn service(watchdog: Duration) -> (Service, Receiver<String>) {
        let (sender, receiver) = channel();
        let notify = move |states: &[NotifyState]| {
            let words: Vec<String> = states.iter().map(ToString::to_string).collect();
            sender.send(words.join(" ")).unwrap();
        };
        (Service::with(Box::new(notify), Some(watchdog)), receiver)
    }

    fn report() -> FrameReport {
        FrameReport {
            camera: None,
            sequence: 0,
            timestamp: SystemTime::UNIX_EPOCH,
            monotonic: Duration::ZERO,
            origin: None,
            regions: vec![RegionReport {
                name: "frame".into(),
                area: Area { left: 0, top: 0, width: 8, height: 8 },
                model: "m".into(),
                model_hash: "h".into(),
                predictions: vec![Prediction { class: 1, label: "cat".into(), score: 0.9 }],
                unknown: None,
                state: None,
                heat: None,
            }],
            events: Vec::new(),
            stages: StageTimes::default(),
            latency: Duration::ZERO,
            fps: 29.96,
            dropped: 3,
            skipped: 0,
            damaged: 0,
            lost: 0,
            partial: false,
            throttled: None,
        }
    }

    #[test]
    fn it_is_told_that_it_is_ready_that_it_lives_and_that_it_stops() {
        let (service, said) = service(Duration::from_millis(20));
        let mut sink = service.sink();
        assert!(!sink.wants_picture());
        for _ in 0..2 {
            assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
        }
        thread::sleep(Duration::from_millis(11));
        assert_eq!(sink.deliver(&report(), None).unwrap(), Delivery::Continue);
        thread::sleep(Duration::from_millis(11));
        sink.skip(4);
        sink.finish().unwrap();
        let status = "STATUS=30.0 frames a second, 3 dropped, cat";
        let expected = [
            format!("READY=1 WATCHDOG=1 {status}"),
            format!("WATCHDOG=1 {status}"),
            "WATCHDOG=1 STATUS=paused, 4 frames skipped".into(),
            "STOPPING=1".into(),
        ];
        drop((sink, service));
        assert_eq!(said.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn settings_that_are_read_again_are_told_of_once_it_is_ready() {
        let (service, said) = service(Duration::from_secs(60));
        let reload = || {
            service.reloads();
            service.has_reloaded();
        };
        reload();
        assert_eq!(service.sink().deliver(&report(), None).unwrap(), Delivery::Continue);
        reload();
        drop(service);
        let said: Vec<String> = said.iter().collect();
        assert!(said[0].starts_with("READY=1") && said[1].starts_with("RELOADING=1 MONOTONIC_USEC="), "{said:?}");
        assert_eq!((said.len(), said[2].as_str()), (3, "READY=1"));
    }

    #[test]
    fn a_loop_that_waits_for_its_camera_lives() {
        let (service, said) = service(Duration::from_secs(60));
        let lost = Error::new(ErrorKind::Camera, "unplugged (waiting for it)");
        // Not before it was ready: the manager waits for that.
        service.trouble(&lost);
        assert_eq!(service.sink().deliver(&report(), None).unwrap(), Delivery::Continue);
        service.trouble(&lost);
        service.trouble(&Error::new(ErrorKind::Image, "no picture"));
        drop(service);
        let said: Vec<String> = said.iter().collect();
        assert_eq!((said.len(), said[1].as_str()), (2, "WATCHDOG=1 STATUS=unplugged (waiting for it)"));
    }
}
