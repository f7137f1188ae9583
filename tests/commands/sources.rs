//! Sources that others deliver: a server, a program.

use std::io::{BufRead, BufReader};
use std::process::Child;

use super::*;

/// Ends with the test, whatever becomes of it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_own_page_is_an_input() {
    let mut server = Running(
        Command::new(env!("CARGO_BIN_EXE_densight-camera"))
            .args(["test://pattern", "http://127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut said = BufReader::new(server.0.stderr.take().unwrap()).lines();
    let line = said.find_map(|line| line.ok().filter(|line| line.starts_with("output  http://"))).unwrap();
    let address = line["output  ".len()..].split(' ').next().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let input = format!("{address}stream.mjpg");
    let output = densight_camera(folder.path(), &[&input, "json://-", "--frames", "5"]);
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 5), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("input   {input}")), "{}", stderr(&output));
    let output = densight_camera(folder.path(), &[&address, "null://"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("this is text/html; charset=utf-8, no stream"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_camera_of_the_board_is_read_through_its_program() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("rpicam-vid");
    // Three gray pictures of 64x64, a word, and an end.
    let script = "#!/bin/sh\necho \"$@\" >arguments\necho 'no more' >&2\nhead -c 18432 /dev/zero\nsleep 0.5\nexit 9\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densight-camera"));
        command.current_dir(folder.path()).env("PATH", &path).args(arguments).output().unwrap()
    };
    let size = ["csi://1", "json://-", "--input-width", "64", "--input-height", "64"];
    let output = run(&[&size[..], &["--no-reconnect"]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(!stdout(&output).is_empty() && stderr(&output).contains("csi://1: no more"), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: csi://1 ended with exit status: 9"), "{}", stderr(&output));
    let arguments = std::fs::read_to_string(folder.path().join("arguments")).unwrap();
    assert!(arguments.starts_with("--camera 1 -n -t 0 --codec yuv420 --width 64 --height 64 "), "{arguments}");
    let output = run(&[&size[..], &["--duration", "3"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("csi://1 is back after "), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn commands_deliver_pictures_and_secrets_stay_secret() {
    let folder = tempfile::tempdir().unwrap();
    let cat = cat();
    let command = format!("exec:while cat '{}'; do sleep 0.1; done", cat.display());
    let output = densight_camera(folder.path(), &[&command, "json://-", "--frames", "3"]);
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 3), "{}", stderr(&output));
    let output = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["rtsp://me:secret@127.0.0.1:9/x", "null://"])
        .env("PATH", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("rtsp://127.0.0.1:9/x needs ffmpeg") && !stderr(&output).contains("secret"));
}

#[cfg(unix)]
#[test]
fn a_silent_program_ends_with_the_loop() {
    let folder = tempfile::tempdir().unwrap();
    let output = densight_camera(folder.path(), &["exec:echo $$ >pid; sleep 600", "null://", "--duration", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let is_there = || {
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
        // Nobody may have asked how it ended.
        !stdout(&state).trim().is_empty() && !stdout(&state).starts_with('Z')
    };
    let begin = std::time::Instant::now();
    while is_there() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(20), "process {pid} is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
