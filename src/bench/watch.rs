//! What is read beside the times while something is measured.

use std::time::Duration;

use crate::cpu::{Reading, Sensors, thread_time};
use crate::kernels::Peak;

/// Time for the loop that tells how fast the core is.
const PEAK_TIME: Duration = Duration::from_millis(1);

/// Reads the machine between measured calls.
pub(super) trait Watch {
    /// What the sensors say.
    fn reading(&mut self) -> Reading;

    /// Processor time that the measured calls, and all else of their thread, took so far; `None` if other threads compute too.
    fn processor_time(&mut self) -> Option<Duration>;

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

    fn processor_time(&mut self) -> Option<Duration> {
        if self.alone { thread_time() } else { None }
    }

    fn core(&mut self) -> Option<f64> {
        self.peak.map(|peak| peak.rate(PEAK_TIME))
    }
}
