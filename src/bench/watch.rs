//! What is read beside the times while something is measured.

use std::time::Duration;

use crate::cpu::{Reading, Sensors, thread_times};
use crate::kernels::Peak;

/// Time for the loop that tells how fast the core is.
const PEAK_TIME: Duration = Duration::from_millis(1);

/// What a thread did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    /// Processor time; `None` if other threads compute too.
    pub(super) worked: Option<Duration>,
    /// Time in which others had the processor.
    pub(super) waited: Duration,
}

impl Work {
    /// What it did since.
    pub(super) fn since(self, before: Self) -> Self {
        let worked = self.worked.zip(before.worked).map(|(now, before)| now.saturating_sub(before));
        Self { worked, waited: self.waited.saturating_sub(before.waited) }
    }
}

/// Reads the machine between measured calls.
pub(super) trait Watch {
    /// What the sensors say.
    fn reading(&mut self) -> Reading;

    /// What the thread of the measured calls did so far.
    fn work(&mut self) -> Option<Work>;

    /// Multiply-adds a second that the core reaches now.
    fn core(&mut self) -> Option<f64>;
}

/// This machine's instruments.
#[derive(Debug)]
pub struct Instruments {
    sensors: Sensors,
    alone: bool,
    peak: Option<Peak>,
}

impl Instruments {
    /// The given sensors. `alone` says that the measured calls compute in the calling thread only, so that its processor time is theirs; `peak`
    /// is run between them to tell how fast the core is.
    pub fn new(sensors: Sensors, alone: bool, peak: Option<Peak>) -> Self {
        Self { sensors, alone, peak }
    }

    /// What measures power, if there is a meter.
    pub fn meter(&self) -> Option<&str> {
        self.sensors.meter()
    }
}

impl Watch for Instruments {
    fn reading(&mut self) -> Reading {
        self.sensors.read()
    }

    fn work(&mut self) -> Option<Work> {
        let [worked, waited] = thread_times()?;
        Some(Work { worked: self.alone.then_some(worked), waited })
    }

    fn core(&mut self) -> Option<f64> {
        self.peak.map(|peak| peak.rate(PEAK_TIME))
    }
}
