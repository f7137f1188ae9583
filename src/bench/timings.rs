//! Durations and what they amount to.

use std::time::Duration;

use super::Block;
use crate::cpu::Reading;

/// The durations of the measured calls, at least one, and what was read meanwhile.
#[derive(Debug, Clone, PartialEq)]
pub struct Timings {
    samples: Vec<Duration>,
    /// Shortest first.
    sorted: Vec<Duration>,
    /// Of the calls before them, in order.
    warm_up: Vec<Duration>,
    blocks: Vec<Block>,
    /// With the time since the first measured call.
    readings: Vec<(Duration, Reading)>,
}

impl Timings {
    /// Timings of measured calls in order; `readings` are those of the machine's sensors, with the time since the first call.
    ///
    /// # Panics
    /// If there is no sample.
    pub fn new(samples: Vec<Duration>, readings: Vec<(Duration, Reading)>) -> Self {
        assert!(!samples.is_empty(), "timings of nothing");
        let mut sorted = samples.clone();
        sorted.sort_unstable();
        Self { samples, sorted, warm_up: Vec::new(), blocks: Vec::new(), readings }
    }

    /// The same with the calls before them, and with the measured ones by the piece.
    pub(super) fn with(self, warm_up: Vec<Duration>, blocks: Vec<Block>) -> Self {
        Self { warm_up, blocks, ..self }
    }

    /// The measured calls, in order.
    pub fn samples(&self) -> &[Duration] {
        &self.samples
    }

    /// The calls before them, in order.
    pub fn warm_up(&self) -> &[Duration] {
        &self.warm_up
    }

    /// The same calls by the piece; empty for timings that were not measured here.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What the sensors said, with the time since the first measured call.
    pub fn readings(&self) -> &[(Duration, Reading)] {
        &self.readings
    }

    /// Number of measured calls.
    pub fn iterations(&self) -> u64 {
        self.sorted.len() as u64
    }

    /// The shortest, in milliseconds.
    pub fn min_ms(&self) -> f64 {
        milliseconds(self.sorted[0])
    }

    /// The mean, in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        milliseconds(self.sorted.iter().sum::<Duration>()) / self.sorted.len() as f64
    }

    /// The `percent`th percentile by nearest rank, in milliseconds: the shortest duration that at least `percent` of
    /// 100 do not exceed. Always one of the samples; 100 is the longest.
    ///
    /// # Panics
    /// If `percent` is not above 0 and at most 100.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        assert!(percent > 0.0 && percent <= 100.0, "percentile {percent}");
        // The product first: 0.07 * 100 is above 7.
        let rank = (percent * self.sorted.len() as f64 / 100.0).ceil() as usize;
        milliseconds(self.sorted[rank.clamp(1, self.sorted.len()) - 1])
    }

    /// Whether the processor was slowed down at any time of the measurement, which makes it void; `None` where that
    /// cannot be told.
    pub fn throttled(&self) -> Option<bool> {
        self.readings.iter().filter_map(|(_, reading)| reading.throttled).reduce(|a, b| a || b)
    }
}

/// A duration in milliseconds.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Timings {
        Timings::new(milliseconds.into_iter().map(Duration::from_millis).collect(), Vec::new())
    }

    #[test]
    fn percentiles_are_of_nearest_rank() {
        // The textbook's example: five values, ordinal ranks 1, 2, 2, 3 and 5.
        let five = of([50, 15, 40, 20, 35]);
        for (percent, expected) in [(5.0, 15.0), (30.0, 20.0), (40.0, 20.0), (50.0, 35.0), (100.0, 50.0)] {
            assert_eq!(five.percentile_ms(percent), expected, "{percent}");
        }
        let hundred = of((1..=100).rev());
        for percent in 1..=100 {
            assert_eq!(hundred.percentile_ms(f64::from(percent)), f64::from(percent));
        }
        assert_eq!(hundred.percentile_ms(99.9), 100.0);
        assert_eq!(of([7]).percentile_ms(0.001), 7.0);
    }

    #[test]
    fn mean_and_minimum() {
        let timings = of([4, 1, 1]);
        assert_eq!((timings.min_ms(), timings.mean_ms(), timings.iterations()), (1.0, 2.0, 3));
    }
}
