//! Recordings on a disk.

use std::fs;
use std::path::Path;

use super::super::super::tests::report;
use super::*;

fn settings(folder: &Path, kind: Kind) -> Record {
    let text = format!(
        "folder = '{}'\nname = '%Y/{{region}}-{{label}}'\nmin-free = 0\nbefore = 0.5\nafter = 0.5\nrate = 10",
        folder.display()
    );
    Record { kind, ..toml::from_str(&text).unwrap() }
}

/// Delivers a frame at `millis`, with an event if there is a label.
fn deliver(sink: &mut Recorder, millis: u64, label: Option<&str>) {
    let mut report = report();
    report.monotonic = Duration::from_millis(millis);
    let event = |label: &str| Event {
        time: report.timestamp,
        region: "gate".into(),
        label: Some(label.into()),
        active: true,
        score: 0.5,
    };
    report.events = label.map(event).into_iter().collect();
    let picture = RgbImage::filled(32, 24, [(millis / 100) as u8; 3]);
    assert_eq!(sink.deliver(&report, Some(&picture)).unwrap(), Delivery::Continue);
}

fn messages(sink: &mut Recorder) -> Vec<String> {
    std::iter::from_fn(|| sink.trouble()).map(|error| error.to_string()).collect()
}

#[test]
fn each_event_is_a_picture_and_a_restart_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("made when it is missing");
    for _ in 0..2 {
        let mut sink = Recorder::start(settings(&kept, Kind::Picture), 85).unwrap();
        deliver(&mut sink, 0, None);
        deliver(&mut sink, 100, Some("open"));
        sink.finish().unwrap();
        assert_eq!((sink.lost(), messages(&mut sink)), (0, vec![]));
    }
    let year = kept.join("2023");
    assert_eq!(fs::read_dir(&year).unwrap().count(), 2);
    for name in ["gate-open.event.jpg", "gate-open-1.event.jpg"] {
        assert_eq!(crate::picture::read(&year.join(name)).unwrap().pixel(0, 0), [1; 3], "{name}");
    }
}

#[test]
fn a_clip_is_one_file_of_pictures_one_behind_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Recorder::start(settings(folder.path(), Kind::Clip), 85).unwrap();
    // 20 frames a second, of which every second one is taken.
    for frame in 0..60 {
        deliver(&mut sink, frame * 50, (frame == 30).then_some("open"));
        // As long as frames take: the thread is not to fall behind.
        std::thread::sleep(Duration::from_millis(2));
    }
    sink.finish().unwrap();
    assert_eq!((sink.lost(), messages(&mut sink)), (0, vec![]));
    let clip = fs::read(folder.path().join("2023/gate-open.event.mjpeg")).unwrap();
    assert_eq!(
        clip.windows(4).filter(|bytes| bytes[..3] == [0xff, 0xd8, 0xff]).count(),
        11,
        "half a second before, one behind"
    );
}

#[test]
fn a_disk_without_room_pauses_it_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let full = Record { min_free: u64::MAX >> 21, ..settings(folder.path(), Kind::Picture) };
    let mut sink = Recorder::start(full, 85).unwrap();
    for _ in 0..3 {
        deliver(&mut sink, 0, Some("open"));
    }
    sink.finish().unwrap();
    let messages = messages(&mut sink);
    assert_eq!((sink.lost(), messages.len()), (3, 1), "{messages:?}");
    assert!(messages[0].starts_with("record: there is no room in "), "{messages:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = || settings(folder.path(), Kind::Clip);
    for (settings, start) in [
        (Record { rate: 0.0, ..good() }, "record: rate is 0"),
        (Record { before: -1.0, ..good() }, "record: before is -1"),
        (Record { max_age: Some(0.0), ..good() }, "record: max-age is 0"),
        (Record { max_size: 0, ..good() }, "record: max-size is 0"),
        (Record { name: "../x".into(), ..good() }, "record: name '../x' is no path"),
        (Record { folder: folder.path().join("no/such"), ..good() }, "cannot write recordings to "),
    ] {
        let error = Recorder::start(settings, 85).err().unwrap();
        assert!(error.to_string().starts_with(start), "{error}");
    }
}
