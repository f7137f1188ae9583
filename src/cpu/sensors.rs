//! What can be read while something runs: clock, temperature, throttling, power.

use std::path::{Path, PathBuf};

use super::machine::temperature_under;
use super::meter::Meter;
use super::{Throttle, entries, is_core, number};

/// What the sensors say at one time; `None` for those that there are not.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reading {
    /// Clock of the fastest core, in MHz: the one that computes.
    pub clock_mhz: Option<f64>,
    /// The processor's temperature, in degrees Celsius.
    pub temperature: Option<f64>,
    /// Whether the processor is slowed down, or was since the last reading.
    pub throttled: Option<bool>,
    /// Power that is taken now, in watts, of what [`Sensors::meter`] names.
    pub watts: Option<f64>,
    /// Energy that was taken since some time, in joules, where there is a counter of it.
    pub joules: Option<f64>,
}

/// The sensors of a machine.
#[derive(Debug)]
pub struct Sensors {
    root: PathBuf,
    clocks: Vec<PathBuf>,
    throttle: Throttle,
    meter: Option<Meter>,
}

impl Sensors {
    /// Those of this machine.
    pub fn find() -> Self {
        Self::under(Path::new("/"))
    }

    /// Those of the machine whose `/sys` is under `root`.
    pub fn under(root: &Path) -> Self {
        let cores = entries(root.join("sys/devices/system/cpu"), is_core);
        let clocks = cores.iter().map(|core| core.join("cpufreq/scaling_cur_freq")).filter(|path| path.exists());
        Self {
            root: root.into(),
            clocks: clocks.collect(),
            throttle: Throttle::watch_under(root),
            meter: Meter::find(root),
        }
    }

    /// What measures the power, and of what: `ina3221 VDD_IN`.
    pub fn meter(&self) -> Option<&str> {
        self.meter.as_ref().map(Meter::name)
    }

    /// What they say now. Some ask the firmware, so that reading takes up to a millisecond.
    pub fn read(&mut self) -> Reading {
        let (watts, joules) = self.meter.as_ref().map_or((None, None), |meter| (meter.watts(), meter.joules()));
        Reading {
            clock_mhz: self.clocks.iter().filter_map(number).max().map(|khz| khz as f64 / 1000.0),
            temperature: temperature_under(&self.root),
            throttled: self.throttle.check(),
            watts,
            joules,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    #[test]
    fn what_is_not_there_is_none_and_not_zero() {
        let empty = root(&[]);
        let mut sensors = Sensors::under(empty.path());
        assert_eq!((sensors.read(), sensors.meter()), (Reading::default(), None));
        let garbled = root(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "<unknown>"),
            ("sys/class/thermal/thermal_zone0/temp", ""),
        ]);
        assert_eq!(Sensors::under(garbled.path()).read(), Reading::default());
    }

    #[test]
    fn a_board_is_read_again_each_time() {
        let clock = "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq";
        let throttled = "sys/devices/platform/soc/soc:firmware/get_throttled";
        let board = root(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "600000\n"),
            (clock, "1800000\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61500\n"),
            (throttled, "0\n"),
        ]);
        let mut sensors = Sensors::under(board.path());
        let expected = Reading {
            clock_mhz: Some(1800.0),
            temperature: Some(61.5),
            throttled: Some(false),
            watts: None,
            joules: None,
        };
        assert_eq!(sensors.read(), expected);
        std::fs::write(board.path().join(clock), "1200000").unwrap();
        std::fs::write(board.path().join(throttled), "4").unwrap();
        assert_eq!(sensors.read(), Reading { clock_mhz: Some(1200.0), throttled: Some(true), ..expected });
    }
}
