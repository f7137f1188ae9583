//! `densight doctor`: what this machine offers and what holds it back.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::camera::v4l2::{DeviceInfo, list_devices};
use crate::cpu::{Feature, Machine, Throttle, features};
use crate::error::Result;
use crate::runtime::check_cuda;
use crate::text;

/// Degrees Celsius from which boards are about to slow down: the Raspberry Pi begins at 80.
const HOT: f64 = 75.0;

/// Check this machine: instruction sets, clock, throttling, GPU
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found.
struct Findings {
    machine: Machine,
    features: Vec<Feature>,
    throttled: Option<bool>,
    cameras: Result<Vec<DeviceInfo>>,
    /// Whether networks can run on a GPU, or why not.
    cuda: Result<()>,
}

/// Runs the command.
///
/// # Errors
/// Standard output that cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let findings = Findings {
        machine: Machine::detect(),
        features: features(),
        throttled: Throttle::watch().check(),
        cameras: list_devices(),
        cuda: check_cuda(),
    };
    let shown = if args.json { text::json(&findings.json())? + "\n" } else { findings.text() };
    super::print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

impl Findings {
    /// What a person can do, in plain words.
    fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        let machine = &self.machine;
        if self.throttled == Some(true) {
            hints.push(
                "the processor is being slowed down: cool it, and use a power supply that is strong enough".into(),
            );
        }
        if let Some(degrees) = machine.temperature.filter(|&degrees| degrees >= HOT) {
            hints.push(format!("{degrees:.0} °C is hot: most boards slow down soon above 80 °C; cool the processor"));
        }
        if let Some(effect) = governor_effect(machine) {
            hints.push(format!(
                "{effect}; for full speed type: \
                 echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
            ));
        }
        if cfg!(debug_assertions) {
            hints.push("this program was built without optimization: build it with --release".into());
        }
        match &self.cameras {
            Ok(cameras) if cameras.is_empty() => {
                hints.push("no camera was found: plug one in, or type: densight-camera test://pattern".into());
            }
            Ok(_) | Err(_) => {}
        }
        hints
    }

    fn json(&self) -> Value {
        let machine = &self.machine;
        let features = self.features.iter().map(|f| (f.name.to_owned(), f.present.into())).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "arch": std::env::consts::ARCH,
            "os": std::env::consts::OS,
            "board": machine.board,
            "cpu": machine.cpu,
            "features": Value::Object(features),
            "logical_cores": machine.logical_cores,
            "physical_cores": machine.physical_cores,
            "memory_bytes": machine.memory.map(|m| m.total),
            "memory_available_bytes": machine.memory.map(|m| m.available),
            "governor": machine.governor,
            "clock_driver": machine.clock_driver,
            "temperature_celsius": machine.temperature,
            "throttled": self.throttled,
            "cameras": self.cameras.as_ref().ok(),
            "cameras_error": self.cameras.as_ref().err().map(ToString::to_string),
            "cuda": self.cuda.is_ok(),
            "cuda_error": self.cuda.as_ref().err().map(ToString::to_string),
            "hints": self.hints(),
        })
    }

    fn text(&self) -> String {
        let machine = &self.machine;
        let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".into());
        let cores = match (machine.logical_cores, machine.physical_cores) {
            (Some(logical), Some(physical)) if logical != physical => {
                format!("{logical} usable threads on {physical} cores")
            }
            (logical, physical) => known(logical.or(physical).map(|n| n.to_string())),
        };
        let mib = |bytes: u64| bytes >> 20;
        let memory = machine.memory.map(|m| format!("{} MiB, {} available", mib(m.total), mib(m.available)));
        let features: Vec<String> =
            self.features.iter().map(|f| format!("{} {}", f.name, if f.present { "yes" } else { "no" })).collect();
        let governor = machine.governor.as_ref().map(|governor| match &machine.clock_driver {
            Some(driver) => format!("{governor} ({driver})"),
            None => governor.clone(),
        });
        let mut rows = vec![
            ("densight", format!("{}, {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS)),
            ("board", known(machine.board.clone())),
            ("processor", known(machine.cpu.clone())),
            ("features", if features.is_empty() { "none that matter".into() } else { features.join(", ") }),
            ("cores", cores),
            ("memory", known(memory)),
            ("governor", known(governor)),
            ("temperature", known(machine.temperature.map(|degrees| format!("{degrees:.1} °C")))),
            ("slowed down", known(self.throttled.map(|yes| if yes { "yes".into() } else { "no".into() }))),
        ];
        match &self.cameras {
            Ok(cameras) if cameras.is_empty() => rows.push(("cameras", "none".into())),
            Ok(cameras) => rows.extend(cameras.iter().map(|camera| ("camera", super::devices::headline(camera)))),
            Err(error) => rows.push(("cameras", error.to_string())),
        }
        rows.push(("cuda", self.cuda.as_ref().map_or_else(ToString::to_string, |()| "works".into())));
        rows.extend(self.hints().into_iter().map(|hint| ("hint", hint)));
        rows.iter().map(|(name, value)| format!("{name:<12} {}\n", text::line(value))).collect()
    }
}

/// What a clock governor other than `performance` does. With these drivers, `powersave` is the usual one and only means
/// that the hardware chooses.
fn governor_effect(machine: &Machine) -> Option<String> {
    let hardware_chooses = matches!(machine.clock_driver.as_deref(), Some("intel_pstate" | "amd-pstate-epp"));
    match machine.governor.as_deref()? {
        "performance" => None,
        "powersave" if hardware_chooses => None,
        "powersave" => Some("governor powersave holds the processor at its lowest clock".into()),
        other => Some(format!("governor {other} varies the clock, which unsettles benchmarks")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Memory;

    fn findings() -> Findings {
        let machine = Machine {
            board: Some("Raspberry Pi 4 Model B".into()),
            cpu: Some("Cortex-A72".into()),
            logical_cores: Some(4),
            physical_cores: Some(4),
            memory: Some(Memory { total: 4 << 30, available: 3 << 30 }),
            governor: Some("performance".into()),
            clock_driver: Some("cpufreq-dt".into()),
            temperature: Some(48.8),
        };
        let features = vec![Feature { name: "neon", present: true }, Feature { name: "dotprod", present: false }];
        let camera = DeviceInfo {
            path: "/dev/video0".into(),
            name: "A Camera".into(),
            driver: String::new(),
            bus: String::new(),
            links: vec![],
            controls: Vec::new(),
            usual: None,
            formats: vec![],
            problem: None,
        };
        Findings { machine, features, throttled: Some(false), cameras: Ok(vec![camera]), cuda: Ok(()) }
    }

    /// Hints, without the one that only concerns builds for tests.
    fn hints(findings: &Findings) -> Vec<String> {
        findings.hints().into_iter().filter(|hint| !hint.contains("--release")).collect()
    }

    #[test]
    fn text_and_json_say_what_was_found() {
        let text = findings().text();
        let lines: Vec<&str> = text.lines().skip(1).take(10).collect();
        let expected = [
            "board        Raspberry Pi 4 Model B",
            "processor    Cortex-A72",
            "features     neon yes, dotprod no",
            "cores        4",
            "memory       4096 MiB, 3072 available",
            "governor     performance (cpufreq-dt)",
            "temperature  48.8 °C",
            "slowed down  no",
            "camera       /dev/video0  A Camera",
            "cuda         works",
        ];
        assert_eq!(lines, expected);
        let json = findings().json();
        assert_eq!((&json["features"]["neon"], &json["features"]["dotprod"]), (&json!(true), &json!(false)));
        assert_eq!(json["cameras"][0]["path"], "/dev/video0");
        assert_eq!(json["throttled"], false);
    }

    #[test]
    fn a_machine_in_good_order_gets_no_hint() {
        assert_eq!(hints(&findings()), [""; 0]);
    }

    #[test]
    fn each_trouble_has_its_hint() {
        let hint = |change: fn(&mut Findings)| {
            let mut found = findings();
            change(&mut found);
            let [hint] = hints(&found).try_into().expect("one hint");
            hint
        };
        assert!(hint(|f| f.throttled = Some(true)).contains("slowed down"));
        assert!(hint(|f| f.machine.temperature = Some(81.2)).starts_with("81 °C is hot"));
        let governor = hint(|f| f.machine.governor = Some("powersave".into()));
        assert!(governor.contains("lowest clock") && governor.contains("echo performance | sudo tee"), "{governor}");
        assert!(hint(|f| f.machine.governor = Some("ondemand".into())).contains("varies the clock"));
        assert!(hint(|f| f.cameras = Ok(vec![])).contains("densight-camera test://pattern"));
    }

    #[test]
    fn powersave_is_the_normal_state_of_some_drivers() {
        let mut found = findings();
        (found.machine.governor, found.machine.clock_driver) = (Some("powersave".into()), Some("intel_pstate".into()));
        assert_eq!(hints(&found), [""; 0]);
    }

    #[test]
    fn what_is_not_known_is_said_to_be() {
        let mut found = findings();
        found.machine = Machine::read(std::path::Path::new("no/such/root"));
        found.throttled = None;
        assert_eq!(found.text().matches("unknown").count(), 6);
        assert_eq!(found.json()["board"], Value::Null);
    }
}
