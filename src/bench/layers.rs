//! What each layer takes.
//!
//! Runs whose steps are timed take turns with runs as they always are, so that both meet the same noise and what the timers cost is seen. Times
//! are medians over the quickest tenth of the runs: those that other programs disturbed least, the same runs for every layer and for the whole.
//! Where one thread computes, they are processor time: on a busy machine other programs interrupt most runs.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Limit;
use super::timings::milliseconds;
use crate::error::Result;
use crate::kernels::{Factors, Isa, Peak, thread_clock};
use crate::runtime::{ComputeType, Kernel, Session, Step, StepClock};
use crate::text;

/// Runs of which the times are, at least.
const FEWEST: usize = 10;
/// Time between two runs of the loops that show the core's peak.
const PEAK_EVERY: Duration = Duration::from_millis(200);
/// Time for each of them.
const PEAK_TIME: Duration = Duration::from_millis(1);

/// A step of a run, timed. In JSON its members.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRow {
    /// Name of the node, as in the file.
    pub node: String,
    /// What it computes.
    pub op: String,
    /// Type it computes in.
    pub r#type: String,
    /// What computes it: `densight avx2 winograd`.
    pub kernel: String,
    /// Median time, in milliseconds.
    pub ms: f64,
    /// Share of the sum of all, 0 to 1.
    pub share: f64,
    /// The same with all before it.
    pub cumulative: f64,
    /// Multiply-adds of the layer as it is defined, however few an algorithm needs.
    pub macs: u64,
    /// Bytes of weights, of values read and of values written, each once; `None` where they are not known.
    pub bytes: Option<[u64; 3]>,
    /// Multiply-adds a second as a share of the peak of all threads: above 1 where Winograd's algorithm needs fewer. `None` where
    /// nothing is multiplied, or no peak is known.
    pub of_peak: Option<f64>,
}

/// What the layers of a network take. In JSON its members, times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layers {
    /// In the order they run.
    pub rows: Vec<LayerRow>,
    /// The sum of the layers' medians.
    pub sum_ms: f64,
    /// Whether all times are processor time, and not those of a clock on the wall.
    pub processor_time: bool,
    /// The median of the whole, in the same runs.
    pub timed_ms: f64,
    /// The median of as many runs without timers of layers, which took turns with those.
    pub untimed_ms: f64,
    /// Number of runs whose layers were timed.
    pub runs: usize,
    /// Number of those, the quickest, that the medians are of.
    pub quickest: usize,
    /// The most multiply-adds a second of one core, in billions, in int8 and in f32; `None` where there is no loop for it.
    pub peak_gmacs: [Option<f64>; 2],
    /// Compute threads.
    pub threads: usize,
}

/// What `run` gave and took, by `clock`.
fn timed<R>(clock: StepClock, run: impl FnOnce() -> R) -> (R, Duration) {
    let (begin, before) = (Instant::now(), thread_clock());
    let result = run();
    let worked = thread_clock().zip(before).map(|(after, before)| after.saturating_sub(before));
    let processor = worked.filter(|_| clock == StepClock::Processor);
    (result, processor.unwrap_or_else(|| begin.elapsed()))
}

/// Times of a run: of all of it, and of each step.
struct Run {
    whole: Duration,
    steps: Vec<Duration>,
}

impl Layers {
    /// Measures the layers of `session`, which computes with so many threads, on one input.
    ///
    /// # Errors
    /// As [`Session::steps`] and [`Session::run_into`].
    pub fn measure(session: &mut Session, threads: usize, input: &[f32], warmup: u64, limit: Limit) -> Result<Self> {
        limit.check()?;
        let steps = session.steps()?;
        let mut scores = vec![0.0; session.classes()];
        for _ in 0..warmup {
            session.run_into(input, &mut scores)?;
        }
        let peaks = peaks(&steps);
        let mut peak = [None, None];
        let (mut timed, mut untimed, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let processor_time = threads == 1 && thread_clock().is_some();
        let clock = if processor_time { StepClock::Processor } else { StepClock::Wall };
        let (start, mut looked) = (Instant::now(), None);
        while timed.is_empty() || !limit.is_reached(timed.len(), start.elapsed()) {
            if looked.is_none_or(|looked: Instant| looked.elapsed() >= PEAK_EVERY) {
                for (most, peak) in peak.iter_mut().zip(peaks) {
                    *most = peak.map(|peak| peak.rate(PEAK_TIME)).max_by_total(*most);
                }
                // The loops leave nothing of the network in the caches.
                session.run_into(input, &mut scores)?;
                looked = Some(Instant::now());
            }
            let (done, whole) = self::timed(clock, || session.run_timed(input, &mut scores, clock, &mut times));
            done?;
            timed.push(Run { whole, steps: times.clone() });
            let (done, whole) = self::timed(clock, || session.run_into(input, &mut scores));
            done?;
            untimed.push(whole);
        }
        Ok(Self { processor_time, ..Self::of(&steps, timed, untimed, peak, threads) })
    }

    fn of(
        steps: &[Step],
        mut timed: Vec<Run>,
        mut untimed: Vec<Duration>,
        peak: [Option<f64>; 2],
        threads: usize,
    ) -> Self {
        let runs = timed.len();
        let quickest = (runs / 10).max(FEWEST).min(runs);
        timed.sort_by_key(|run| run.whole);
        timed.truncate(quickest);
        untimed.sort_unstable();
        untimed.truncate(quickest);
        let each: Vec<f64> = (0..steps.len()).map(|n| median(timed.iter().map(|run| run.steps[n]).collect())).collect();
        let sum_ms: f64 = each.iter().sum();
        let mut cumulative = 0.0;
        let rows = steps.iter().zip(&each).map(|(step, &ms)| {
            let share = if sum_ms > 0.0 { ms / sum_ms } else { 0.0 };
            cumulative += share;
            row(step, ms, share, cumulative, peak, threads)
        });
        Self {
            rows: rows.collect(),
            sum_ms,
            processor_time: false,
            timed_ms: median(timed.iter().map(|run| run.whole).collect()),
            untimed_ms: median(untimed),
            runs,
            quickest,
            peak_gmacs: peak.map(|peak| peak.map(|rate| rate / 1e9)),
            threads,
        }
    }
}

/// The greater of two rates.
trait MaxByTotal {
    fn max_by_total(self, other: Self) -> Self;
}

impl MaxByTotal for Option<f64> {
    fn max_by_total(self, other: Self) -> Self {
        self.into_iter().chain(other).max_by(f64::total_cmp)
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| milliseconds(*time))
}

/// The loops of the engine's instruction set, in int8 and f32, of those that the network computes in.
fn peaks(steps: &[Step]) -> [Option<Peak>; 2] {
    let isa = steps.iter().find_map(|step| match step.executed.kernel {
        Kernel::Engine(isa) => Some(isa),
        _ => None,
    });
    let isa = isa.unwrap_or_else(Isa::best);
    [(Factors::Int8, ComputeType::Int8), (Factors::F32, ComputeType::F32)].map(|(factors, kind)| {
        let multiplied = steps.iter().any(|step| step.executed.macs > 0 && step.executed.r#type == kind);
        if multiplied { Peak::new(isa, factors) } else { None }
    })
}

fn row(step: &Step, ms: f64, share: f64, cumulative: f64, peak: [Option<f64>; 2], threads: usize) -> LayerRow {
    let executed = &step.executed;
    let peak = match executed.r#type {
        ComputeType::Int8 => peak[0],
        ComputeType::F32 => peak[1],
        _ => None,
    };
    let of_peak = peak.filter(|_| executed.macs > 0 && ms > 0.0);
    let algorithm =
        step.algorithm.filter(|algorithm| *algorithm != "direct").map_or(String::new(), |name| format!(" {name}"));
    LayerRow {
        node: executed.node.clone(),
        op: executed.op.to_string(),
        r#type: executed.r#type.to_string(),
        kernel: format!("{}{algorithm}", executed.kernel),
        ms,
        share,
        cumulative,
        macs: executed.macs,
        bytes: step.traffic.map(|traffic| [traffic.weights, traffic.read, traffic.written]),
        of_peak: of_peak.map(|peak| executed.macs as f64 / (ms / 1e3) / (peak * threads as f64)),
    }
}

impl fmt::Display for Layers {
    /// A table for a terminal, with a final line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<[String; 2]> = self
            .rows
            .iter()
            .map(|row| [format!("{} {}", row.r#type, row.op), row.kernel.clone()].map(|t| text::name(&t)))
            .collect();
        let width = |column: usize, head: &str| {
            names.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(head.len())
        };
        let [a, b] = [width(0, "computes"), width(1, "kernel")];
        writeln!(
            f,
            "{:a$}  {:b$}  {:>8} {:>6} {:>6} {:>10} {:>9} {:>7}  node",
            "computes", "kernel", "ms", "%", "sum %", "mult-adds", "kB moved", "% peak"
        )?;
        for (row, [computes, kernel]) in self.rows.iter().zip(&names) {
            let bytes = row.bytes.map_or_else(|| "-".into(), |bytes| format!("{:.1}", kilobytes(bytes)));
            let macs = if row.macs == 0 { "-".into() } else { format!("{:.3} M", row.macs as f64 / 1e6) };
            let peak = row.of_peak.map_or_else(|| "-".into(), |share| format!("{:.0}", 100.0 * share));
            let (share, sum) = (100.0 * row.share, 100.0 * row.cumulative);
            let (ms, node) = (row.ms, text::name(&row.node));
            writeln!(
                f,
                "{computes:a$}  {kernel:b$}  {ms:8.4} {share:6.2} {sum:6.1} {macs:>10} {bytes:>9} {peak:>7}  {node}"
            )?;
        }
        write!(f, "{}", self.summary())
    }
}

/// All bytes moved, in thousands.
pub(super) fn kilobytes(bytes: [u64; 3]) -> f64 {
    bytes.into_iter().fold(0, u64::saturating_add) as f64 / 1e3
}

impl Layers {
    /// What the layers come to, in lines.
    pub(super) fn summary(&self) -> String {
        let percent = |a: f64, b: f64| if b > 0.0 { 100.0 * (a / b - 1.0) } else { 0.0 };
        let Self { sum_ms, timed_ms, untimed_ms, runs, quickest, threads, .. } = self;
        let of_what = if self.processor_time { " of processor time" } else { "" };
        let mut text = format!(
            "layers {sum_ms:.3} ms{of_what}, the same runs {timed_ms:.3} ms ({:+.1} %); without timers {untimed_ms:.3} ms ({:+.1} %); \
             medians of the quickest {quickest} of {runs} runs\n",
            percent(*sum_ms, *timed_ms),
            percent(*sum_ms, *untimed_ms),
        );
        let peaks = self.peak_gmacs.iter().zip(["int8", "f32"]);
        let peaks: Vec<String> =
            peaks.filter_map(|(peak, name)| peak.map(|rate| format!("{rate:.1} billion in {name}"))).collect();
        if !peaks.is_empty() {
            let cores = if *threads == 1 { String::new() } else { format!("; % peak is of {threads} times that") };
            text += &format!("peak of a core, multiply-adds a second: {}{cores}\n", peaks.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fused::OpKind;
    use crate::runtime::{Executed, Operation, Traffic};

    fn step(node: &str, macs: u64, kind: ComputeType, algorithm: &'static str) -> Step {
        let executed = Executed {
            node: node.into(),
            op: Operation::Layer(OpKind::Convolution),
            r#type: kind,
            kernel: Kernel::Engine(Isa::Avx2),
            macs,
        };
        Step { executed, algorithm: Some(algorithm), traffic: Some(Traffic { weights: 1, read: 2, written: 3 }) }
    }

    fn run(steps: [u64; 2], rest: u64) -> Run {
        let steps = steps.map(Duration::from_micros).to_vec();
        Run { whole: steps.iter().sum::<Duration>() + Duration::from_micros(rest), steps }
    }

    #[test]
    fn disturbed_runs_do_not_count_in_any_layer() {
        let steps = [step("a", 2_000_000, ComputeType::Int8, "winograd"), step("b", 0, ComputeType::F32, "direct")];
        // Of 100 runs 15 are quiet.
        let timed = (0..100).map(|n| if n % 7 == 0 { run([1000, 3000], 10) } else { run([1000, 9000], 10) }).collect();
        let layers = Layers::of(&steps, timed, vec![Duration::from_micros(4000); 100], [Some(4e9), None], 1);
        assert_eq!((layers.runs, layers.quickest), (100, 10));
        let found: Vec<_> = layers.rows.iter().map(|row| (row.ms, row.share, row.cumulative)).collect();
        assert_eq!(found, [(1.0, 0.25, 0.25), (3.0, 0.75, 1.0)]);
        assert_eq!((layers.sum_ms, layers.timed_ms, layers.untimed_ms), (4.0, 4.01, 4.0));
        let of_peak: Vec<_> = layers.rows.iter().map(|row| row.of_peak).collect();
        assert_eq!(of_peak, [Some(0.5), None], "2 million in 1 ms, of 4 billion a second");
        assert_eq!(layers.rows[0].kernel, "densight avx2 winograd");
        let text = layers.to_string();
        assert!(
            text.contains("layers 4.000 ms, the same runs 4.010 ms (-0.2 %); without timers 4.000 ms (+0.0 %)"),
            "{text}"
        );
    }

    #[test]
    fn threads_have_as_many_cores() {
        let steps = [step("a", 2_000_000, ComputeType::F32, "direct"), step("b", 0, ComputeType::F32, "direct")];
        let layers = Layers::of(&steps, vec![run([1000, 0], 0)], vec![Duration::ZERO], [None, Some(4e9)], 2);
        assert_eq!(layers.rows[0].of_peak, Some(0.25));
        assert!(layers.to_string().contains("of 2 times that"));
    }
}
