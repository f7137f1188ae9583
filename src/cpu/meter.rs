//! Meters of power and energy on boards, as Linux shows them.

use std::path::{Path, PathBuf};

use super::{entries, number, text};

/// A meter of power or energy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meter {
    name: String,
    channels: Channels,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Channels {
    /// Microwatts.
    Power(Vec<PathBuf>),
    /// Microjoules since some time.
    Energy(Vec<PathBuf>),
    /// Millivolts and milliamperes.
    Product(Vec<[PathBuf; 2]>),
}

/// Labels of channels that measure the whole board; others are parts of it.
const WHOLE: [&str; 2] = ["VDD_IN", "POM_5V_IN"];

impl Meter {
    /// The first of the hardware monitors that measures power or energy; else the counter of the processor's package, where it may be read.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let monitors = entries(root.join("sys/class/hwmon"), |name| name.starts_with("hwmon"));
        monitors.iter().find_map(|folder| Self::of(folder)).or_else(|| {
            let packages = entries(root.join("sys/class/powercap"), |name| {
                name.strip_prefix("intel-rapl:").is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
            });
            let counters: Vec<PathBuf> = packages.iter().map(|package| package.join("energy_uj")).collect();
            let readable = !counters.is_empty() && counters.iter().all(|counter| number(counter).is_some());
            readable
                .then(|| Self { name: "RAPL, the processor's package".into(), channels: Channels::Energy(counters) })
        })
    }

    /// What a hardware monitor measures.
    fn of(folder: &Path) -> Option<Self> {
        let files = |first: &str| {
            let of_kind =
                |name: &str| name.strip_suffix("_input").and_then(|n| n.strip_prefix(first)).is_some_and(is_number);
            entries(folder, of_kind).into_iter().filter(|path| number(path).is_some()).collect::<Vec<_>>()
        };
        let monitor = text(folder.join("name")).unwrap_or_else(|| "hwmon".into());
        let [power, energy] = ["power", "energy"].map(files);
        let products = files("curr").into_iter().filter_map(|current| {
            let volts = folder.join(current.file_name()?.to_str()?.replace("curr", "in"));
            number(&volts).is_some().then_some([volts, current])
        });
        let (channels, label) = if !energy.is_empty() {
            let (paths, label) = chosen(energy, |path| path);
            (Channels::Energy(paths), label)
        } else if !power.is_empty() {
            let (paths, label) = chosen(power, |path| path);
            (Channels::Power(paths), label)
        } else {
            let (pairs, label) = chosen(products.collect(), |[volts, _]: &[PathBuf; 2]| volts);
            if pairs.is_empty() {
                return None;
            }
            (Channels::Product(pairs), label)
        };
        Some(Self { name: label.map_or(monitor.clone(), |label| format!("{monitor} {label}")), channels })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Power now, in watts.
    pub(super) fn watts(&self) -> Option<f64> {
        match &self.channels {
            Channels::Power(paths) => sum(paths, |path| Some(number(path)? as f64 / 1e6)),
            Channels::Product(pairs) => {
                sum(pairs, |[volts, current]| Some(number(volts)? as f64 * number(current)? as f64 / 1e6))
            }
            Channels::Energy(_) => None,
        }
    }

    /// Energy since some time, in joules.
    pub(super) fn joules(&self) -> Option<f64> {
        match &self.channels {
            Channels::Energy(paths) => sum(paths, |path| Some(number(path)? as f64 / 1e6)),
            Channels::Power(_) | Channels::Product(_) => None,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The sum over all channels; `None` if one cannot be read.
fn sum<T>(channels: &[T], read: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    channels.iter().map(read).sum()
}

/// The channel of the whole board, if one is labelled so, else all of them; and the label of a single one.
fn chosen<T: Clone>(channels: Vec<T>, path: impl Fn(&T) -> &PathBuf) -> (Vec<T>, Option<String>) {
    let label = |channel: &T| {
        let path = path(channel);
        text(path.with_file_name(path.file_name()?.to_str()?.replace("_input", "_label")))
    };
    let whole = channels.iter().find(|channel| label(channel).is_some_and(|label| WHOLE.contains(&&*label)));
    let channels = whole.map_or(channels.clone(), |whole| vec![whole.clone()]);
    let label = if let [only] = channels.as_slice() { label(only) } else { None };
    (channels, label)
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<(String, Option<f64>, Option<f64>)> {
        let root = root(files);
        Meter::find(root.path()).map(|meter| (meter.name().to_owned(), meter.watts(), meter.joules()))
    }

    #[test]
    fn a_jetsons_monitor_measures_the_board() {
        let files = [
            ("sys/class/hwmon/hwmon0/name", "cpu_thermal"),
            ("sys/class/hwmon/hwmon0/temp1_input", "40000"),
            ("sys/class/hwmon/hwmon4/name", "ina3221"),
            ("sys/class/hwmon/hwmon4/in1_label", "VDD_IN"),
            ("sys/class/hwmon/hwmon4/in1_input", "5000"),
            ("sys/class/hwmon/hwmon4/curr1_input", "1200"),
            ("sys/class/hwmon/hwmon4/in2_label", "VDD_CPU_GPU_CV"),
            ("sys/class/hwmon/hwmon4/in2_input", "5000"),
            ("sys/class/hwmon/hwmon4/curr2_input", "400"),
        ];
        assert_eq!(found(&files), Some(("ina3221 VDD_IN".into(), Some(6.0), None)));
    }

    #[test]
    fn channels_without_a_whole_add_up() {
        let files = [
            ("sys/class/hwmon/hwmon0/name", "ina3221"),
            ("sys/class/hwmon/hwmon0/in1_input", "5000"),
            ("sys/class/hwmon/hwmon0/curr1_input", "100"),
            ("sys/class/hwmon/hwmon0/in2_input", "12000"),
            ("sys/class/hwmon/hwmon0/curr2_input", "1000"),
        ];
        assert_eq!(found(&files), Some(("ina3221".into(), Some(12.5), None)));
    }

    #[test]
    fn power_and_energy_are_read_where_they_are_given() {
        let power = [("sys/class/hwmon/hwmon1/name", "ina226"), ("sys/class/hwmon/hwmon1/power1_input", "3500000")];
        assert_eq!(found(&power), Some(("ina226".into(), Some(3.5), None)));
        let energy = [("sys/class/hwmon/hwmon1/name", "scmi"), ("sys/class/hwmon/hwmon1/energy1_input", "7000000")];
        assert_eq!(found(&energy), Some(("scmi".into(), None, Some(7.0))));
        let package = [
            ("sys/class/powercap/intel-rapl:0/energy_uj", "2500000"),
            ("sys/class/powercap/intel-rapl:0:0/energy_uj", "1000000"),
        ];
        assert_eq!(found(&package), Some(("RAPL, the processor's package".into(), None, Some(2.5))));
    }

    #[test]
    fn voltages_alone_are_no_power() {
        let files = [("sys/class/hwmon/hwmon1/name", "rpi_volt"), ("sys/class/hwmon/hwmon1/in0_input", "5000")];
        assert_eq!(found(&files), None);
        assert_eq!(found(&[]), None);
    }
}
