//! A benchmark's result as JSON and as text.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::timings::milliseconds;
use super::{Block, Comparison, Course, Layers, Setting, Timings};
use crate::cpu::Machine;
use crate::text;

/// Percentiles that are always reported.
const PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];
/// A run is warm that takes no more than so many times the median.
const WARM: f64 = 1.1;
/// The most of the first runs that are listed.
const LISTED: usize = 20;

/// What a benchmark found. As JSON: `min_ms`, `mean_ms`, one `pN_ms` for each percentile (50, 90 and 99 always),
/// `iterations`, `threads`, `model`, `throttled` (true, false or null for unknown), `void`, `cold`, `stages` where stages
/// were measured, and what [`Described`], [`Layers`] and [`Comparison`] hold.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    #[serde(flatten)]
    times: Map<String, Value>,
    iterations: u64,
    threads: usize,
    model: String,
    throttled: Option<bool>,
    void: bool,
    /// The first runs.
    pub cold: Cold,
    #[serde(skip_serializing_if = "Map::is_empty")]
    stages: Map<String, Value>,
    /// What was measured, and where.
    #[serde(flatten)]
    pub described: Option<Described>,
    /// What each layer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
    /// The same beside another measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    blocks: Vec<Block>,
}

/// What was measured, and where.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Described {
    /// Version of the program.
    pub version: &'static str,
    /// What is the same in a measurement that can be compared.
    pub setting: Setting,
    /// The board's name.
    pub board: Option<String>,
    /// What chooses the processor's clock.
    pub governor: Option<String>,
    /// What the sensors said.
    #[serde(flatten)]
    pub course: Course,
}

impl Described {
    /// The description of a measurement on `machine`.
    pub fn new(setting: Setting, machine: Machine, course: Course) -> Self {
        let (board, governor) = (machine.board, machine.governor);
        Self { version: env!("CARGO_PKG_VERSION"), setting, board, governor, course }
    }
}

/// The first runs after a model was loaded: memory is touched for the first time, caches are empty, the clock may still rise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cold {
    /// Time to load the model, in milliseconds, if that was measured.
    pub load_ms: Option<f64>,
    /// The first run.
    pub first_ms: f64,
    /// The first runs, 20 at most.
    pub runs_ms: Vec<f64>,
    /// How many runs there were before one took no more than 1.1 times the median; `None` if none did among those listed.
    pub runs_to_warm: Option<usize>,
}

impl Cold {
    fn of(timings: &Timings) -> Self {
        let runs = timings.warm_up().iter().chain(timings.samples()).take(LISTED);
        let runs_ms: Vec<f64> = runs.map(|run| milliseconds(*run)).collect();
        let warm = WARM * timings.percentile_ms(50.0);
        let runs_to_warm = runs_ms.iter().position(|ms| *ms <= warm);
        Self { load_ms: None, first_ms: runs_ms[0], runs_to_warm, runs_ms }
    }
}

impl fmt::Display for Cold {
    /// One line, with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(load) = self.load_ms {
            write!(f, "loaded in {load:.1} ms, ")?;
        }
        write!(f, "first run {:.3} ms, ", self.first_ms)?;
        match self.runs_to_warm {
            Some(0) => writeln!(f, "as the median"),
            Some(runs) => writeln!(f, "near the median after {runs}"),
            None => writeln!(f, "not near the median within {} runs", self.runs_ms.len()),
        }
    }
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
            cold: Cold::of(timings),
            stages: Map::new(),
            described: None,
            layers: None,
            comparison: None,
            blocks: timings.blocks().to_vec(),
        }
    }

    /// Adds the timings of one stage of the same calls.
    #[must_use]
    pub fn with_stage(mut self, name: &str, timings: &Timings, percentiles: &[f64]) -> Self {
        self.stages.insert(name.to_owned(), Value::Object(times(timings, percentiles)));
        self
    }

    /// Adds the time that it took to load the model.
    #[must_use]
    pub fn loaded_in(mut self, time: Duration) -> Self {
        self.cold.load_ms = Some(milliseconds(time));
        self
    }

    /// Whether the processor was slowed down during the measurement, so that it says nothing.
    pub fn is_void(&self) -> bool {
        self.void
    }

    /// The model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Number of compute threads.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Names of times and their values in milliseconds, in the order in which they are shown.
    pub(super) fn times(&self) -> impl Iterator<Item = (&str, f64)> {
        self.times.iter().filter_map(|(name, ms)| Some((name.trim_end_matches("_ms"), ms.as_f64()?)))
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
        write!(f, "{}", self.cold)?;
        if let Some(described) = &self.described {
            write!(f, "{}", described.course)?;
        }
        if let Some(layers) = &self.layers {
            write!(f, "\n{layers}")?;
        }
        if let Some(comparison) = &self.comparison {
            writeln!(f, "{comparison}")?;
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
    use super::*;
    use crate::cpu::Reading;

    fn timings(throttled: Option<bool>) -> Timings {
        let reading = (Duration::ZERO, Reading { throttled, ..Reading::default() });
        Timings::new((1..=10).map(Duration::from_millis).collect(), vec![reading])
    }

    #[test]
    fn json_has_the_agreed_keys() {
        let json = serde_json::to_string(&Report::new("tiny", 1, &timings(None), &[])).unwrap();
        let expected = concat!(
            r#"{"min_ms":1.0,"mean_ms":5.5,"p50_ms":5.0,"p90_ms":9.0,"p99_ms":10.0,"#,
            r#""iterations":10,"threads":1,"model":"tiny","throttled":null,"void":false,"#,
            r#""cold":{"load_ms":null,"first_ms":1.0,"runs_ms":[1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0,9.0,10.0],"#,
            r#""runs_to_warm":0},"blocks":[]}"#
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
        let stage = Timings::new(vec![Duration::from_micros(1500)], Vec::new());
        let report = Report::new("tiny", 1, &timings(Some(false)), &[]).with_stage("inference", &stage, &[]);
        let expected = "\
tiny, 1 thread, 10 iterations, milliseconds
                   min      mean       p50       p90       p99
inference        1.500     1.500     1.500     1.500     1.500
total            1.000     5.500     5.000     9.000    10.000
first run 1.000 ms, as the median
the processor was not slowed down
";
        assert_eq!(report.to_string(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["stages"]["inference"]["p99_ms"], 1.5);
    }

    #[test]
    fn cold_runs_are_counted_from_the_first() {
        let of = |first: &[u64]| {
            let first = first.iter().copied().map(Duration::from_millis).collect();
            let timings = timings(None).with(first, Vec::new());
            Report::new("tiny", 1, &timings, &[]).loaded_in(Duration::from_millis(80)).cold
        };
        let cold = of(&[40, 9, 6, 5]);
        assert_eq!((cold.first_ms, cold.runs_to_warm, cold.runs_ms.len()), (40.0, Some(3), 14));
        assert_eq!(cold.to_string(), "loaded in 80.0 ms, first run 40.000 ms, near the median after 3\n");
        assert_eq!(of(&[40; 30]).runs_to_warm, None);
    }
}
