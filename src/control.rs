//! What a run can be asked for while it goes on, from any thread: to pause, to go on, to send a picture, to look at scores otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::tuning::Tunings;

/// A handle on a run: clones ask the same one. Nothing blocks the run.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<State>);

#[derive(Debug, Default)]
struct State {
    paused: AtomicBool,
    snapshots: AtomicU64,
    tunings: Tunings,
}

impl Control {
    /// From the next frame on, frames are taken and dropped without being looked at.
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::Relaxed);
    }

    /// Frames are looked at again.
    pub fn resume(&self) {
        self.0.paused.store(false, Ordering::Relaxed);
    }

    /// Whether frames are dropped without being looked at.
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }

    /// Asks the outputs that send single pictures for the next frame's. False, and nothing is asked, while paused: who paused a
    /// camera wants no pictures of it.
    #[must_use]
    pub fn snapshot(&self) -> bool {
        let may = !self.is_paused();
        if may {
            self.0.snapshots.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// How many pictures were asked for so far. An output sends one when this has changed.
    pub fn snapshots(&self) -> u64 {
        self.0.snapshots.load(Ordering::Relaxed)
    }

    /// What can be changed of regions: thresholds, and the like. The run takes it over between two frames.
    pub fn tunings(&self) -> &Tunings {
        &self.0.tunings
    }
}

impl PartialEq for Control {
    /// Whether both ask the same run.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Control {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_ask_the_same_run_and_a_paused_one_sends_no_pictures() {
        let control = Control::default();
        let other = control.clone();
        assert!(other == control && other != Control::default());
        other.pause();
        assert!(control.is_paused() && !control.snapshot());
        control.resume();
        assert!(!other.is_paused() && other.snapshot() && other.snapshot());
        assert_eq!(control.snapshots(), 2);
    }
}
