//! A benchmark's result as JSON and as text.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Timings;
use crate::text;

/// Percentiles that are always reported.
const PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];

/// What a benchmark found. As JSON: `min_ms`, `mean_ms`, one `pN_ms` for each percentile (50, 90 and 99 always),
/// `iterations`, `threads`, `model`, `throttled` (true, false or null for unknown), `void`, and `stages` where stages
/// were measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    #[serde(flatten)]
    times: Map<String, Value>,
    iterations: u64,
    threads: usize,
    model: String,
    throttled: Option<bool>,
    void: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    stages: Map<String, Value>,
}

impl Report {
    /// A report of `timings` with the given percentiles (each above 0 and at most 100) beside 50, 90 and 99.
    pub fn new(model: &str, threads: usize, timings: &Timings, percentiles: &[f64]) -> Self {
        Self {
            times: times(timings, percentiles),
            iterations: timings.iterations(),
            threads,
            model: model.to_owned(),
            throttled: timings.throttled(),
            void: timings.throttled() == Some(true),
            stages: Map::new(),
        }
    }

    /// Adds the timings of one stage of the same calls.
    #[must_use]
    pub fn with_stage(mut self, name: &str, timings: &Timings, percentiles: &[f64]) -> Self {
        self.stages.insert(name.to_owned(), Value::Object(times(timings, percentiles)));
        self
    }

    /// Whether the processor was slowed down during the measurement, so that it says nothing.
    pub fn is_void(&self) -> bool {
        self.void
    }
}

/// Names and values in the order in which they are shown.
fn times(timings: &Timings, percentiles: &[f64]) -> Map<String, Value> {
    let mut percentiles = [&PERCENTILES[..], percentiles].concat();
    percentiles.sort_by(f64::total_cmp);
    percentiles.dedup();
    let values = percentiles.into_iter().map(|p| (format!("p{p}_ms"), timings.percentile_ms(p)));
    let first = [("min_ms".to_owned(), timings.min_ms()), ("mean_ms".to_owned(), timings.mean_ms())];
    first.into_iter().chain(values).map(|(name, ms)| (name, Value::from(ms))).collect()
}

impl fmt::Display for Report {
    /// A table for a terminal, with a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.threads == 1 { "1 thread".into() } else { format!("{} threads", self.threads) };
        writeln!(f, "{}, {threads}, {} iterations, milliseconds", text::name(&self.model), self.iterations)?;
        write!(f, "{:12}", "")?;
        for name in self.times.keys() {
            write!(f, " {:>9}", name.trim_end_matches("_ms"))?;
        }
        writeln!(f)?;
        let stages = self.stages.iter().filter_map(|(name, times)| Some((name.as_str(), times.as_object()?)));
        for (name, times) in stages.chain([("total", &self.times)]) {
            write!(f, "{name:12}")?;
            for ms in times.values().filter_map(Value::as_f64) {
                write!(f, " {ms:>9.3}")?;
            }
            writeln!(f)?;
        }
        match self.throttled {
            Some(true) => {
                writeln!(f, "VOID: the processor was slowed down by heat or low voltage during the measurement")
            }
            Some(false) => writeln!(f, "the processor was not slowed down"),
            None => writeln!(f, "this system does not tell whether the processor was slowed down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn timings(throttled: Option<bool>) -> Timings {
        Timings::new((1..=10).map(Duration::from_millis).collect(), throttled)
    }

    #[test]
    fn json_has_the_agreed_keys() {
        let json = serde_json::to_string(&Report::new("tiny", 1, &timings(None), &[])).unwrap();
        let expected = concat!(
            r#"{"min_ms":1.0,"mean_ms":5.5,"p50_ms":5.0,"p90_ms":9.0,"p99_ms":10.0,"#,
            r#""iterations":10,"threads":1,"model":"tiny","throttled":null,"void":false}"#
        );
        assert_eq!(json, expected);
    }

    #[test]
    fn percentiles_asked_for_come_in_order_and_once() {
        let report = Report::new("tiny", 2, &timings(None), &[99.9, 90.0, 20.0]);
        let keys: Vec<&String> = report.times.keys().collect();
        assert_eq!(keys, ["min_ms", "mean_ms", "p20_ms", "p50_ms", "p90_ms", "p99_ms", "p99.9_ms"]);
    }

    #[test]
    fn a_throttled_measurement_is_void() {
        for (throttled, void) in [(None, false), (Some(false), false), (Some(true), true)] {
            let report = Report::new("tiny", 1, &timings(throttled), &[]);
            assert_eq!((report.is_void(), report.to_string().contains("VOID")), (void, void), "{throttled:?}");
        }
    }

    #[test]
    fn stages_are_rows_and_objects() {
        let stage = Timings::new(vec![Duration::from_micros(1500)], None);
        let report = Report::new("tiny", 1, &timings(Some(false)), &[]).with_stage("inference", &stage, &[]);
        let expected = "\
tiny, 1 thread, 10 iterations, milliseconds
                   min      mean       p50       p90       p99
inference        1.500     1.500     1.500     1.500     1.500
total            1.000     5.500     5.000     9.000    10.000
the processor was not slowed down
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["stages"]["inference"]["p99_ms"], 1.5);
    }
}
