//! The camera loop on what another program writes.

use std::fs::OpenOptions;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;

/// A photograph, 451x300.
const JPEG: &[u8] = include_bytes!("../../src/camera/clip/chelsea.jpg");

fn start(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_densight-camera"));
    let command = command.current_dir(folder).args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs on pictures that come at 50 frames a second, number 10 of 20 being `damaged`; the summary's frames and damaged ones
/// come along.
fn fed(damaged: &[u8]) -> (Output, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path(), &["-", "json://-"]);
    let mut input = child.stdin.take().unwrap();
    for number in 0..20 {
        input.write_all(if number == 10 { damaged } else { JPEG }).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let summary = stderr(&output).lines().find(|line| line.contains(" frames in ")).unwrap_or_default().to_owned();
    (output, summary)
}

#[test]
fn damage_in_a_pipe_does_not_end_it_and_its_end_is_no_success() {
    let half = JPEG.len() / 2;
    let mut bad_marker = JPEG.to_vec();
    bad_marker[half..half + 2].copy_from_slice(&[0xff, 0x3c]);
    for (damaged, count) in [
        (JPEG, 0),
        (&JPEG[..half], 1),
        (&JPEG[..JPEG.len() - 2], 1),
        (&[JPEG, b"\x11garbage"].concat(), 1),
        (&bad_marker, 1),
        (&[JPEG, b"\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n"].concat(), 0),
    ] {
        let (output, summary) = fed(damaged);
        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        let said = format!(", {count} damaged");
        assert!(if count == 0 { !summary.contains("damaged") } else { summary.contains(&said) }, "{summary}");
        assert_eq!(stderr(&output).matches("warning: ").count(), count, "{}", stderr(&output));
        assert!(stderr(&output).contains("error: standard input ended"), "{}", stderr(&output));
        let last: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
        assert_eq!((&last["partial"], &last["damaged"]), (&false.into(), &count.into()));
        assert!(last["sequence"].as_u64().unwrap() >= 19, "{last}");
    }
}

#[test]
fn a_file_on_standard_input_ends_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mjpeg");
    std::fs::write(&path, [JPEG, &JPEG[..5000], JPEG].concat()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["-", "json://-"])
        .stdin(std::fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 3), "{}", stderr(&output));
}

/// Waits for the end of `child`, and not for ever.
fn ended(mut child: Child, longest: Duration) -> Output {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > longest {
            child.kill().unwrap();
            panic!("still running: {}", stderr(&child.wait_with_output().unwrap()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_named_pipe_without_writer_is_ended_by_duration_and_by_one_signal() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("p")).status().unwrap().success());
    let output = ended(start(folder.path(), &["p", "--duration", "0.5"]), Duration::from_secs(30));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for (input, signal) in [("p", "-INT"), ("p", "-TERM"), ("-", "-TERM")] {
        let child = start(folder.path(), &[input]);
        thread::sleep(Duration::from_secs(2));
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = ended(child, Duration::from_secs(30));
        assert_eq!(output.status.code(), Some(130), "{input} {signal}: {}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_read_from_one_writer_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let child = start(folder.path(), &["p", "json://-", "--duration", "6"]);
    for _ in 0..3 {
        let mut writer = OpenOptions::new().write(true).open(&path).unwrap();
        for _ in 0..5 {
            writer.write_all(JPEG).unwrap();
            thread::sleep(Duration::from_millis(100));
        }
        drop(writer);
        thread::sleep(Duration::from_millis(700));
    }
    let output = ended(child, Duration::from_secs(60));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("p is back after ").count(), 2, "{}", stderr(&output));
    assert!(stdout(&output).lines().count() >= 9, "{}", stdout(&output).lines().count());
}
