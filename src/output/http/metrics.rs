//! What `/metrics` answers: counts and times for Prometheus.

use std::fmt;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::feed::Newest;
use crate::prediction::FrameReport;

/// What `Accept` asks for and `Content-Type` says of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// What adds up over results.
#[derive(Debug)]
pub(super) struct Metrics {
    frames: Counter,
    dropped: Counter,
    skipped: Counter,
    damaged: Counter,
    lost: Counter,
    latency: Histogram,
    stages: Stages,
}

/// A histogram for each name of a stage.
type Stages = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// What holds at the moment of the request.
pub(super) struct Now<'a> {
    pub(super) newest: Option<&'a Newest>,
    /// Streams.
    pub(super) viewers: usize,
    /// The processor's, in degrees Celsius.
    pub(super) temperature: Option<f64>,
    /// Whether frames go by without being looked at.
    pub(super) paused: bool,
}

/// From half a millisecond to eight seconds.
fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 15))
}

impl Metrics {
    pub(super) fn new() -> Self {
        let counter = Counter::default;
        Self {
            frames: counter(),
            dropped: counter(),
            skipped: counter(),
            damaged: counter(),
            lost: counter(),
            latency: times(),
            stages: Family::new_with_constructor(times),
        }
    }

    /// Adds a result.
    pub(super) fn add(&self, report: &FrameReport) {
        self.frames.inc();
        // These are totals already.
        for (counter, total) in [
            (&self.dropped, report.dropped),
            (&self.skipped, report.skipped),
            (&self.damaged, report.damaged),
            (&self.lost, report.lost),
        ] {
            counter.inner().store(total, Ordering::Relaxed);
        }
        self.latency.observe(report.latency.as_secs_f64());
        let stages = report.stages;
        for (stage, time) in [
            ("decode", stages.decode),
            ("preprocess", stages.preprocess),
            ("inference", stages.inference),
            ("postprocess", stages.postprocess),
        ] {
            self.stages.get_or_create(&[("stage", stage)]).observe(time.as_secs_f64());
        }
    }

    /// So many frames were skipped so far.
    pub(super) fn skip(&self, total: u64) {
        self.skipped.inner().store(total, Ordering::Relaxed);
    }

    /// Frames that were skipped so far.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.get()
    }

    /// The answer to a request with this `Accept`: `Content-Type` and body. Without a wish it is Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// None but those of a metric that cannot be written.
    pub(super) fn answer(&self, accept: &str, now: &Now<'_>) -> Result<(String, String), fmt::Error> {
        let registry = self.registry(now);
        let mut body = String::new();
        if wants_open_metrics(accept) {
            text::encode(&mut body, &registry)?;
            return Ok((format!("{OPEN_METRICS}; version=1.0.0; charset=utf-8"), body));
        }
        prometheus_text::encode(&mut body, &registry)?;
        Ok((prometheus_text::CONTENT_TYPE.to_owned(), body))
    }

    /// What is known: a value that is not is left out.
    fn registry(&self, now: &Now<'_>) -> Registry {
        let mut all = Registry::with_prefix("densight");
        all.register("frames", "Frames with a result", self.frames.clone());
        all.register("dropped_frames", "Frames captured but not processed", self.dropped.clone());
        all.register("skipped_frames", "Frames not looked at, while the run was paused", self.skipped.clone());
        all.register(
            "damaged_pictures",
            "Pictures that were damaged: used as far as they go, or passed over",
            self.damaged.clone(),
        );
        let lost = "Results that an output could not write, and events that an action had no time for";
        all.register("lost_results", lost, self.lost.clone());
        all.register_with_unit("latency", "From capture to result", Unit::Seconds, self.latency.clone());
        all.register_with_unit("stage", "Time of each stage of a result", Unit::Seconds, self.stages.clone());
        let viewers = ConstGauge::new(u32::try_from(now.viewers).unwrap_or(u32::MAX));
        all.register("viewers", "Streams of pictures at present", viewers);
        all.register("paused", "Whether the run is paused", ConstGauge::new(u32::from(now.paused)));
        if let Some(degrees) = now.temperature {
            all.register_with_unit(
                "temperature",
                "The processor's temperature",
                Unit::Celsius,
                ConstGauge::new(degrees),
            );
        }
        if let Some(newest) = now.newest {
            register_newest(&mut all, newest);
        }
        all
    }
}

/// What the newest result says.
fn register_newest(all: &mut Registry, newest: &Newest) {
    let report = &newest.report;
    let age = ConstGauge::new(newest.age().as_secs_f64());
    all.register_with_unit("result_age", "Time since the newest result", Unit::Seconds, age);
    all.register("frames_per_second", "Results a second over the last second", ConstGauge::new(f64::from(report.fps)));
    if let Some(throttled) = report.throttled {
        let help = "Whether heat or low voltage slows the processor";
        all.register("throttled", help, ConstGauge::new(u32::from(throttled)));
    }
    let (models, states) = (
        Family::<Vec<(&'static str, String)>, Gauge>::default(),
        Family::<Vec<(&'static str, String)>, Gauge>::default(),
    );
    for region in &report.regions {
        let name = ("region", region.name.to_string());
        let model = vec![name.clone(), ("model", region.model.to_string()), ("hash", region.model_hash.to_string())];
        models.get_or_create(&model).set(1);
        for label in region.state.iter().flat_map(|state| &state.labels) {
            states.get_or_create(&vec![name.clone(), ("label", label.to_string())]).set(1);
        }
    }
    all.register("model_info", "The model of each region", models);
    all.register("state", "The labels that hold in each region where states are followed", states);
}

fn wants_open_metrics(accept: &str) -> bool {
    accept.split(',').any(|kind| {
        let mut parts = kind.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(OPEN_METRICS));
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Ok(1.0), str::parse::<f32>);
        is_it && quality.is_ok_and(|quality| quality > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::super::tests::report;
    use super::*;
    use crate::prediction::State;

    fn answer(accept: &str, newest: Option<&Newest>) -> (String, String) {
        let metrics = Metrics::new();
        for _ in 0..if newest.is_some() { 3 } else { 0 } {
            metrics.add(&report());
        }
        metrics.answer(accept, &Now { newest, viewers: 2, temperature: newest.map(|_| 48.5), paused: false }).unwrap()
    }

    fn newest() -> Newest {
        let mut report = report();
        report.regions[0].state = Some(State { labels: vec!["a \"cat\"\n".into()], since: Duration::ZERO });
        Newest::new(report, Instant::now())
    }

    #[test]
    fn what_a_result_says_is_in_prometheus_text() {
        let (kind, body) = answer("*/*", Some(&newest()));
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        for line in [
            "# HELP densight_frames_total Frames with a result.",
            "# TYPE densight_frames_total counter",
            "densight_frames_total 3",
            "densight_dropped_frames_total 7",
            "densight_skipped_frames_total 0",
            "densight_damaged_pictures_total 2",
            "densight_lost_results_total 0",
            "# TYPE densight_latency_seconds histogram",
            "densight_latency_seconds_count 3",
            "densight_latency_seconds_bucket{le=\"0.016\"} 0",
            "densight_latency_seconds_bucket{le=\"0.032\"} 3",
            "densight_stage_seconds_bucket{stage=\"inference\",le=\"0.032\"} 3",
            "densight_stage_seconds_bucket{stage=\"postprocess\",le=\"0.0005\"} 3",
            "densight_viewers 2",
            "densight_paused 0",
            "densight_temperature_celsius 48.5",
            "densight_frames_per_second 29.75",
            "densight_throttled 0",
            "densight_model_info{region=\"frame\",model=\"densenet121\",hash=\"0123456789abcdef\"} 1",
            "densight_state{region=\"frame\",label=\"a \\\"cat\\\"\\n\"} 1",
        ] {
            assert!(body.lines().any(|found| found == line), "{line} is not in\n{body}");
        }
        assert!(body.contains("\ndensight_result_age_seconds ") && !body.contains("# EOF"));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let (_, body) = answer("", None);
        assert!(body.contains("densight_frames_total 0\n"));
        for name in ["result_age", "temperature", "throttled", "model", "state", "stage"] {
            assert!(!body.contains(&format!("densight_{name}")), "{name} is in\n{body}");
        }
    }

    #[test]
    fn open_metrics_is_for_those_who_ask() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let (kind, body) = answer(prometheus, None);
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        assert!(body.ends_with("# EOF\n") && body.contains("# TYPE densight_frames counter\n"));
        for accept in ["", "text/plain", "application/openmetrics-text;q=0", "application/openmetrics-textual"] {
            assert!(!wants_open_metrics(accept), "{accept}");
        }
    }

    /// Names of metrics in an expression.
    fn named(expression: &str) -> impl Iterator<Item = &str> {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("densight_"))
    }

    /// All texts under this key.
    fn texts<'a>(key: &str, value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
        match value {
            serde_json::Value::Array(values) => values.iter().for_each(|value| texts(key, value, found)),
            serde_json::Value::Object(members) => {
                found.extend(members.get(key).and_then(serde_json::Value::as_str));
                members.values().for_each(|value| texts(key, value, found));
            }
            _ => {}
        }
    }

    #[test]
    fn the_dashboard_asks_for_metrics_and_labels_that_there_are() {
        let (_, body) = answer("*/*", Some(&newest()));
        let series = body.lines().filter(|line| !line.starts_with('#'));
        let known: std::collections::BTreeSet<&str> = series.filter_map(|line| line.split(['{', ' ']).next()).collect();
        let dashboard: serde_json::Value = serde_json::from_str(include_str!("../../../docs/grafana.json")).unwrap();
        let mut expressions = Vec::new();
        texts("expr", &dashboard, &mut expressions);
        texts("definition", &dashboard, &mut expressions);
        assert!(expressions.len() > 15, "{expressions:?}");
        for expression in &expressions {
            assert!(named(expression).count() > 0, "{expression}");
            for name in named(expression) {
                assert!(known.contains(name), "{name} is none of {known:?}");
            }
        }
        // But for `instance`, which Prometheus adds.
        let mut legends = Vec::new();
        texts("legendFormat", &dashboard, &mut legends);
        let labels =
            legends.iter().flat_map(|legend| legend.split("{{").skip(1)).filter_map(|rest| rest.split("}}").next());
        for label in labels.filter(|&label| label != "instance") {
            assert!(body.contains(&format!("{label}=\"")), "no metric has the label {label}");
        }
    }
}
