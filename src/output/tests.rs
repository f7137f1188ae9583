//! What all sinks have in common, and a report for their tests.

use std::time::{Duration, SystemTime};

use super::*;
use crate::frame::Area;
use crate::prediction::{Prediction, RegionReport, StageTimes};

/// A frame's report with two classes.
pub(super) fn report() -> FrameReport {
    let prediction = |class, label: &str, score| Prediction { class, label: label.into(), score };
    FrameReport {
        camera: None,
        sequence: 41,
        timestamp: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        monotonic: Duration::from_micros(3_000_001),
        origin: Some("photos/cat \"1\".jpg".into()),
        regions: vec![RegionReport {
            name: "frame".into(),
            area: Area { left: 0, top: 0, width: 640, height: 480 },
            model: "densenet121".into(),
            model_hash: "0123456789abcdef".into(),
            predictions: vec![prediction(285, "Egyptian cat", 0.9375), prediction(281, "tabby", 0.03125)],
            unknown: None,
            state: None,
            heat: None,
        }],
        events: Vec::new(),
        stages: StageTimes {
            decode: Duration::from_micros(1500),
            preprocess: Duration::from_micros(700),
            inference: Duration::from_micros(20_250),
            postprocess: Duration::from_micros(9),
        },
        latency: Duration::from_micros(23_456),
        fps: 29.75,
        dropped: 7,
        skipped: 0,
        damaged: 2,
        lost: 0,
        partial: false,
        throttled: Some(false),
    }
}

fn refused(uri: &str) -> Error {
    open(uri, &SinkOptions::default()).err().unwrap_or_else(|| panic!("{uri} was opened"))
}

#[test]
fn unknown_outputs_are_usage_errors_that_list_the_known_ones() {
    for uri in ["ftp://x", "out.png", ""] {
        let error = refused(uri);
        assert_eq!(error.kind(), ErrorKind::Usage, "{uri}");
        for known in ["json://", "file://", "http://", "null://"] {
            assert!(error.to_string().contains(known), "{error}");
        }
    }
    let expected =
        if cfg!(feature = "spi") { "names no bus and chip select" } else { "built without spi:// (feature spi)" };
    assert!(refused("spi:///dev/spidev0.0").to_string().contains(expected));
    assert!(refused("mqtt://host/topic").to_string().ends_with("name it in the settings file, [mqtt]"));
    for uri in ["json://", "file://", "http://", "terminal://x", "null://x", "fb://x", "drm://0?turn=1"] {
        assert_eq!(refused(uri).kind(), ErrorKind::Usage, "{uri}");
    }
}

#[test]
fn jpeg_quality_has_limits() {
    for (jpeg_quality, good) in [(0, false), (1, true), (100, true), (101, false)] {
        assert_eq!(
            open("null://", &SinkOptions { jpeg_quality, ..Default::default() }).is_ok(),
            good,
            "{jpeg_quality}"
        );
    }
}

#[test]
fn plain_sinks_want_no_picture() {
    for uri in ["-", "terminal://", "terminal://?changes", "json://-", "null://"] {
        assert!(!open(uri, &SinkOptions::default()).unwrap().wants_picture(), "{uri}");
    }
}

#[test]
fn one_output_only_writes_to_standard_output() {
    let check = |uris: &[&str]| check_together(&uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>());
    for uris in [&["-", "json://x"][..], &["json://-", "null://", "file://-.png"], &["terminal://"], &[]] {
        check(uris).unwrap();
    }
    for uris in [["-", "json://-"], ["json://-", "terminal://?changes"], ["-", "-"]] {
        let error = check(&uris).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(uris.iter().all(|uri| error.to_string().contains(&format!("'{uri}'"))), "{error}");
    }
}

/// Of pictures that are wanted as they are, the loop is told so.
#[test]
fn an_overlay_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let overlay = |query: &str| {
        let uri = format!("file://{}/%d.png{query}", folder.path().display());
        let sink = open(&uri, &SinkOptions::default()).unwrap();
        assert!(sink.wants_picture() && sink.describe().contains("%d.png"), "{}", sink.describe());
        sink.wants_overlay()
    };
    assert_eq!(["", "?overlay=on", "?overlay=off"].map(overlay), [true, true, false]);
    let refused = |uri: &str| open(uri, &SinkOptions::default()).err().unwrap().to_string();
    assert!(refused("file://x.png?overlay=no").contains("overlay=on or overlay=off"));
    assert!(refused("json://x?overlay=off").contains("no pictures"));
    assert!(refused("fb://0?rotate=45&overlay=off").contains("rotate=90"));
}
