//! The camera loop on its computed sources.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use super::*;

#[test]
fn the_whole_cat_at_the_end_of_the_clip_is_a_cat_and_a_picture_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let output = densight_camera(folder.path(), &["--no-pace"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = stdout(&output);
    assert_eq!(lines.lines().count(), 300);
    let whole: Vec<&str> = lines.lines().filter(|line| line.ends_with("clip:chelsea whole")).collect();
    assert_eq!(whole.len(), 30);
    for line in whole {
        assert!(line.contains("% cat "), "{line}");
    }
    assert!(stderr(&output).contains("300 frames in ") && stderr(&output).contains("p99"), "{}", stderr(&output));
    let picture = densight::picture::read(&folder.path().join("densight.png")).unwrap();
    assert_eq!((picture.width, picture.height), (480, 320));
    // The status line darkens the top, the bars the lower left.
    let bright = |x: u32, y: u32| picture.pixel(x, y).iter().map(|&v| u32::from(v)).sum::<u32>();
    let mean = |y: u32| (0..480).map(|x| bright(x, y)).sum::<u32>() / 480;
    assert!(mean(0) + 100 < mean(40), "{} {}", mean(0), mean(40));
}

#[test]
fn records_and_pictures_are_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["test://pattern", "json://-", "file://p_%02d.jpg", "--no-pace", "--frames", "5", "-q", "--topk", "1"];
    let output =
        densight_camera(folder.path(), &[&args[..], &["--input-width", "320", "--input-height", "240"]].concat());
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let records: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 5);
    for (i, record) in records.iter().enumerate() {
        assert_eq!((&record["schema"], &record["sequence"]), (&1.into(), &i.into()));
        assert_eq!(record["predictions"].as_array().unwrap().len(), 1);
    }
    let pictures: Vec<u32> =
        (0..5).map(|i| densight::picture::read(&folder.path().join(format!("p_0{i}.jpg"))).unwrap().width).collect();
    assert_eq!(pictures, [320; 5]);
}

#[test]
fn lines_may_tell_of_changes_only_and_are_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let play = ["--no-pace", "-q", "--frames", "60", "--unknown-threshold", "1"];
    let output =
        densight_camera(folder.path(), &[&["clip://", "terminal://?changes", "json://all"], &play[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let records = std::fs::read_to_string(folder.path().join("all")).unwrap();
    let best: Vec<String> = records
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["predictions"][0]["label"].to_string())
        .collect();
    let changes = 1 + best.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!((best.len(), stdout(&output).lines().count()), (60, changes));
    let output = densight_camera(folder.path(), &[&["clip://", "-", "json://-"], &play[..]].concat());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    let expected = "error: '-' and 'json://-' both write to standard output: write one of them to a file, json://PATH";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

#[test]
fn what_is_told_has_levels() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "log = 'warn'\n").unwrap();
    // A picture that is cut off is a warning.
    let pattern = ["test://pattern", "file://p.jpg", "--no-pace", "--frames", "1"];
    assert_eq!(densight_camera(folder.path(), &pattern).status.code(), Some(0));
    let whole = std::fs::read(folder.path().join("p.jpg")).unwrap();
    std::fs::write(folder.path().join("cut.mjpeg"), [&whole[..whole.len() / 2], &whole].concat()).unwrap();
    let lines = |more: &[&str]| {
        let output = densight_camera(folder.path(), &[&["cut.mjpeg", "null://"], more].concat());
        let said = stderr(&output);
        (said.lines().filter(|line| line.starts_with("warning: ")).count(), said.lines().count())
    };
    let (warnings, all) = lines(&[]);
    assert!(warnings == 1 && all > 3, "{warnings} of {all}");
    assert_eq!(lines(&["--log", "info"]), (1, all));
    for quiet in [&["--log", "warn"][..], &["-q"], &["--config", "c.toml"]] {
        assert_eq!(lines(quiet), (1, 1), "{quiet:?}");
    }
    assert_eq!(lines(&["--log", "error"]), (0, 0));
    assert_eq!(densight_camera(folder.path(), &["-q", "--log", "info"]).status.code(), Some(2));
}

#[test]
fn settings_come_from_options_file_and_defaults() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), "input = 'test://pattern'\ntopk = 4\nframes = 2\nno-pace = true\n")
        .unwrap();
    let output = densight_camera(folder.path(), &["--config", "c.toml", "--topk", "2", "--print-config"]);
    let printed: toml::Table = toml::from_str(&stdout(&output)).unwrap();
    assert_eq!((printed["input"].as_str(), printed["topk"].as_integer()), (Some("test://pattern"), Some(2)));
    std::fs::write(folder.path().join("d.toml"), stdout(&output)).unwrap();
    let output = densight_camera(folder.path(), &["--config", "d.toml"]);
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(0), 2), "{}", stderr(&output));
}

#[test]
fn a_reader_that_goes_away_ends_it_with_success() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["test://pattern", "json://-", "--input-rate", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"schema\":1"), "{line}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains(" frames in "), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_it_with_a_summary() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["test://pattern", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    lines.read_to_string(&mut String::new()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("capture to result: p50 "), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_service_manager_is_told() {
    use std::os::unix::net::UnixDatagram;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
        .args(["test://pattern", "null://", "--no-pace", "--frames", "3"])
        .env("NOTIFY_SOCKET", &socket)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    manager.set_nonblocking(true).unwrap();
    let mut said = Vec::new();
    let mut bytes = [0; 1000];
    while let Ok(length) = manager.recv(&mut bytes) {
        said.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    assert!(said[0].starts_with("READY=1\nWATCHDOG=1\nSTATUS=0.0 frames a second, 0 dropped, "), "{said:?}");
    assert_eq!(said.last().unwrap(), "STOPPING=1\n");
}
