//! What is in files when there is no room, when the program is killed, and beside whom they are written.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::bad_input::fails;
use super::*;

/// Every line is a whole record, and there are some.
fn whole_records(text: &str) -> usize {
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(Value::is_object).count()
}

#[cfg(unix)]
#[test]
fn a_record_that_finds_no_room_is_not_half_there() {
    let folder = tempfile::tempdir().unwrap();
    // In units of 512 bytes or of 1024; a file of another program ends where the limit does.
    let camera = env!("CARGO_BIN_EXE_densight-camera");
    let limited = format!("trap '' XFSZ; ulimit -f 3; exec {camera} clip:// json://log.jsonl --no-pace --frames 60 -q");
    let output = Command::new("sh").args(["-c", &limited]).current_dir(&folder).output().unwrap();
    fails(&output, 1, &["cannot write to log.jsonl: file too large"]);
    let records = whole_records(&std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap());
    assert!((1..60).contains(&records), "{records}");
    // There is room again.
    let output = densight_camera(folder.path(), &["clip://", "json://log.jsonl", "--no-pace", "--frames", "2", "-q"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(whole_records(&std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap()), records + 2);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_records_end_with_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let camera = env!("CARGO_BIN_EXE_densight-camera");
    let script = format!(
        "mount -t tmpfs -o size=8k tmpfs {folder} || exit 77; cd {folder}
         {camera} clip:// json://log.jsonl --no-pace --frames 40 -q; echo $? >&2; cat log.jsonl
         {camera} clip:// file://out.png --no-pace --frames 2 -q; echo $? >&2; ls -A >&2",
        folder = folder.path().display()
    );
    let output = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).output();
    let Some(output) = output.ok().filter(|output| !matches!(output.status.code(), Some(1 | 77))) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no file systems may be mounted here");
        return;
    };
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    let full = "no space left on device: free some space or write elsewhere";
    assert_eq!(lines[..2], [format!("error: cannot write to log.jsonl: {full}").as_str(), "1"], "{said}");
    assert!((4..40).contains(&whole_records(&stdout(&output))), "{said}");
    assert!(lines[2].starts_with("error: cannot write") && lines[2].ends_with(full), "{said}");
    assert_eq!(lines[3..], ["1", "log.jsonl"], "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_is_killed_leaves_whole_files_only() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
            .args(["clip://", "file://out_%02d.png", "file://newest.jpg", "--no-pace", "--input-loop", "-q"])
            .args(["--frames", "100000"])
            .current_dir(&folder)
            .spawn()
            .unwrap();
        // Until it writes, and then for a time that is another in each round.
        let newest = folder.path().join("newest.jpg");
        let start = Instant::now();
        let before = newest.metadata().and_then(|about| about.modified()).ok();
        let written = || newest.metadata().and_then(|about| about.modified()).ok() != before;
        while !written() && start.elapsed() < Duration::from_secs(300) {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(7 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(written(), "it writes nothing");
    }
    // The moment in which a file that replaces another has a second name may be met; the next program then removes it.
    let output = densight_camera(folder.path(), &["clip://", "file://newest.jpg", "--no-pace", "--frames", "1", "-q"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(names.len() > 1, "{names:?}");
    for path in &names {
        assert!(image::open(path).is_ok(), "{}", path.display());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_leads_a_file_elsewhere() {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o1777)).unwrap();
    std::fs::write(folder.path().join("precious"), "old").unwrap();
    for name in ["x.onnx", "x.png", "x.jsonl"] {
        symlink("../precious", shared.join(name)).unwrap();
        if lchown(shared.join(name), Some(54_321), None).is_err() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: only root can make links of other users");
            return;
        }
    }
    let why = "is a link that somebody else put into a folder that others may write to";
    let export = ["export", "--preset", "densenet-bc-40-12", "-o", "shared/x.onnx"];
    fails(&densight(folder.path(), &export), 1, &["cannot write shared/x.onnx", why]);
    for output in ["file://shared/x.png", "json://shared/x.jsonl"] {
        fails(
            &densight_camera(folder.path(), &["clip://", output, "--frames", "1"]),
            1,
            &["cannot write shared/x", why],
        );
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("precious")).unwrap(), "old");
}
