//! A steady beat for sources that are computed rather than captured.

use std::thread;
use std::time::{Duration, Instant};

/// Lets one frame through every period, as a camera does.
#[derive(Debug)]
pub(super) struct Pacer {
    period: Duration,
    due: Option<Instant>,
}

impl Pacer {
    /// `rate` frames a second, at least 1.
    pub(super) fn new(rate: u32) -> Self {
        Self { period: Duration::from_secs(1) / rate.max(1), due: None }
    }

    /// Sleeps until the next frame is due; returns when it was. Who comes late by more than a period starts a new
    /// beat instead of catching up.
    pub(super) fn wait(&mut self) -> Instant {
        let now = Instant::now();
        let due = match self.due {
            Some(due) if now < due + self.period => due,
            _ => now,
        };
        thread::sleep(due.saturating_duration_since(now));
        self.due = Some(due + self.period);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_a_period_apart_and_a_late_caller_catches_up_nothing() {
        let mut pacer = Pacer::new(200);
        let first = pacer.wait();
        let second = pacer.wait();
        assert!(Instant::now() >= second);
        assert!(second - first >= Duration::from_millis(5));
        thread::sleep(Duration::from_millis(30));
        let late = Instant::now();
        assert!(pacer.wait() >= late);
        assert!(pacer.wait() - late >= Duration::from_millis(5));
    }
}
