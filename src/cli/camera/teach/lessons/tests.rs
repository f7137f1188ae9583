use std::path::Path;

use super::write::encode;
use super::*;
use crate::cli::camera::settings::Settings;
use crate::control::{Asked, Offer, Progress, Running, RunningModel, Swapped};
use crate::frame::{Area, RgbImage};
use crate::picture::resize::Resizer;
use crate::prediction::{FrameReport, RegionReport, StageTimes};

/// Stripes along rows or columns, of a width and colour of their own.
fn picture(rows: bool, number: u32) -> RgbImage {
    let (width, phase, hue) = (5 + number % 4, number * 3, (number * 53 % 200) as u8);
    let on = |x: u32, y: u32| ((if rows { y } else { x }) + phase) / width % 2 == 1;
    let pixels = (0..48).flat_map(|y| (0..96).map(move |x| (x, y)));
    let colour = |(x, y)| {
        if x >= 48 {
            [0; 3]
        } else if on(x, y) {
            [220, hue, 40]
        } else {
            [20, 60, 255 - hue]
        }
    };
    RgbImage::new(96, 48, pixels.flat_map(colour).collect())
}

/// The left half of a picture is the region that is taught.
fn report() -> FrameReport {
    let region = RegionReport {
        name: "gate".into(),
        area: Area { left: 0, top: 0, width: 48, height: 48 },
        model: "net".into(),
        model_hash: "0".into(),
        predictions: Vec::new(),
        unknown: None,
        state: None,
        heat: None,
    };
    FrameReport {
        camera: None,
        sequence: 0,
        timestamp: std::time::SystemTime::now(),
        monotonic: Duration::ZERO,
        origin: None,
        regions: vec![region],
        events: Vec::new(),
        stages: StageTimes::default(),
        latency: Duration::ZERO,
        fps: 0.0,
        dropped: 0,
        skipped: 0,
        damaged: 0,
        lost: 0,
        partial: false,
        throttled: None,
    }
}

fn open(folder: &Path, control: &Control) -> Lessons {
    let settings: TeachSettings = folder.to_str().unwrap().parse().unwrap();
    let material = Material {
        settings: &settings,
        region: "gate".into(),
        backbone: None,
        how: SessionOptions::default(),
        threads: 1,
        kept: None,
    };
    Lessons::open(material, control).unwrap()
}

fn ask(lessons: &Lessons, json: &str) -> Result<TeachStatus> {
    lessons.ask(serde_json::from_str(json).unwrap())?;
    lessons.status()
}

/// The status, once it is as wanted.
fn wait(lessons: &Lessons, wanted: impl Fn(&TeachStatus) -> bool) -> TeachStatus {
    let begin = Instant::now();
    loop {
        let status = lessons.status().unwrap();
        if wanted(&status) {
            return status;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{status:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn refused(lessons: &Lessons, json: &str) -> (ErrorKind, String) {
    let error = ask(lessons, json).unwrap_err();
    (error.kind(), error.to_string())
}

/// Takes `count` pictures for a class.
fn capture(lessons: &Lessons, viewer: &mut dyn Sink, class: &str, numbers: std::ops::Range<u32>) {
    let before = pictures(&lessons.status().unwrap(), class);
    ask(lessons, &format!(r#"{{"do": "capture", "class": "{class}", "pictures": {}, "interval": 0}}"#, numbers.len()))
        .unwrap();
    for (done, number) in numbers.enumerate() {
        assert!(viewer.wants_picture());
        let _ = viewer.deliver(&report(), Some(&picture(class == "rows", number))).unwrap();
        wait(lessons, |status| pictures(status, class) == before + done + 1);
    }
    assert!(!viewer.wants_picture());
}

fn pictures(status: &TeachStatus, class: &str) -> usize {
    status.classes.iter().find(|known| known.name == class).map_or(0, |class| class.pictures)
}

#[test]
fn classes_are_captured_taught_tried_kept_and_discarded() {
    let at = tempfile::tempdir().unwrap();
    let folder = at.path().join("pictures");
    let control = Control::default();
    let lessons = open(&folder, &control);
    let mut viewer = lessons.viewer().unwrap();
    for class in ["columns", "rows"] {
        ask(&lessons, &format!(r#"{{"do": "make", "class": "{class}"}}"#)).unwrap();
        capture(&lessons, &mut *viewer, class, 0..7);
    }
    // What is captured is what the network sees: the region, without anything drawn on it.
    let status = lessons.status().unwrap();
    let file = lessons.picture("rows", &status.classes[1].newest[0]).unwrap();
    let seen = picture::decode(&file).unwrap();
    assert_eq!((seen.width, seen.height), (48, 48));
    let expected = picture(true, 6).cropped(report().regions[0].area);
    let difference: u32 = seen.pixels.iter().zip(&expected.pixels).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
    assert!((difference as usize) < 12 * seen.pixels.len(), "{difference}");
    let status = ask(&lessons, r#"{"do": "undo"}"#).unwrap();
    assert_eq!((pictures(&status, "rows"), pictures(&status, "columns")), (6, 7));
    // A picture of a class that was renamed meanwhile is undone, too.
    capture(&lessons, &mut *viewer, "rows", 6..7);
    ask(&lessons, r#"{"do": "rename", "class": "rows", "to": "r"}"#).unwrap();
    assert_eq!(pictures(&ask(&lessons, r#"{"do": "undo"}"#).unwrap(), "r"), 6);
    ask(&lessons, r#"{"do": "rename", "class": "r", "to": "rows"}"#).unwrap();

    assert_eq!(refused(&lessons, r#"{"do": "try"}"#).0, ErrorKind::Busy);
    assert!(ask(&lessons, r#"{"do": "train"}"#).unwrap().training.is_running());
    let (kind, said) = refused(&lessons, r#"{"do": "undo"}"#);
    assert_eq!((kind, said.as_str()), (ErrorKind::Busy, "the pictures are being taught with: wait, or cancel that"));
    let status = wait(&lessons, |status| !status.training.is_running());
    let lesson = status.lesson.unwrap();
    assert!(status.training == Training::Done && status.trained && lesson.pictures == 13, "{:?}", status.training);
    assert!(lesson.accuracy > 0.8, "{lesson:?}");
    assert_eq!(lesson.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["columns", "rows"]);

    exchanged(&lessons, &control, &folder);
}

/// Tries, discards, tries again and keeps what was taught; `control`'s requests are answered here.
fn exchanged(lessons: &Lessons, control: &Control, folder: &Path) {
    let requests = control.serve(Offer::default());
    let networks = crate::cli::camera::networks::Networks::open(
        &Settings::parse("[[region]]\nname = 'gate'\nrect = '0,0,9,9'", Path::new("x")).unwrap().over(None).unwrap(),
    )
    .unwrap();
    let runs = |hash: &str| RunningModel {
        region: "gate".into(),
        model: "net".into(),
        hash: hash.into(),
        labels: Vec::new(),
        input: None,
    };
    let swap = |is_taught: bool, hash: &str| {
        let job = requests.next(Duration::from_secs(9)).unwrap();
        assert_eq!(matches!(&job.asked, Asked::Taught(file) if file.exists()), is_taught);
        control.set_running(vec![runs(hash)]);
        match is_taught {
            true => lessons.before().keep(networks.clone()),
            false => drop(lessons.before().take()),
        }
        job.tell(Progress::Swapped(Swapped::default()));
    };
    assert_eq!(ask(lessons, r#"{"do": "try"}"#).unwrap().exchange.unwrap().progress, Progress::Loading);
    swap(true, "new");
    let status = ask(lessons, r#"{"do": "right"}"#).unwrap();
    assert_eq!((status.running, status.right, status.trained), (Running::Tried, 1, false));
    let mut viewer = lessons.viewer().unwrap();
    let status = ask(lessons, r#"{"do": "wrong", "class": "rows"}"#).unwrap();
    assert_eq!((status.wrong, status.capturing.unwrap().class.as_str()), (1, "rows"));
    let _ = viewer.deliver(&report(), Some(&picture(true, 30))).unwrap();
    wait(lessons, |status| pictures(status, "rows") == 7);

    ask(lessons, r#"{"do": "discard"}"#).unwrap();
    swap(false, "old");
    let status = lessons.status().unwrap();
    assert_eq!((status.running, status.right, status.trained), (Running::Other, 0, false));
    assert!(!folder.join("taught.onnx").exists());
    assert_eq!(refused(lessons, r#"{"do": "keep"}"#).0, ErrorKind::Busy);

    // Only the new picture is computed.
    ask(lessons, r#"{"do": "train"}"#).unwrap();
    wait(lessons, |status| status.training == Training::Done);
    ask(lessons, r#"{"do": "try"}"#).unwrap();
    swap(true, "newer");
    let status = ask(lessons, r#"{"do": "keep"}"#).unwrap();
    assert_eq!(status.running, Running::Kept);
    let mut session = crate::runtime::Session::open(&folder.join("taught.onnx"), &SessionOptions::default()).unwrap();
    let best = crate::runtime::Classifier::classify(&mut session, &picture(true, 21), 1).unwrap().predictions.remove(0);
    assert_eq!(&*best.label, "rows");
    // Nothing else is left, and `teach` takes the folder as it is.
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(crate::eval::Dataset::open(folder, None).unwrap().pictures(), 14);
}

#[test]
fn what_means_nothing_is_refused() {
    let at = tempfile::tempdir().unwrap();
    let control = Control::default();
    let lessons = open(at.path(), &control);
    ask(&lessons, r#"{"do": "make", "class": "a"}"#).unwrap();
    for (json, kind, words) in [
        (r#"{"do": "make", "class": "a/b"}"#, ErrorKind::Usage, "has a slash"),
        (r#"{"do": "capture", "class": "b"}"#, ErrorKind::Usage, "there is no class 'b'"),
        (r#"{"do": "capture", "class": "a", "pictures": 0}"#, ErrorKind::Usage, "pictures is 0"),
        (r#"{"do": "capture", "class": "a", "interval": -1}"#, ErrorKind::Usage, "interval is -1"),
        (r#"{"do": "capture", "class": "a", "interval": 1e300}"#, ErrorKind::Usage, "interval is 1"),
        (r#"{"do": "remove", "class": "a", "picture": "../a"}"#, ErrorKind::Usage, "there is no picture"),
        (r#"{"do": "undo"}"#, ErrorKind::Busy, "no captured picture left"),
        (r#"{"do": "keep"}"#, ErrorKind::Busy, "no taught model is being tried"),
        (r#"{"do": "discard"}"#, ErrorKind::Busy, "no taught model is being tried"),
        (r#"{"do": "right"}"#, ErrorKind::Busy, "no taught model is being tried"),
    ] {
        let (found, said) = refused(&lessons, json);
        assert!(found == kind && said.contains(words), "{json}: {said}");
    }
    control.pause();
    assert_eq!(refused(&lessons, r#"{"do": "capture", "class": "a"}"#).1, "the camera is paused: resume it first");
    // What cannot be taught is told by the status.
    ask(&lessons, r#"{"do": "train"}"#).unwrap();
    let status = wait(&lessons, |status| !status.training.is_running());
    let Training::Failed { reason } = status.training else { panic!("{:?}", status.training) };
    assert!(reason.starts_with("there is no picture in "), "{reason}");
}

#[test]
fn a_full_class_ends_the_capture_and_says_so() {
    let at = tempfile::tempdir().unwrap();
    let settings: TeachSettings =
        toml::from_str(&format!("folder = '{}'\nmax-pictures = 1", at.path().display())).unwrap();
    let material = Material {
        settings: &settings,
        region: "gate".into(),
        backbone: None,
        how: SessionOptions::default(),
        threads: 1,
        kept: None,
    };
    let lessons = Lessons::open(material, &Control::default()).unwrap();
    let mut viewer = lessons.viewer().unwrap();
    ask(&lessons, r#"{"do": "make", "class": "rows"}"#).unwrap();
    ask(&lessons, r#"{"do": "capture", "class": "rows", "pictures": 9, "interval": 0}"#).unwrap();
    for number in 0..2 {
        let _ = viewer.deliver(&report(), Some(&picture(true, number))).unwrap();
    }
    let status = wait(&lessons, |status| status.trouble.is_some());
    assert_eq!(pictures(&status, "rows"), 1);
    assert!(status.trouble.unwrap().ends_with("raise max-pictures") && lessons.status().unwrap().capturing.is_none());
}

#[test]
fn large_pictures_are_scaled_down() {
    let image = RgbImage::filled(1920, 1080, [90, 120, 30]);
    let small = picture::decode(&encode(&image, &mut Resizer::default()).unwrap()).unwrap();
    assert_eq!((small.width, small.height), (640, 360));
    let narrow = picture::decode(&encode(&RgbImage::filled(1, 3000, [9; 3]), &mut Resizer::default()).unwrap());
    assert_eq!(narrow.map(|narrow| (narrow.width, narrow.height)).unwrap(), (1, 640));
}
