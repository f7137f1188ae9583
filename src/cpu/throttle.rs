//! Whether the processor is held below its normal clock by heat or a weak power supply.

use std::path::{Path, PathBuf};

use super::{entries, is_core, number, text};

/// The firmware's bits for what holds *now*: under-voltage, frequency capped, throttled, soft temperature limit. The same
/// bits 16 higher say that it has happened since power-on.
const NOW: u32 = 0xf;

/// Watches for throttling where the system tells of it:
/// - the Raspberry Pi's firmware (`get_throttled`), or the kernel's under-voltage alarm for it (`rpi_volt`),
/// - the Linux thermal framework's limits on the processor's clock (`cpufreq` cooling devices: Jetson, most ARM boards),
/// - Intel's counters of throttled time, which show throttling between two looks.
#[derive(Debug)]
pub struct Throttle {
    root: PathBuf,
    /// What had happened when last looked.
    before: Past,
}

/// Traces that throttling leaves: any change means that it happened.
#[derive(Debug, Default, PartialEq, Eq)]
struct Past {
    firmware: Option<u32>,
    counters: Vec<i64>,
}

impl Throttle {
    /// Watches this machine from now on.
    pub fn watch() -> Self {
        Self::watch_under(Path::new("/"))
    }

    /// Watches the machine whose `/sys` is under `root`.
    pub fn watch_under(root: &Path) -> Self {
        let mut throttle = Self { root: root.into(), before: Past::default() };
        throttle.check();
        throttle
    }

    /// Whether the processor is being slowed down, or was since the last call; `None` where it cannot be told.
    pub fn check(&mut self) -> Option<bool> {
        let firmware = firmware(&self.root);
        let past = Past { firmware: firmware.map(|bits| bits >> 16), counters: counters(&self.root) };
        let signs = [
            firmware.map(|bits| bits & NOW != 0),
            // The alarm knows of the voltage only: its silence says nothing.
            under_voltage(&self.root).filter(|alarm| *alarm),
            cooled(&self.root),
            (past != Past::default()).then(|| past != self.before),
        ];
        self.before = past;
        signs.into_iter().flatten().reduce(|a, b| a || b)
    }
}

/// The bits of the Raspberry Pi's firmware. Its node is called after the system on chip, which differs between models.
fn firmware(root: &Path) -> Option<u32> {
    let bits =
        |folder: &Path| u32::from_str_radix(text(folder.join("get_throttled"))?.trim_start_matches("0x"), 16).ok();
    let soc = entries(root.join("sys/devices/platform"), |name| name.starts_with("soc"));
    soc.iter().flat_map(|soc| entries(soc, |name| name.ends_with(":firmware"))).find_map(|folder| bits(&folder))
}

/// The kernel's alarm for the Raspberry Pi's supply voltage.
fn under_voltage(root: &Path) -> Option<bool> {
    let sensors = entries(root.join("sys/class/hwmon"), |_| true);
    let sensor = sensors.iter().find(|sensor| text(sensor.join("name")).as_deref() == Some("rpi_volt"))?;
    number(sensor.join("in0_lcrit_alarm")).map(|alarm| alarm != 0)
}

/// Whether the kernel limits the processor's clock for heat: state 0 of such a cooling device is the full clock.
fn cooled(root: &Path) -> Option<bool> {
    entries(root.join("sys/class/thermal"), |name| name.starts_with("cooling_device"))
        .iter()
        .filter(|device| text(device.join("type")).is_some_and(|name| name.contains("cpufreq")))
        .filter_map(|device| Some(number(device.join("cur_state"))? > 0))
        .reduce(|a, b| a || b)
}

/// How often each core and its package were throttled.
fn counters(root: &Path) -> Vec<i64> {
    let cores = entries(root.join("sys/devices/system/cpu"), is_core);
    let counter = |core: &PathBuf, name: &str| number(core.join("thermal_throttle").join(name));
    cores
        .iter()
        .flat_map(|core| ["core_throttle_count", "package_throttle_count"].map(|name| counter(core, name)))
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    fn write(root: &tempfile::TempDir, path: &str, text: &str) {
        std::fs::write(root.path().join(path), text).unwrap();
    }

    #[test]
    fn nothing_to_read_cannot_be_told() {
        let root =
            root(&[("sys/class/thermal/cooling_device0/type", "pwm-fan"), ("sys/class/hwmon/hwmon0/name", "fan")]);
        assert_eq!(Throttle::watch_under(root.path()).check(), None);
    }

    #[test]
    fn the_raspberry_pis_firmware_tells_of_now_and_of_the_time_between() {
        for node in ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"] {
            let path = format!("sys/devices/platform/{node}/get_throttled");
            let root = root(&[(&path, "0\n")]);
            let mut throttle = Throttle::watch_under(root.path());
            assert_eq!(throttle.check(), Some(false));
            for now in ["50005\n", "1\n", "2\n", "4\n", "0x80008\n"] {
                write(&root, &path, now);
                assert_eq!(throttle.check(), Some(true), "{now}");
            }
            write(&root, &path, "80000\n");
            assert_eq!(throttle.check(), Some(false), "what happened before the last look is past");
            write(&root, &path, "d0000\n");
            assert_eq!(throttle.check(), Some(true), "it happened between two looks");
            assert_eq!(throttle.check(), Some(false));
        }
    }

    #[test]
    fn the_voltage_alarm_tells_only_when_it_rings() {
        let root =
            root(&[("sys/class/hwmon/hwmon1/name", "rpi_volt"), ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0")]);
        let mut throttle = Throttle::watch_under(root.path());
        assert_eq!(throttle.check(), None);
        write(&root, "sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        assert_eq!(throttle.check(), Some(true));
    }

    #[test]
    fn a_limited_clock_is_throttling_a_fan_is_not() {
        let root = root(&[
            ("sys/class/thermal/cooling_device0/type", "pwm-fan"),
            ("sys/class/thermal/cooling_device0/cur_state", "3"),
            ("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0"),
            ("sys/class/thermal/cooling_device1/cur_state", "0"),
            ("sys/class/thermal/cooling_device2/type", "thermal-cpufreq-1"),
            ("sys/class/thermal/cooling_device2/cur_state", "0"),
        ]);
        let mut throttle = Throttle::watch_under(root.path());
        assert_eq!(throttle.check(), Some(false));
        write(&root, "sys/class/thermal/cooling_device2/cur_state", "2\n");
        assert_eq!(throttle.check(), Some(true));
    }

    #[test]
    fn counters_tell_of_the_time_between() {
        let path = "sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count";
        let root = root(&[("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "7"), (path, "7")]);
        let mut throttle = Throttle::watch_under(root.path());
        assert_eq!(throttle.check(), Some(false));
        write(&root, path, "8");
        assert_eq!(throttle.check(), Some(true));
        assert_eq!(throttle.check(), Some(false));
    }
}
