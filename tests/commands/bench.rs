//! Measurements: of layers, beside former ones and other programs, over hours.

use std::path::Path;
use std::process::Output;

use super::{densight, stderr, stdout};

fn measure(folder: &Path, args: &[&str]) -> Output {
    densight(folder, &[&["bench"], args].concat())
}

#[test]
fn layers_add_up_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--layers", "--iterations", "20", "--csv", "layers.csv", "--html", "page.html", "--json"];
    let output = measure(folder.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let layers = &found["layers"];
    let rows = layers["rows"].as_array().unwrap();
    assert!(rows.len() > 100 && rows[0]["op"] == "load" && rows[rows.len() - 1]["op"] == "store", "{rows:?}");
    let sum: f64 = rows.iter().map(|row| row["ms"].as_f64().unwrap()).sum();
    assert!((sum - layers["sum_ms"].as_f64().unwrap()).abs() < 1e-6 && sum > 0.0);
    assert!((rows[rows.len() - 1]["cumulative"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    // Without noise the two are the same; this machine may be busy.
    let whole = layers["timed_ms"].as_f64().unwrap();
    assert!(sum < 1.05 * whole && sum > 0.2 * whole, "layers {sum}, whole {whole}");
    let macs: u64 = rows.iter().map(|row| row["macs"].as_u64().unwrap()).sum();
    let weights: u64 = rows.iter().map(|row| row["bytes"][0].as_u64().unwrap()).sum();
    assert!(macs > 200_000_000 && weights > 500_000, "{macs} multiply-adds, {weights} bytes of weights");
    let table = std::fs::read_to_string(folder.path().join("layers.csv")).unwrap();
    assert_eq!(table.lines().count(), rows.len() + 1);
    assert!(std::fs::read_to_string(folder.path().join("page.html")).unwrap().contains("Time by layer"));
}

#[test]
fn what_tract_runs_is_timed_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = measure(folder.path(), &["--stock", "--layers", "--iterations", "2", "--warmup", "0"]);
    let text = stdout(&output);
    assert!(output.status.success() && text.contains(" tract ") && text.contains("layers "), "{text}");
}

#[test]
fn a_base_decides_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = measure(folder.path(), &["--duration", "3", "--json"]);
    let mut base: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let compare = |base: &serde_json::Value, args: &[&str]| {
        std::fs::write(folder.path().join("base.json"), base.to_string()).unwrap();
        measure(folder.path(), &[&["--compare", "base.json"], args].concat())
    };
    let scale = |base: &mut serde_json::Value, factor: f64| {
        for block in base["blocks"].as_array_mut().unwrap() {
            for time in ["least_ms", "processor_ms"] {
                if let Some(ms) = block[time].as_f64() {
                    block[time] = (factor * ms).into();
                }
            }
        }
    };
    let refused = compare(&base, &["--threads", "2", "--duration", "0.1"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(stderr(&refused), "error: the base differs in threads: 1, now 2\n");
    // However busy the machine is, it is not that of ten.
    scale(&mut base, 0.1);
    let slower = compare(&base, &["--duration", "3"]);
    assert_eq!(slower.status.code(), Some(3), "{}{}", stdout(&slower), stderr(&slower));
    assert!(stdout(&slower).contains("\nslower: "), "{}", stdout(&slower));
    scale(&mut base, 100.0);
    let faster = compare(&base, &["--duration", "3", "--json"]);
    assert_eq!(faster.status.code(), Some(0), "{}{}", stdout(&faster), stderr(&faster));
    assert!(stdout(&faster).contains(r#""comparison":{"verdict":"faster""#), "{}", stdout(&faster));
}

#[test]
fn what_cannot_be_compared_is_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.json"), r#"{"min_ms":1.0,"void":false}"#).unwrap();
    let line = |args: &[&str]| {
        let output = measure(folder.path(), args);
        let text = stderr(&output);
        // What another program says of its arguments stands in front.
        let line = text.lines().last().unwrap_or_default().to_owned();
        assert!(line.starts_with("error: ") && text.ends_with('\n'), "{text}");
        (output.status.code(), line)
    };
    let (code, text) = line(&["--compare", "old.json"]);
    assert!(code == Some(2) && text.contains("it is not what bench --json prints now"), "{text}");
    assert_eq!(line(&["--compare", "gone.json"]).0, Some(1));
    let (code, text) = line(&["--against", "gone"]);
    assert!(code == Some(2) && text.contains("gone cannot be started"), "{text}");
    let (code, text) = line(&["--against", env!("CARGO_BIN_EXE_densight-camera")]);
    assert!(code == Some(2) && text.contains("takes no `bench --serve`"), "{text}");
}

#[test]
fn a_program_is_compared_with_itself() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--against", env!("CARGO_BIN_EXE_densight"), "--duration", "6", "--json"];
    let output = measure(folder.path(), &args);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let ratio = found["ratio"].as_f64().unwrap_or_else(|| panic!("{}", stderr(&output)));
    assert!((0.8..1.25).contains(&ratio), "{found}");
}

#[test]
fn a_soak_ends_with_what_drifted() {
    let folder = tempfile::tempdir().unwrap();
    let args =
        ["soak", "--duration", "2s", "--every", "0.2s", "--max-memory-growth", "1e6", "--max-latency-growth", "1e6"];
    let output = densight(folder.path(), &args);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.starts_with("minute ") && text.lines().count() >= 8, "{text}");
    assert!(text.contains(" runs in 0.00 hours") && text.contains("MiB an hour, within"), "{text}");
    let output = densight(folder.path(), &["soak", "--duration", "2"]);
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn an_interrupted_soak_still_reports() {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_densight"))
        .args(["soak", "--every", "0.1s", "--json", "--max-latency-growth", "1e6", "--max-memory-growth", "1e6"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.contains("\"p50_ms\":") && line.contains("\"clock_mhz\":"), "{line}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.lines().last().unwrap().contains("\"longest_ms\":"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
