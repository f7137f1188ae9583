//! One frame's result as a line of JSON: what `json://` writes and the web page's `/status.json` answers.
//!
//! Schema 1. A program that reads it should ignore members it does not know: members may be added under the same
//! number, a changed meaning gets a new one. Times are whole microseconds.
//!
//! | member | type | meaning |
//! |---|---|---|
//! | `schema` | integer | 1 |
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
//! | `damaged` | integer | pictures that were damaged (used as far as they go, or passed over), so far |
//! | `partial` | boolean | whether this picture is damaged, and was used as far as it goes |
//! | `throttled` | boolean, null | whether heat or low voltage slows the processor; null where it cannot be told |
//! | `predictions` | array | best classes first: `class` (integer), `label` (string), `score` (0 to 1) |
//!
//! JSON has no infinities and no NaN: such a number is `null`.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::prediction::FrameReport;
use crate::text;

/// `report` as one line, with its line end.
pub(super) fn line(report: &FrameReport) -> String {
    let record = Record {
        schema: 1,
        sequence: report.sequence,
        timestamp: unix_micros(report.timestamp),
        monotonic_us: micros(report.monotonic),
        origin: report.origin.as_deref(),
        model: &report.model,
        model_hash: &report.model_hash,
        stages: Stages {
            decode_us: micros(report.stages.decode),
            preprocess_us: micros(report.stages.preprocess),
            inference_us: micros(report.stages.inference),
            postprocess_us: micros(report.stages.postprocess),
        },
        latency_us: micros(report.latency),
        fps: report.fps,
        dropped: report.dropped,
        damaged: report.damaged,
        partial: report.partial,
        throttled: report.throttled,
        predictions: report
            .predictions
            .iter()
            .map(|p| Scored { class: p.class, label: &p.label, score: p.score })
            .collect(),
    };
    // Only maps with keys that are no strings, or a failing writer, could fail; there is neither.
    let mut line = text::json(&record).unwrap_or_default();
    line.push('\n');
    line
}

#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
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
    damaged: u64,
    partial: bool,
    throttled: Option<bool>,
    predictions: Vec<Scored<'a>>,
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
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970; boards without a battery-backed clock may well be before it.
fn unix_micros(time: SystemTime) -> i64 {
    let signed = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    time.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|before| -signed(before.duration()), signed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_record_is_one_line_of_schema_1() {
        let expected = concat!(
            r#"{"schema":1,"sequence":41,"timestamp":1700000000123456,"monotonic_us":3000001,"#,
            r#""origin":"photos/cat \"1\".jpg","model":"densenet121","model_hash":"0123456789abcdef","#,
            r#""stages":{"decode_us":1500,"preprocess_us":700,"inference_us":20250,"postprocess_us":9},"#,
            r#""latency_us":23456,"fps":29.75,"dropped":7,"damaged":2,"partial":false,"throttled":false,"#,
            r#""predictions":[{"class":285,"label":"Egyptian cat","score":0.9375},"#,
            r#"{"class":281,"label":"tabby","score":0.03125}]}"#,
            "\n"
        );
        assert_eq!(line(&report()), expected);
    }

    #[test]
    fn unusual_values_stay_valid_json() {
        let mut report = report();
        report.timestamp = SystemTime::UNIX_EPOCH - Duration::from_micros(5);
        report.monotonic = Duration::MAX;
        report.fps = f32::NAN;
        report.throttled = None;
        report.origin = None;
        report.predictions[0].label = "a\nb\u{1f408}\u{9b}2J".into();
        let text = line(&report);
        assert!(text.trim_end_matches('\n').chars().all(text::is_harmless), "{text}");
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["timestamp"], -5);
        assert_eq!(value["monotonic_us"], u64::MAX);
        assert!(value["fps"].is_null() && value["throttled"].is_null() && value["origin"].is_null());
        assert_eq!(value["predictions"][0]["label"], "a\nb\u{1f408}\u{9b}2J");
    }
}
