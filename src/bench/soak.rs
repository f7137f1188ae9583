//! Hours of runs: whether latency or memory drifts.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cpu::Reading;

/// Rows that a drift is computed from, at least.
const FEWEST: usize = 4;
/// A drift is beyond a bound where it is so by as many standard errors.
const ERRORS: f64 = 3.0;
/// Shortest and longest run that are told apart, in nanoseconds: histograms have all their memory from the beginning.
const BOUNDS_NS: (u64, u64) = (1_000, 3_600_000_000_000);
const MIB: f64 = (1 << 20) as f64;

/// What a soak may drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bounds {
    /// Growth of the memory, in MiB an hour.
    pub memory_mib_per_hour: f64,
    /// Growth of the median latency over the whole time, in percent.
    pub latency_percent: f64,
}

/// A minute of a soak, or as long as was asked for. In JSON its members, `null` for what the machine does not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Minute {
    /// Minutes from the beginning to its end.
    pub minutes: f64,
    /// Number of runs.
    pub runs: u64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// Memory of the process, in MiB.
    pub resident_mib: Option<f64>,
    /// The processor's temperature, in degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Clock of the fastest core, in MHz.
    pub clock_mhz: Option<f64>,
    /// Whether the processor was slowed down.
    pub throttled: Option<bool>,
}

impl Minute {
    /// The first line of a table of them.
    pub const HEAD: &str = "minute      runs    p50 ms    p99 ms  resident MiB      °C     MHz\n";
}

impl fmt::Display for Minute {
    /// A line of a table, with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let maybe = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".into(), |v| format!("{v:.digits$}"));
        let Self { minutes, runs, p50_ms, p99_ms, .. } = self;
        let [memory, temperature] = [self.resident_mib, self.temperature_c].map(|value| maybe(value, 1));
        let (clock, slowed) =
            (maybe(self.clock_mhz, 0), if self.throttled == Some(true) { "  slowed down" } else { "" });
        writeln!(f, "{minutes:6.1} {runs:9} {p50_ms:9.3} {p99_ms:9.3} {memory:>13} {temperature:>7} {clock:>7}{slowed}")
    }
}

/// How fast a value grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Drift {
    /// Growth in an hour.
    pub per_hour: f64,
    /// The standard error of that.
    pub error: f64,
}

impl Drift {
    /// The slope of the line nearest to these points (hours, value), by least squares; `None` for fewer than 4.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        if points.len() < FEWEST {
            return None;
        }
        let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / n;
        let (x, y) = (mean(|p| p.0), mean(|p| p.1));
        let spread: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
        if spread <= 0.0 {
            return None;
        }
        let per_hour = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread;
        let rest: f64 = points.iter().map(|p| (p.1 - y - per_hour * (p.0 - x)).powi(2)).sum();
        Some(Self { per_hour, error: (rest / (n - 2.0) / spread).sqrt() })
    }

    /// Whether it is greater than `bound` by more than chance.
    fn is_beyond(self, bound: f64) -> bool {
        self.per_hour - ERRORS * self.error > bound
    }
}

/// A soak so far.
#[derive(Debug)]
pub struct Soak {
    minutes: Vec<Minute>,
    now: Histogram<u64>,
    all: Histogram<u64>,
}

/// What a soak came to. In JSON its members.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Hours that it went on.
    pub hours: f64,
    /// Number of runs.
    pub runs: u64,
    /// Median latency of all, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of all, in milliseconds.
    pub p99_ms: f64,
    /// The longest run, in milliseconds.
    pub longest_ms: f64,
    /// Growth of the memory, in MiB; `None` where it is not told, or was too short.
    pub memory_mib: Option<Drift>,
    /// Growth of the median latency, in percent of its mean.
    pub latency_percent: Option<Drift>,
    /// What it was allowed.
    pub bounds: Bounds,
    /// Whether memory grew beyond its bound.
    pub memory_grows: bool,
    /// Whether latency grew beyond its bound.
    pub latency_grows: bool,
}

impl Default for Soak {
    fn default() -> Self {
        Self::new()
    }
}

impl Soak {
    /// One that has not begun.
    pub fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(BOUNDS_NS.0, BOUNDS_NS.1, 3).expect("three digits are few enough");
        Self { minutes: Vec::new(), now: histogram(), all: histogram() }
    }

    /// Counts a run.
    pub fn count(&mut self, taken: Duration) {
        let nanoseconds = taken.as_nanos().min(u128::from(u64::MAX)) as u64;
        self.now.saturating_record(nanoseconds);
        self.all.saturating_record(nanoseconds);
    }

    /// Ends a minute, `at` after the beginning, with the bytes of memory and what the sensors say; `None` if there was no run in it.
    pub fn minute(&mut self, at: Duration, resident: Option<u64>, reading: Reading) -> Option<&Minute> {
        if self.now.is_empty() {
            return None;
        }
        self.minutes.push(Minute {
            minutes: at.as_secs_f64() / 60.0,
            runs: self.now.len(),
            p50_ms: percentile(&self.now, 50.0),
            p99_ms: percentile(&self.now, 99.0),
            resident_mib: resident.map(|bytes| bytes as f64 / MIB),
            temperature_c: reading.temperature,
            clock_mhz: reading.clock_mhz,
            throttled: reading.throttled,
        });
        self.now.reset();
        self.minutes.last()
    }

    /// What it came to. The first minute does not count for drifts: caches and the allocator's memory fill in it.
    pub fn summary(&self, bounds: Bounds) -> Summary {
        let later = self.minutes.get(1..).unwrap_or_default();
        let hours = self.minutes.last().map_or(0.0, |minute| minute.minutes / 60.0);
        let points = |value: fn(&Minute) -> Option<f64>| -> Option<Vec<(f64, f64)>> {
            later.iter().map(|minute| Some((minute.minutes / 60.0, value(minute)?))).collect()
        };
        let memory_mib = points(|minute| minute.resident_mib).and_then(|points| Drift::of(&points));
        let latency_percent = points(|minute| Some(minute.p50_ms)).and_then(|points| {
            let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
            let shares: Vec<_> = points.into_iter().map(|(hour, ms)| (hour, 100.0 * ms / mean)).collect();
            Drift::of(&shares)
        });
        Summary {
            hours,
            runs: self.all.len(),
            p50_ms: percentile(&self.all, 50.0),
            p99_ms: percentile(&self.all, 99.0),
            longest_ms: self.all.max() as f64 / 1e6,
            memory_grows: memory_mib.is_some_and(|drift| drift.is_beyond(bounds.memory_mib_per_hour)),
            latency_grows: latency_percent.is_some_and(|drift| drift.is_beyond(bounds.latency_percent / hours)),
            memory_mib,
            latency_percent,
            bounds,
        }
    }
}

fn percentile(histogram: &Histogram<u64>, percent: f64) -> f64 {
    histogram.value_at_quantile(percent / 100.0) as f64 / 1e6
}

impl Summary {
    /// Whether all stayed within bounds.
    pub fn is_steady(&self) -> bool {
        !self.memory_grows && !self.latency_grows
    }
}

impl fmt::Display for Summary {
    /// Lines for a terminal, with a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hours, runs, p50_ms, p99_ms, longest_ms, bounds, .. } = self;
        writeln!(
            f,
            "{runs} runs in {hours:.2} hours: p50 {p50_ms:.3} ms, p99 {p99_ms:.3} ms, longest {longest_ms:.3} ms"
        )?;
        let line =
            |f: &mut fmt::Formatter<'_>, what: &str, drift: Option<Drift>, unit: &str, bound: String, grows: bool| {
                match drift {
                    None => writeln!(f, "{what}: not enough minutes to tell a drift"),
                    Some(Drift { per_hour, error }) => {
                        let verdict = if grows { "GROWS, beyond" } else { "within" };
                        writeln!(f, "{what}: {per_hour:+.3} ± {error:.3} {unit} an hour, {verdict} {bound}")
                    }
                }
            };
        let allowed = format!("{} MiB an hour", bounds.memory_mib_per_hour);
        line(f, "memory", self.memory_mib, "MiB", allowed, self.memory_grows)?;
        let allowed = format!("{} % over the whole time", bounds.latency_percent);
        line(f, "latency", self.latency_percent, "%", allowed, self.latency_grows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { memory_mib_per_hour: 1.0, latency_percent: 5.0 };

    /// Two hours of a run every second whose latency and memory grow so much an hour, with noise.
    fn soak(percent: f64, mib: f64) -> Summary {
        let mut soak = Soak::new();
        for minute in 1..=120u64 {
            let (hours, noise) = (minute as f64 / 60.0, (minute * 7919 % 101) as f64 / 100.0 - 0.5);
            let ms = 10.0 * (1.0 + percent / 100.0 * hours) * (1.0 + 0.02 * noise);
            (0..60).for_each(|_| soak.count(Duration::from_secs_f64(ms / 1e3)));
            let resident = MIB * (50.0 + mib * hours + 0.5 * noise);
            soak.minute(Duration::from_secs(60 * minute), Some(resident as u64), Reading::default()).unwrap();
        }
        soak.summary(BOUNDS)
    }

    #[test]
    fn drifts_are_found_with_their_uncertainty() {
        let steady = soak(0.0, 0.0);
        assert!(steady.is_steady() && steady.runs == 7200, "{steady}");
        let leaking = soak(0.0, 3.0);
        assert!(leaking.memory_grows && !leaking.latency_grows, "{leaking}");
        let drift = leaking.memory_mib.unwrap();
        assert!((drift.per_hour - 3.0).abs() < 3.0 * drift.error && drift.error < 0.1, "{drift:?}");
        let slower = soak(4.0, 0.0);
        assert!(slower.latency_grows && !slower.memory_grows, "8 % in two hours: {slower}");
        assert!(soak(2.0, 0.5).is_steady(), "within bounds");
    }

    #[test]
    fn a_line_through_points() {
        let drift = Drift::of(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (3.0, 7.0)]).unwrap();
        assert_eq!(drift, Drift { per_hour: 2.0, error: 0.0 });
        assert_eq!(Drift::of(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), None);
        assert_eq!(Drift::of(&[(1.0, 1.0); 5]), None);
    }

    #[test]
    fn what_is_not_told_is_not_judged() {
        let mut soak = Soak::new();
        assert_eq!(soak.minute(Duration::from_secs(60), None, Reading::default()), None);
        for minute in 1..10 {
            soak.count(Duration::from_millis(5));
            let row = soak.minute(Duration::from_secs(60 * minute), None, Reading::default()).unwrap();
            let line = row.to_string();
            assert!(line.trim_end().ends_with('-') && line.matches(" -").count() == 3, "{line}");
        }
        let summary = soak.summary(BOUNDS);
        assert!(summary.memory_mib.is_none() && summary.is_steady());
        assert!(summary.to_string().contains("memory: not enough minutes"), "{summary}");
        let json = serde_json::to_value(&summary).unwrap();
        assert!(json["memory_mib"].is_null() && json["latency_percent"]["per_hour"].is_number());
    }
}
