//! Regions, states and what is done for events, by the program as a whole.

use serde_json::Value;

use super::bad_input::fails;
use super::*;

const PLAYED: [&str; 4] = ["--config", "c.toml", "--no-pace", "-q"];

fn with_settings(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), text).unwrap();
    folder
}

fn records(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn regions_are_named_by_options_and_by_the_file() {
    let folder = with_settings(
        "topk = 2\n[[region]]\nname = 'left'\nrect = '0%,0%,50%,100%'\n[[region]]\nrect = '10,20,100,50'\ntopk = 1\n",
    );
    let play = ["test://pattern", "json://-", "file://%d.png", "--frames", "2"];
    let output = densight_camera(folder.path(), &[&play[..], &PLAYED].concat());
    for record in records(&output) {
        let regions = record["regions"].as_array().unwrap();
        assert_eq!((&regions[0]["name"], &regions[1]["name"]), (&"left".into(), &"region-2".into()));
        assert_eq!(regions[1]["area"], serde_json::json!([10, 20, 100, 50]));
        let count = |of: &Value| of["predictions"].as_array().unwrap().len();
        assert_eq!((count(&regions[0]), count(&regions[1]), count(&record)), (2, 1, 2));
        assert!(regions[0]["state"].is_null() && record["events"].as_array().unwrap().is_empty());
    }
    let picture = densight::picture::read(&folder.path().join("0.png")).unwrap();
    assert_eq!(picture.pixel(109, 45), picture.pixel(10, 60), "the outline of the second region");
    let output =
        densight_camera(folder.path(), &[&play[..2], &PLAYED, &["--region", "a=1,2,3,4", "--frames", "1"]].concat());
    assert_eq!(records(&output)[0]["regions"].as_array().unwrap().len(), 1, "{}", stdout(&output));
    let outside = densight_camera(folder.path(), &["clip://", "--region", "gate=0,0,5000,10", "-q"]);
    fails(&outside, 2, &["region gate: 0,0,5000,10 is not inside of the picture, which is 480x320: make it smaller"]);
    fails(&densight_camera(folder.path(), &["clip://", "--region", "0,0,9"]), 2, &["region '0,0,9' is no rectangle"]);
}

#[cfg(unix)]
#[test]
fn a_program_runs_for_each_event() {
    let folder = with_settings(
        "unknown-threshold = 1.0\n[state]\nenter = 0.6\nhold = 0.0\n[[command]]\nrun = ['sh', '-c', 'echo \"$DENSIGHT_REGION $DENSIGHT_LABEL\" >> log']\n\
         on = { labels = ['cat'] }\n",
    );
    let output = densight_camera(folder.path(), &[&["clip://", "json://-", "--frames", "300"], &PLAYED[..]].concat());
    let records = records(&output);
    let events: Vec<&Value> = records.iter().flat_map(|record| record["events"].as_array().unwrap()).collect();
    let cats = events.iter().filter(|event| event["label"] == "cat").count();
    assert!(cats > 0 && events.len() > cats, "{events:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), "frame cat\n".repeat(cats));
    let state = &records.last().unwrap()["regions"][0]["state"];
    assert_eq!(state["labels"][0], events.last().unwrap()["label"]);
}

#[test]
fn what_the_settings_file_cannot_mean_is_refused() {
    let folder = with_settings("[[command]]\nrun = ['true']\n");
    fails(&densight_camera(folder.path(), &["clip://", "--config", "c.toml"]), 2, &["command: no region has a state"]);
    let folder = with_settings("[state]\nenter = 0.2\nleave = 0.4\n");
    fails(&densight_camera(folder.path(), &["clip://", "--config", "c.toml"]), 2, &["state: leave is 0.4"]);
    if cfg!(not(feature = "webhook")) {
        let folder = with_settings("[state]\n[[webhook]]\nurl = 'http://127.0.0.1:1/'\n");
        let output = densight_camera(folder.path(), &["clip://", "--config", "c.toml", "-q"]);
        fails(&output, 2, &["this program was built without webhooks: build it with --features webhook"]);
    }
}

#[test]
fn inputs_are_not_written_to_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let original = std::fs::read(cat()).unwrap();
    for name in ["0.jpg", "1.jpg"] {
        std::fs::write(photos.join(name), &original).unwrap();
    }
    let output = densight_camera(folder.path(), &["photos", "file://photos/%d.jpg", "-q"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let read = |name: &str| std::fs::read(photos.join(name)).unwrap();
    assert!(read("0.jpg") == original && read("1.jpg") == original);
    assert!(image::open(photos.join("2.jpg")).is_ok() && image::open(photos.join("3.jpg")).is_ok());
    assert_eq!(photos.read_dir().unwrap().count(), 4);
    for output in ["file://photos/1.jpg", "file://./photos/../photos/1.jpg"] {
        fails(
            &densight_camera(folder.path(), &["photos", output, "-q"]),
            2,
            &["1.jpg is an input: write somewhere else"],
        );
    }
    assert!(read("1.jpg") == original);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_does_not_end_what_else_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=16k tmpfs {folder} || exit 77; cd {folder}
         {camera} clip:// json://log.jsonl json://- --input-loop --no-pace --frames 900 -q; echo $? >&2; cat log.jsonl >&2",
        folder = folder.path().display(),
        camera = env!("CARGO_BIN_EXE_densight-camera"),
    );
    let output = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).output();
    let Some(output) = output.ok().filter(|output| !matches!(output.status.code(), Some(1 | 77))) else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: no file systems may be mounted here");
        return;
    };
    assert_eq!(stdout(&output).lines().count(), 900);
    let last: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("warning: cannot write to log.jsonl: no space left on device"), "{said}");
    let lost = format!("error: JSON lines to log.jsonl: {} results were lost", last["lost"].as_u64().unwrap() + 1);
    assert_eq!(lines[1..3], [lost.as_str(), "1"], "{said}");
    assert!(lines[3..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{said}");
}

/// Files in `folder`, and in folders in it.
#[cfg(feature = "record")]
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

/// Recordings in `folder` are whole, and take a mebibyte at most; how many there are.
#[cfg(feature = "record")]
fn whole_recordings(folder: &Path, round: u64) -> usize {
    let files = files_in(folder);
    let mut size = 0;
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        let is_whole = bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]);
        assert!(is_whole, "round {round}: {}", path.display());
        size += bytes.len();
    }
    assert!(size <= 1 << 20, "round {round}: {}: {size}", folder.display());
    files.len()
}

/// Twenty times, or `DENSIGHT_KILLS` times.
#[cfg(feature = "record")]
#[test]
fn a_program_that_is_killed_while_it_records_leaves_whole_recordings_within_the_limit() {
    let record = "name = '%Y/%H%M%S-{label}'\nmin-free = 0\nmax-size = 1\n";
    let region = |name: &str, state: &str| {
        format!("[[region]]\nname = '{name}'\nrect = '0%,0%,100%,100%'\nstate = {{ enter = 0.2, hold = 0.0{state} }}\n")
    };
    let folder = with_settings(&format!(
        "unknown-threshold = 1.0\n{}{}[[record]]\nfolder = 'kept/clips'\n{record}kind = 'clip'\nbefore = 0.05\nafter = 0.05\nrate = 30\non = {{ regions = ['calm'] }}\n\
         [[record]]\nfolder = 'kept/pictures'\n{record}on = {{ regions = ['busy'] }}\n",
        region("busy", ""),
        region("calm", ", cooldown = 0.2"),
    ));
    let kept = folder.path().join("kept");
    for name in ["clips", "pictures"] {
        std::fs::create_dir_all(kept.join(name)).unwrap();
    }
    // Two pictures that take turns: with each frame there is something to record.
    for (name, [red, green, blue]) in [("0.png", [60, 120, 220]), ("1.png", [40, 120, 30])] {
        let noise =
            |x: u32, y: u32| (x.wrapping_mul(0x9e37_79b9) ^ y.wrapping_mul(0x85eb_ca6b)).rotate_left(x ^ y) as u8 % 30;
        let pixel = |x, y| image::Rgb([red + noise(x, y), green + noise(y, x), blue + noise(x + 7, y)]);
        image::RgbImage::from_fn(480, 320, pixel).save(folder.path().join(name)).unwrap();
    }
    let args = ["file://*.png", "null://", "--input-loop", "--frames", "100000"];
    let rounds = std::env::var("DENSIGHT_KILLS").map_or(20, |count| count.parse().unwrap());
    let (mut reached, mut made) = ([false; 2], 0);
    for round in 0..rounds {
        let before = files_in(&kept);
        let mut child = Command::new(env!("CARGO_BIN_EXE_densight-camera"))
            .args([&args[..], &PLAYED].concat())
            .current_dir(&folder)
            .spawn()
            .unwrap();
        let begin = std::time::Instant::now();
        while files_in(&kept).iter().all(|path| before.contains(path)) && begin.elapsed().as_secs() < 5 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // From 0 to 200 ms, spread by the golden ratio.
        std::thread::sleep(std::time::Duration::from_micros(round * 123_607 % 200_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for (name, reached) in ["clips", "pictures"].iter().zip(&mut reached) {
            let (folder, size) = (kept.join(name), |path: &PathBuf| path.metadata().unwrap().len());
            whole_recordings(&folder, round);
            *reached |= files_in(&folder).iter().map(size).sum::<u64>() > 1 << 19;
        }
        made += files_in(&kept).iter().filter(|path| !before.contains(path)).count();
    }
    let _ =
        writeln!(std::io::stderr(), "killed {rounds} times; {made} recordings were made; limits reached: {reached:?}");
    let output = densight_camera(folder.path(), &[&args[..4], &["300"], &PLAYED].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for name in ["clips", "pictures"] {
        assert!(whole_recordings(&kept.join(name), rounds) > 0, "{name}");
    }
}
