//! What `/proc` and `/sys` tell of board, processor, memory, clock and temperature.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::available_parallelism;

use super::{entries, is_core, number, text};

/// A description of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// The board's name from the device tree, `Raspberry Pi 5 Model B Rev 1.0`.
    pub board: Option<String>,
    /// The processor's name, `Cortex-A76` or `AMD EPYC`; different cores are joined by ` + `.
    pub cpu: Option<String>,
    /// Threads that can run at once, as far as this process may use them.
    pub logical_cores: Option<usize>,
    /// Cores, counting those that share one core's hardware once.
    pub physical_cores: Option<usize>,
    /// Main memory.
    pub memory: Option<Memory>,
    /// What chooses the first core's clock: `performance`, `ondemand`, `schedutil`, `powersave`, …
    pub governor: Option<String>,
    /// What sets that clock: `intel_pstate`, `acpi-cpufreq`, `cpufreq-dt`, …
    pub clock_driver: Option<String>,
    /// The processor's temperature in degrees Celsius.
    pub temperature: Option<f64>,
}

/// Main memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What programs could still get without swapping.
    pub available: u64,
}

impl Machine {
    /// Describes this machine.
    pub fn detect() -> Self {
        Self::read(Path::new("/"))
    }

    /// Describes the machine whose `/proc` and `/sys` are under `root`; logical cores are always this process's.
    pub fn read(root: &Path) -> Self {
        Self {
            board: text(root.join("proc/device-tree/model")),
            cpu: text(root.join("proc/cpuinfo")).and_then(|cpuinfo| cpu_name(&cpuinfo)),
            logical_cores: available_parallelism().ok().map(Into::into),
            physical_cores: physical_cores(root),
            memory: text(root.join("proc/meminfo")).and_then(|meminfo| memory(&meminfo)),
            governor: text(root.join("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            clock_driver: text(root.join("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver")),
            temperature: temperature_under(root),
        }
    }
}

/// The processor's name in the text of `/proc/cpuinfo`: given in full on x86, as numbers on ARM.
fn cpu_name(cpuinfo: &str) -> Option<String> {
    let values = |key: &'static str| {
        cpuinfo.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    if let Some(name) = values("model name").next().filter(|name| !name.is_empty() && !name.starts_with("ARM")) {
        return Some(name.to_owned());
    }
    let cores: BTreeSet<(&str, &str)> = values("CPU implementer").zip(values("CPU part")).collect();
    let names: Vec<String> = cores.into_iter().map(|(implementer, part)| arm_core(implementer, part)).collect();
    (!names.is_empty()).then(|| names.join(" + "))
}

/// The name of an ARM core from the numbers in its main ID register; the numbers where the name is not known.
fn arm_core(implementer: &str, part: &str) -> String {
    let name = match (implementer, part) {
        ("0x41", "0xd03") => "Cortex-A53",
        ("0x41", "0xd04") => "Cortex-A35",
        ("0x41", "0xd05") => "Cortex-A55",
        ("0x41", "0xd07") => "Cortex-A57",
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd09") => "Cortex-A73",
        ("0x41", "0xd0a") => "Cortex-A75",
        ("0x41", "0xd0b") => "Cortex-A76",
        ("0x41", "0xd0c") => "Neoverse-N1",
        ("0x41", "0xd40") => "Neoverse-V1",
        ("0x41", "0xd41") => "Cortex-A78",
        ("0x41", "0xd42") => "Cortex-A78AE",
        ("0x41", "0xd49") => "Neoverse-N2",
        ("0x41", "0xd4f") => "Neoverse-V2",
        ("0x41", "0xd83") => "Neoverse-V3AE",
        ("0x41", "0xd84") => "Neoverse-V3",
        ("0x4e", "0x004") => "NVIDIA Carmel",
        _ => return format!("ARM implementer {implementer} part {part}"),
    };
    name.to_owned()
}

/// Threads of one core name the same siblings.
fn physical_cores(root: &Path) -> Option<usize> {
    let siblings: BTreeSet<String> = entries(root.join("sys/devices/system/cpu"), is_core)
        .iter()
        .filter_map(|core| text(core.join("topology/thread_siblings_list")))
        .collect();
    (!siblings.is_empty()).then_some(siblings.len())
}

/// Memory in the text of `/proc/meminfo`.
fn memory(meminfo: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(Memory { total: bytes("MemTotal")?, available: bytes("MemAvailable")? })
}

/// The processor's temperature in degrees Celsius.
pub fn temperature() -> Option<f64> {
    temperature_under(Path::new("/"))
}

/// The hottest sensor that names the processor, or else the first sensor: boards have other, hotter or constant ones.
pub(super) fn temperature_under(root: &Path) -> Option<f64> {
    let zones = entries(root.join("sys/class/thermal"), |name| name.starts_with("thermal_zone"));
    let degrees = zones.iter().filter_map(|zone| {
        let name = text(zone.join("type")).unwrap_or_default().to_ascii_lowercase();
        let is_cpu = name.contains("cpu") || name.contains("x86_pkg");
        Some((is_cpu, number(zone.join("temp"))? as f64 / 1000.0))
    });
    let degrees: Vec<(bool, f64)> = degrees.collect();
    let hottest = degrees.iter().filter(|(is_cpu, _)| *is_cpu).map(|(_, t)| *t).reduce(f64::max);
    hottest.or_else(|| degrees.first().map(|(_, t)| *t))
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    #[test]
    fn a_raspberry_pi_is_described() {
        let core = "processor : 0\nBogoMIPS : 108.00\nFeatures : fp asimd asimddp\nCPU implementer : 0x41\n\
                    CPU architecture: 8\nCPU variant : 0x4\nCPU part : 0xd0b\nCPU revision : 1\n\n";
        let root = root(&[
            ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
            ("proc/cpuinfo", &core.repeat(4)),
            ("proc/meminfo", "MemTotal:        8245248 kB\nMemFree: 1 kB\nMemAvailable:    7000000 kB\n"),
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", "cpufreq-dt\n"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "no core\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "48850\n"),
        ]);
        let machine = Machine::read(root.path());
        assert_eq!(machine.board.as_deref(), Some("Raspberry Pi 5 Model B Rev 1.0"));
        assert_eq!(machine.cpu.as_deref(), Some("Cortex-A76"));
        assert_eq!(machine.physical_cores, Some(2));
        assert_eq!(machine.memory, Some(Memory { total: 8_245_248 << 10, available: 7_000_000 << 10 }));
        assert_eq!(machine.governor.as_deref(), Some("ondemand"));
        assert_eq!(machine.clock_driver.as_deref(), Some("cpufreq-dt"));
        assert_eq!(machine.temperature, Some(48.85));
    }

    #[test]
    fn names_of_processors() {
        let name = |text: &str| cpu_name(text);
        assert_eq!(name("vendor_id : AuthenticAMD\nmodel name\t: AMD EPYC\n").as_deref(), Some("AMD EPYC"));
        // The Jetson Nano's kernel gives a generic name beside the numbers.
        let nano = "model name\t: ARMv8 Processor rev 1 (v8l)\nCPU implementer\t: 0x41\nCPU part\t: 0xd07\n";
        assert_eq!(name(nano).as_deref(), Some("Cortex-A57"));
        let mixed = "CPU implementer : 0x41\nCPU part : 0xd05\nCPU implementer : 0x41\nCPU part : 0xd0b\n";
        assert_eq!(name(mixed).as_deref(), Some("Cortex-A55 + Cortex-A76"));
        let unknown = "CPU implementer : 0x61\nCPU part : 0x022\n";
        assert_eq!(name(unknown).as_deref(), Some("ARM implementer 0x61 part 0x022"));
        assert_eq!(name("nothing of the kind"), None);
    }

    #[test]
    fn threads_of_one_core_count_once() {
        let root = root(&[
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3\n"),
            ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2\n"),
            ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3\n"),
        ]);
        assert_eq!(physical_cores(root.path()), Some(2));
    }

    #[test]
    fn the_processors_sensor_counts_not_the_hottest() {
        let zones = |names: [&str; 3]| {
            root(&[
                ("sys/class/thermal/thermal_zone0/type", names[0]),
                ("sys/class/thermal/thermal_zone0/temp", "30000"),
                ("sys/class/thermal/thermal_zone1/type", names[1]),
                ("sys/class/thermal/thermal_zone1/temp", "41500"),
                ("sys/class/thermal/thermal_zone2/type", names[2]),
                ("sys/class/thermal/thermal_zone2/temp", "100000"),
            ])
        };
        assert_eq!(temperature_under(zones(["AO-therm", "CPU-therm", "PMIC-Die"]).path()), Some(41.5));
        assert_eq!(temperature_under(zones(["CPU-therm", "cpu1", "PMIC-Die"]).path()), Some(41.5));
        assert_eq!(temperature_under(zones(["acpitz", "wifi", "nvme"]).path()), Some(30.0));
    }

    #[test]
    fn what_is_missing_or_garbled_is_none() {
        let empty = root(&[]);
        let nothing = Machine {
            board: None,
            cpu: None,
            logical_cores: available_parallelism().ok().map(Into::into),
            physical_cores: None,
            memory: None,
            governor: None,
            clock_driver: None,
            temperature: None,
        };
        assert_eq!(Machine::read(empty.path()), nothing);
        let garbled = root(&[
            ("proc/cpuinfo", "\u{fffd}:"),
            ("proc/meminfo", "MemTotal: many kB\nMemAvailable: 18446744073709551615 kB\n"),
            ("sys/class/thermal/thermal_zone0/temp", "warm"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", ""),
        ]);
        assert_eq!(Machine::read(garbled.path()), nothing);
    }
}
