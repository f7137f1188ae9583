//! What new models have to stand.

use std::time::Duration;

/// A time that nobody would notice: of very quick models it may be many times what they take.
const SLACK: Duration = Duration::from_millis(1);

/// What new models have to stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Frames on which they are compared with the running ones, beside the loop, and then as many in it, after which they stay.
    pub frames: u64,
    /// Longest wait for these frames, each time. One has to come at least.
    pub wait: Duration,
    /// How many times as long as the running ones they may take.
    pub slower: f64,
    /// The most time that all regions of a frame may take.
    pub budget: Option<Duration>,
    /// Least share of the frames, 0 to 1, whose best label is the same.
    pub agreement: f64,
}

impl Default for Trial {
    fn default() -> Self {
        Self { frames: 16, wait: Duration::from_secs(10), slower: 3.0, budget: None, agreement: 0.0 }
    }
}

impl Trial {
    /// The most time for a frame of which the model before took `before`.
    pub(super) fn most(&self, before: Duration) -> Duration {
        Duration::try_from_secs_f64(before.as_secs_f64() * self.slower).unwrap_or(Duration::MAX).saturating_add(SLACK)
    }
}
