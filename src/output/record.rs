//! One frame's result as a line of JSON: what `json://` writes and the web page's `/status.json` answers.
//!
//! Schema 1. A program that reads it should ignore members it does not know: members may be added under the same
//! number, a changed meaning gets a new one. Times are whole microseconds.
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `schema` | integer | 1 |
//! | `camera` | string, null | the camera's name, if it was given one |
//! | `sequence` | integer | position in the source's sequence, from 0 |
//! | `timestamp` | integer | wall-clock time of capture, microseconds since 1970-01-01 UTC |
//! | `monotonic_us` | integer | time of capture since the program started, unaffected by clock changes |
//! | `origin` | string, null | file the frame came from |
//! | `model` | string | the model's name |
//! | `model_hash` | string | first 16 hexadecimal digits of the model file's SHA-256 |
//! | `stages` | object | `decode_us`, `preprocess_us`, `inference_us`, `postprocess_us` |
//! | `latency_us` | integer | from capture to result |
//! | `fps` | number, null | results a second |
//! | `dropped` | integer | frames captured but not processed, so far |
//! | `skipped` | integer | frames taken and not looked at, since the run was paused, so far |
//! | `damaged` | integer | pictures that were damaged (used as far as they go, or passed over), so far |
//! | `lost` | integer | results that an output could not write, and events that an action had no time for, so far |
//! | `paused` | boolean | whether the run is paused now; only what `/status.json` answers can say so |
//! | `partial` | boolean | whether this picture is damaged, and was used as far as it goes |
//! | `regions` | array | region by region, see below |
//! | `events` | array | states that changed with this frame: `time` (as `timestamp`), `region`, `label` (null: none holds any more), `active` (whether it holds from now on), `score` |
//! | `throttled` | boolean, null | whether heat or low voltage slows the processor; null where it cannot be told |
//! | `predictions` | array | of the first region, best classes first: `class` (integer), `label` (string), `score` (0 to 1), `accepted` (boolean: false where the picture is unknown, so that none of the classes is meant) |
//! | `unknown` | object, null | of the first region: `score` (0 to 1) for what the network does not know, `threshold` beyond which it is that; null where the model does not tell |
//!
//! `model` and `model_hash` are the first region's, too. Of each region there is:
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `name` | string | its name; `frame` where the settings name none |
//! | `area` | array | left, top, width, height in pixels |
//! | `model`, `model_hash` | string | as above |
//! | `predictions`, `unknown` | array, object | as above |
//! | `state` | object, null | `labels` (those that hold; none: uncertain), `since_us` (on the clock of `monotonic_us`); null where no state is followed |
//!
//! JSON has no infinities and no NaN: such a number is `null`.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::prediction::{self, Event, FrameReport, RegionReport};
use crate::text;

/// `report` as one line, with its line end; of a run that is paused now, with how many frames it has skipped by now.
pub(super) fn line(report: &FrameReport, paused: Option<u64>) -> String {
    let record = Record {
        schema: 1,
        camera: report.camera.as_deref(),
        sequence: report.sequence,
        timestamp: unix_micros(report.timestamp),
        monotonic_us: micros(report.monotonic),
        origin: report.origin.as_deref(),
        model: report.model(),
        model_hash: report.regions.first().map_or("", |region| &region.model_hash),
        stages: Stages {
            decode_us: micros(report.stages.decode),
            preprocess_us: micros(report.stages.preprocess),
            inference_us: micros(report.stages.inference),
            postprocess_us: micros(report.stages.postprocess),
        },
        latency_us: micros(report.latency),
        fps: report.fps,
        dropped: report.dropped,
        skipped: paused.unwrap_or(report.skipped),
        damaged: report.damaged,
        lost: report.lost,
        paused: paused.is_some(),
        partial: report.partial,
        throttled: report.throttled,
        predictions: report.regions.first().map_or_else(Vec::new, scored),
        unknown: report.regions.first().and_then(unknown),
        regions: report.regions.iter().map(region).collect(),
        events: report.events.iter().map(event).collect(),
    };
    // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
    let mut line = text::json(&record).unwrap_or_default();
    line.push('\n');
    line
}

/// `event` as a member of JSON.
pub(super) fn event(event: &Event) -> Changed<'_> {
    Changed {
        time: unix_micros(event.time),
        region: &event.region,
        label: event.label.as_deref(),
        active: event.active,
        score: event.score,
    }
}

fn region(region: &RegionReport) -> Region<'_> {
    let area = region.area;
    Region {
        name: &region.name,
        area: [area.left, area.top, area.width, area.height],
        model: &region.model,
        model_hash: &region.model_hash,
        predictions: scored(region),
        unknown: unknown(region),
        state: region.state.as_ref().map(|state| Held {
            labels: state.labels.iter().map(|label| &**label).collect(),
            since_us: micros(state.since),
        }),
    }
}

fn scored(region: &RegionReport) -> Vec<Scored<'_>> {
    let accepted = !region.is_unknown();
    region.predictions.iter().map(|p| Scored { class: p.class, label: &p.label, score: p.score, accepted }).collect()
}

fn unknown(region: &RegionReport) -> Option<Unknown> {
    region.unknown.map(|prediction::Unknown { score, threshold }| Unknown { score, threshold })
}

#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
    camera: Option<&'a str>,
    sequence: u64,
    timestamp: i64,
    monotonic_us: u64,
    origin: Option<&'a str>,
    model: &'a str,
    model_hash: &'a str,
    stages: Stages,
    latency_us: u64,
    fps: f32,
    dropped: u64,
    skipped: u64,
    damaged: u64,
    lost: u64,
    paused: bool,
    partial: bool,
    throttled: Option<bool>,
    predictions: Vec<Scored<'a>>,
    unknown: Option<Unknown>,
    regions: Vec<Region<'a>>,
    events: Vec<Changed<'a>>,
}

#[derive(Serialize)]
struct Region<'a> {
    name: &'a str,
    area: [u32; 4],
    model: &'a str,
    model_hash: &'a str,
    predictions: Vec<Scored<'a>>,
    unknown: Option<Unknown>,
    state: Option<Held<'a>>,
}

#[derive(Serialize)]
struct Held<'a> {
    labels: Vec<&'a str>,
    since_us: u64,
}

/// An event.
#[derive(Serialize)]
pub(super) struct Changed<'a> {
    time: i64,
    region: &'a str,
    label: Option<&'a str>,
    active: bool,
    score: f32,
}

#[derive(Serialize)]
struct Stages {
    decode_us: u64,
    preprocess_us: u64,
    inference_us: u64,
    postprocess_us: u64,
}

#[derive(Serialize)]
struct Scored<'a> {
    class: usize,
    label: &'a str,
    score: f32,
    accepted: bool,
}

#[derive(Serialize)]
struct Unknown {
    score: f32,
    threshold: f32,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970; boards without a battery-backed clock may well be before it.
pub(super) fn unix_micros(time: SystemTime) -> i64 {
    let signed = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    time.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|before| -signed(before.duration()), signed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;
    use crate::prediction::State;

    #[test]
    fn a_record_is_one_line_of_schema_1() {
        let expected = concat!(
            r#"{"schema":1,"camera":null,"sequence":41,"timestamp":1700000000123456,"monotonic_us":3000001,"#,
            r#""origin":"photos/cat \"1\".jpg","model":"densenet121","model_hash":"0123456789abcdef","#,
            r#""stages":{"decode_us":1500,"preprocess_us":700,"inference_us":20250,"postprocess_us":9},"#,
            r#""latency_us":23456,"fps":29.75,"dropped":7,"skipped":0,"damaged":2,"lost":0,"#,
            r#""paused":false,"partial":false,"throttled":false,"#,
            r#""predictions":[{"class":285,"label":"Egyptian cat","score":0.9375,"accepted":true},"#,
            r#"{"class":281,"label":"tabby","score":0.03125,"accepted":true}],"unknown":null,"#,
            r#""regions":[{"name":"frame","area":[0,0,640,480],"model":"densenet121","model_hash":"0123456789abcdef","#,
            r#""predictions":[{"class":285,"label":"Egyptian cat","score":0.9375,"accepted":true},"#,
            r#"{"class":281,"label":"tabby","score":0.03125,"accepted":true}],"unknown":null,"state":null}],"events":[]}"#,
            "\n"
        );
        assert_eq!(line(&report(), None), expected);
    }

    #[test]
    fn states_and_events_are_in_the_record() {
        let mut report = report();
        let (since, time) = (Duration::from_micros(2_500_000), report.timestamp);
        report.regions[0].state = Some(State { labels: vec!["open".into()], since });
        let event = Event { time, region: "frame".into(), label: Some("open".into()), active: true, score: 0.875 };
        report.events = vec![event.clone(), Event { label: None, ..event }];
        let value: serde_json::Value = serde_json::from_str(&line(&report, None)).unwrap();
        assert_eq!(value["regions"][0]["state"], serde_json::json!({ "labels": ["open"], "since_us": 2_500_000 }));
        let expected = serde_json::json!({
            "time": 1_700_000_000_123_456_i64, "region": "frame", "label": "open", "active": true, "score": 0.875
        });
        assert_eq!(value["events"][0], expected);
        assert!(value["events"][1]["label"].is_null());
    }

    #[test]
    fn of_what_is_unknown_no_class_is_accepted() {
        let mut report = report();
        report.regions[0].unknown = Some(prediction::Unknown { score: 0.75, threshold: 0.5 });
        let value: serde_json::Value = serde_json::from_str(&line(&report, None)).unwrap();
        assert_eq!(value["unknown"], serde_json::json!({ "score": 0.75, "threshold": 0.5 }));
        assert_eq!(value["regions"][0]["unknown"], value["unknown"]);
        assert_eq!((&value["predictions"][0]["accepted"], &value["schema"]), (&false.into(), &1.into()));
        report.regions[0].unknown = Some(prediction::Unknown { score: 0.5, threshold: 0.5 });
        let value: serde_json::Value = serde_json::from_str(&line(&report, None)).unwrap();
        assert_eq!(value["predictions"][0]["accepted"], true);
    }

    #[test]
    fn unusual_values_stay_valid_json() {
        let mut report = report();
        report.timestamp = SystemTime::UNIX_EPOCH - Duration::from_micros(5);
        report.monotonic = Duration::MAX;
        report.fps = f32::NAN;
        report.throttled = None;
        report.origin = None;
        report.regions[0].predictions[0].label = "a\nb\u{1f408}\u{9b}2J".into();
        let text = line(&report, None);
        assert!(text.trim_end_matches('\n').chars().all(text::is_harmless), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["timestamp"], -5);
        assert_eq!(value["monotonic_us"], u64::MAX);
        assert!(value["fps"].is_null() && value["throttled"].is_null() && value["origin"].is_null());
        assert_eq!(value["predictions"][0]["label"], "a\nb\u{1f408}\u{9b}2J");
    }
}
