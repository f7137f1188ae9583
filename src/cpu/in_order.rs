//! Whether some of this machine's cores execute instructions in order.

use std::path::Path;

use super::{entries, is_core, text};

/// ARM's own cores that do, by their part numbers in the main ID register: Cortex-A32, A34, A53, A35, A55, A510, A520.
const PARTS: [u64; 7] = [0xd01, 0xd02, 0xd03, 0xd04, 0xd05, 0xd46, 0xd80];

/// ARM's number as an implementer.
const ARM: u64 = 0x41;

/// Whether a core of this machine is known to execute instructions in order; big and LITTLE ones may differ.
pub fn has_in_order_core() -> bool {
    has_below(Path::new("/"))
}

/// Each core's main ID register tells, or, of kernels that do not show it, `/proc/cpuinfo`.
fn has_below(root: &Path) -> bool {
    let cores = entries(root.join("sys/devices/system/cpu"), is_core);
    let registers: Vec<u64> =
        cores.iter().filter_map(|core| hexadecimal(&text(core.join("regs/identification/midr_el1"))?)).collect();
    if registers.is_empty() {
        return text(root.join("proc/cpuinfo")).is_some_and(|cpuinfo| told_by(&cpuinfo));
    }
    registers.iter().any(|register| is_in_order(register >> 24 & 0xff, register >> 4 & 0xfff))
}

/// Whether the text of `/proc/cpuinfo` names such a core.
fn told_by(cpuinfo: &str) -> bool {
    let values = |key: &'static str| {
        cpuinfo.lines().filter_map(move |line| {
            let (name, value) = line.split_once(':')?;
            if name.trim() == key { hexadecimal(value.trim()) } else { None }
        })
    };
    values("CPU implementer").zip(values("CPU part")).any(|(implementer, part)| is_in_order(implementer, part))
}

fn is_in_order(implementer: u64, part: u64) -> bool {
    implementer == ARM && PARTS.contains(&part)
}

/// A number that begins with `0x`.
fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::root;
    use super::*;

    /// `/proc/cpuinfo` of cores with these part numbers.
    fn cpuinfo(parts: &[&str]) -> String {
        parts.iter().map(|part| format!("CPU implementer\t: 0x41\nCPU part\t: {part}\n\n")).collect()
    }

    #[test]
    fn one_of_several_cores_is_enough() {
        let registers = |little: &str, big: &str| {
            root(&[
                ("sys/devices/system/cpu/cpu0/regs/identification/midr_el1", little),
                ("sys/devices/system/cpu/cpu4/regs/identification/midr_el1", big),
            ])
        };
        let (a53, a72) = ("0x00000000410fd034\n", "0x00000000410fd082\n");
        assert!(has_below(registers(a53, a72).path()));
        assert!(!has_below(registers(a72, a72).path()));
        // Another implementer's part with the same number.
        assert!(!has_below(registers("0x00000000510fd034\n", a72).path()));
    }

    #[test]
    fn the_list_of_processors_tells_where_registers_are_not_shown() {
        let told = |parts: &[&str]| has_below(root(&[("proc/cpuinfo", &cpuinfo(parts))]).path());
        assert!(told(&["0xd03", "0xd03"]));
        assert!(told(&["0xd08", "0xd03"]));
        assert!(!told(&["0xd0b"]));
        assert!(!told(&["d03"]));
        assert!(!has_below(root(&[]).path()));
    }
}
