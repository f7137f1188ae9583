//! Whether one measurement is slower than another, as far as their noise allows to tell.
//!
//! Noise only ever adds time, and comes in spells: another program, a clock that sinks, a neighbour on the same core. So what is compared is
//! processor time where one thread computes, else the shortest call of each block; and how far that varies is judged by eight consecutive parts
//! of a measurement, which spells make differ, and not by single calls.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Block;
use crate::error::{Error, ErrorKind, Result};
use crate::text;

/// Differences below this are not told, however small the noise: code that moved by a few bytes makes as much.
const LEAST: f64 = 0.025;
/// Parts of a measurement whose medians show the noise.
const PARTS: usize = 8;
/// The quantile of the blocks that counts: what noise adds to, more than half of them may have.
const QUIET: f64 = 0.25;
/// So many standard errors are noise.
const ERRORS: f64 = 3.0;
/// Programs that take the processor from this one empty its caches, too. That costs up to so many times the share of the time that they take.
const BUSY: f64 = 0.25;
/// The most bytes of a base.
const MOST: u64 = 64 << 20;

/// What has to be the same in two measurements that are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// First 16 hexadecimal digits of the model file's SHA-256.
    pub model_hash: String,
    /// Compute threads.
    pub threads: usize,
    /// Pictures at a time.
    pub batch: usize,
    /// Where the network runs.
    pub device: String,
    /// The kernels' instruction set.
    pub isa: String,
    /// The processor's name, where it is known.
    pub cpu: Option<String>,
    /// Whether whole pictures were classified.
    pub stages: bool,
    /// Whether tract alone ran the graph.
    pub stock: bool,
}

impl Setting {
    /// The first of what differs, with the value of either.
    fn difference(&self, other: &Self) -> Option<(&'static str, [String; 2])> {
        let texts = |setting: &Self| {
            let Self { model_hash, threads, batch, device, isa, cpu, stages, stock } = setting.clone();
            let cpu = cpu.unwrap_or_else(|| "unknown".into());
            let yes = |is_so: bool| if is_so { "yes" } else { "no" }.to_owned();
            let counts = [threads, batch].map(|count| count.to_string());
            let [threads, batch] = counts;
            [model_hash, threads, batch, device, isa, cpu, yes(stages), yes(stock)]
        };
        const NAMES: [&str; 8] =
            ["model", "threads", "batch", "device", "instruction set", "processor", "--stages", "--stock"];
        let both = NAMES.into_iter().zip(texts(self).into_iter().zip(texts(other)));
        both.map(|(name, (a, b))| (name, [a, b])).find(|(_, [a, b])| a != b)
    }
}

/// A former measurement, as `densight bench --json` printed it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Base {
    setting: Setting,
    void: bool,
    blocks: Vec<Block>,
}

impl Base {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Usage`] for a file that is no such measurement, or one that says nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |e| Error::io(ErrorKind::Io, "read", path, e);
        if std::fs::metadata(path).map_err(failed)?.len() > MOST {
            return Err(Error::new(ErrorKind::Usage, "it is too large for what bench --json prints").at(path.display()));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(failed)?).map_err(|e| e.at(path.display()))
    }

    fn parse(json: &str) -> Result<Self> {
        let usage = |message: String| Error::new(ErrorKind::Usage, message);
        let base: Self = serde_json::from_str(json).map_err(|e| {
            usage(format!("it is not what bench --json prints now: {}", text::line(&e.to_string()))).caused_by(e)
        })?;
        if base.void {
            return Err(usage("the processor was slowed down in that measurement: measure it again".into()));
        }
        let times = base.blocks.iter().flat_map(|block| [Some(block.least_ms), block.processor_ms, block.core_gmacs]);
        if !times.flatten().all(|time| time.is_finite() && time > 0.0) {
            return Err(usage("it has times that are none".into()));
        }
        Ok(base)
    }

    /// Refuses a measurement with another setting.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with what differs.
    pub fn check(&self, setting: &Setting) -> Result<()> {
        match self.setting.difference(setting) {
            None => Ok(()),
            Some((what, [base, now])) => {
                let message = format!("the base differs in {what}: {}, now {}", text::name(&base), text::name(&now));
                Err(Error::new(ErrorKind::Usage, message))
            }
        }
    }

    /// Compares a measurement with the same setting.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where one of both is too short.
    pub fn compare(&self, blocks: &[Block]) -> Result<Comparison> {
        let of = |value: fn(&Block) -> Option<f64>| {
            let both =
                [self.blocks.as_slice(), blocks].map(|blocks| blocks.iter().map(value).collect::<Option<Vec<f64>>>());
            let [base, now] = both;
            base.zip(now)
        };
        let (quantity, (base, now)) = match of(|block| block.processor_ms) {
            Some(both) => (Quantity::Processor, both),
            None => (Quantity::Least, of(|block| Some(block.least_ms)).unwrap_or_default()),
        };
        let [base, now] = [("the base", base), ("this measurement", now)].map(|(what, values)| {
            Estimate::of(&values, QUIET).ok_or_else(|| {
                let message = format!("{what} is too short to be compared: measure for 2 seconds at least");
                Error::new(ErrorKind::Usage, message)
            })
        });
        let (base, now) = (base?, now?);
        let cores = of(|block| block.core_gmacs).map_or(0.0, |(base, now)| {
            let [base, now] = [base, now].map(|rates| quantile(&rates, 0.5));
            (now / base - 1.0).abs()
        });
        let waited = of(|block| block.waited).map_or(0.0, |(base, now)| {
            let [base, now] = [base, now].map(|shares| quantile(&shares, 0.5));
            BUSY * base.max(now)
        });
        let noise = ERRORS * base.error.hypot(now.error);
        Ok(Comparison::new(quantity, base.value, now.value, noise.max(cores).max(waited)))
    }
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Processor time of a run.
    Processor,
    /// The shortest runs.
    Least,
}

/// What the noise allows to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Faster than the base.
    Faster,
    /// Slower than the base.
    Slower,
    /// No difference that the noise allows to tell.
    Same,
}

/// Two measurements beside each other. In JSON its members, times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// What it is.
    pub verdict: Verdict,
    /// What was compared.
    pub quantity: Quantity,
    /// Of the base.
    pub base_ms: f64,
    /// Of this measurement.
    pub now_ms: f64,
    /// The second as a multiple of the first.
    pub ratio: f64,
    /// The smallest difference that is told, as a share: 0.025 where noise is small.
    pub allowance: f64,
}

impl Comparison {
    fn new(quantity: Quantity, base_ms: f64, now_ms: f64, noise: f64) -> Self {
        let (ratio, allowance) = (now_ms / base_ms, noise.max(LEAST));
        let verdict = if ratio > 1.0 + allowance {
            Verdict::Slower
        } else if ratio < 1.0 / (1.0 + allowance) {
            Verdict::Faster
        } else {
            Verdict::Same
        };
        Self { verdict, quantity, base_ms, now_ms, ratio, allowance }
    }
}

impl fmt::Display for Comparison {
    /// One line, without a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * (self.ratio - 1.0);
        let what = match self.verdict {
            Verdict::Faster => format!("faster: {percent:+.1} %"),
            Verdict::Slower => format!("slower: {percent:+.1} %"),
            Verdict::Same => format!("no difference that the noise allows to tell: {percent:+.1} %"),
        };
        let quantity = match self.quantity {
            Quantity::Processor => "of processor time a run",
            Quantity::Least => "in the shortest runs",
        };
        let (base, now) = (self.base_ms, self.now_ms);
        write!(f, "{what}, {base:.3} to {now:.3} ms {quantity}; told from {:.1} % on", 100.0 * self.allowance)
    }
}

/// Two programs that took turns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turns {
    /// Milliseconds of a run in each turn: this program, the other.
    pub times: Vec<[f64; 2]>,
}

impl Turns {
    /// Compares this program with the other, turn by turn.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for too few turns.
    pub fn compare(&self, quantity: Quantity) -> Result<Comparison> {
        let ratios: Vec<f64> = self.times.iter().map(|[now, base]| now / base).collect();
        let estimate = Estimate::of(&ratios, 0.5)
            .ok_or_else(|| Error::new(ErrorKind::Usage, "too few turns to compare: measure for longer"))?;
        let bases: Vec<f64> = self.times.iter().map(|[_, base]| *base).collect();
        let base = quantile(&bases, 0.5);
        Ok(Comparison::new(quantity, base, base * estimate.value, ERRORS * estimate.error))
    }
}

/// A quantile and how far it would be another one in another measurement.
struct Estimate {
    value: f64,
    /// Its standard error as a share of it.
    error: f64,
}

impl Estimate {
    /// The quantile `share` of `values`, which are in the order of their measurement; `None` for less than two in each part.
    fn of(values: &[f64], share: f64) -> Option<Self> {
        if values.len() < 2 * PARTS {
            return None;
        }
        let parts = (0..PARTS).map(|n| &values[n * values.len() / PARTS..(n + 1) * values.len() / PARTS]);
        let parts: Vec<f64> = parts.map(|part| quantile(part, share)).collect();
        let mean = parts.iter().sum::<f64>() / PARTS as f64;
        let squares: f64 = parts.iter().map(|part| (part - mean).powi(2)).sum();
        let value = quantile(values, share);
        let error = (squares / (PARTS - 1) as f64 / PARTS as f64).sqrt() / value;
        Some(Self { value, error })
    }
}

/// The quantile `share` by nearest rank; 0 of nothing.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
