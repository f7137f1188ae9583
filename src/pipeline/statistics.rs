//! What a run is summed up in: counts, rate and latencies, in memory that does not grow with its length.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

/// Time over which the current rate is taken.
const WINDOW: Duration = Duration::from_secs(1);

/// Longest latency that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Results a second over the last second.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// When results came, in the window and one before it.
    times: VecDeque<Instant>,
}

impl Rate {
    /// Adds a result, and returns the rate; 0 for the first.
    pub(super) fn add(&mut self, now: Instant) -> f32 {
        self.times.push_back(now);
        while self.times.len() > 2 && now.saturating_duration_since(self.times[1]) >= WINDOW {
            self.times.pop_front();
        }
        let span = now.saturating_duration_since(self.times[0]).as_secs_f32();
        if span > 0.0 { (self.times.len() - 1) as f32 / span } else { 0.0 }
    }
}

/// Capture-to-result times, to three digits.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        Self(histogram.expect("bounds that hdrhistogram documents as valid"))
    }

    pub(super) fn add(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST));
    }

    /// The `percent`th percentile by nearest rank, in milliseconds; `None` where nothing was added.
    pub(super) fn percentile_ms(&self, percent: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_percentile(percent) as f64 / 1e3)
    }
}

/// What became of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Frames with a result.
    pub frames: u64,
    /// Frames that gave way to newer ones, in the device or while the network was busy.
    pub dropped: u64,
    /// Frames that were not looked at, while the run was paused.
    pub skipped: u64,
    /// Pictures that were damaged: shown as far as they go, or passed over.
    pub damaged: u64,
    /// Results that outputs could not write, and events that actions had no time for.
    pub lost: u64,
    /// From the start of capturing to the last result.
    pub seconds: f64,
    /// Median time from capture to result, in milliseconds, to three digits.
    pub p50_ms: Option<f64>,
    /// 99th percentile of it.
    pub p99_ms: Option<f64>,
}

impl fmt::Display for Summary {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames in {:.1} s", self.frames, self.seconds)?;
        if self.frames > 0 && self.seconds > 0.0 {
            write!(f, " ({:.1} fps)", self.frames as f64 / self.seconds)?;
        }
        write!(f, ", {} dropped", self.dropped)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        if self.damaged > 0 {
            write!(f, ", {} damaged", self.damaged)?;
        }
        if self.lost > 0 {
            write!(f, ", {} lost", self.lost)?;
        }
        if let (Some(p50), Some(p99)) = (self.p50_ms, self.p99_ms) {
            write!(f, "; capture to result: p50 {p50:.1} ms, p99 {p99:.1} ms")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_second() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.add(start), 0.0);
        let mut last = 0.0;
        for i in 1..=40 {
            last = rate.add(start + Duration::from_millis(25 * i));
        }
        assert!((last - 40.0).abs() < 0.01, "{last}");
        for i in 1..=20 {
            last = rate.add(start + Duration::from_millis(1000 + 100 * i));
        }
        assert!((last - 10.0).abs() < 0.01, "{last}");
        assert!(rate.times.len() < 15);
        // A single result after a long silence.
        assert!((rate.add(start + Duration::from_secs(13)) - 0.1).abs() < 0.01);
    }

    #[test]
    fn latencies_are_of_nearest_rank_to_three_digits() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile_ms(50.0), None);
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        for percent in [1.0, 50.0, 99.0, 100.0] {
            let (found, expected) = (latencies.percentile_ms(percent).unwrap(), percent * 10.0);
            assert!((found / expected - 1.0).abs() < 2e-3, "{percent}: {found}");
        }
        latencies.add(Duration::MAX);
        assert!(latencies.percentile_ms(100.0).unwrap() >= 3_599_000.0);
    }

    #[test]
    fn a_summary_is_one_line() {
        let mut summary = Summary { seconds: 0.04, ..Summary::default() };
        assert_eq!(summary.to_string(), "0 frames in 0.0 s, 0 dropped");
        summary = Summary {
            frames: 290,
            dropped: 10,
            skipped: 3,
            damaged: 1,
            lost: 2,
            seconds: 10.0,
            p50_ms: Some(4.25),
            p99_ms: Some(9.0),
        };
        assert_eq!(
            summary.to_string(),
            "290 frames in 10.0 s (29.0 fps), 10 dropped, 3 skipped, 1 damaged, 2 lost; capture to result: p50 4.2 ms, p99 9.0 ms"
        );
    }
}
