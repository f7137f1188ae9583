//! The programs as their users meet them: help, messages, exit codes, files.

mod bad_input;
mod bench;
mod camera;
mod chest;
mod eval;
mod events;
mod executed;
mod exported;
mod files;
mod good_input;
mod heatmap;
mod hostile_text;
mod pipes;
mod prepare;
mod quantize;
mod reuse;
mod rtsp;
mod sources;
#[cfg(unix)]
mod swap;
mod teach;
mod unknown;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// `densight` with `args`, in `folder`.
fn densight(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_densight")).args(args).current_dir(folder).output().unwrap()
}

/// `densight-camera` with `args`, in `folder`.
fn densight_camera(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_densight-camera")).args(args).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The embedded model as a file.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/cifar10_densenet_bc_L40_k12.onnx")
}

/// A photograph of a cat.
fn cat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/camera/clip/chelsea.jpg")
}

#[test]
fn help_and_usage_are_as_recorded() {
    trycmd::TestCases::new().case("tests/commands/*.trycmd").env("COLUMNS", "100");
}

#[test]
fn a_pipe_that_is_closed_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_densight"))
        .arg("classify")
        .args([cat(), cat(), cat()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_on_standard_output_is_one_line() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: this system has no /dev/full");
        return;
    };
    let output = Command::new(env!("CARGO_BIN_EXE_densight")).arg("doctor").stdout(full).output().unwrap();
    let said = stderr(&output);
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(1), "error: cannot write to standard output: no space left on device\n")
    );
}
