//! Measured calls by the piece: what a comparison goes by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::watch::Work;

/// Calls that were measured one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Number of calls.
    pub runs: u64,
    /// The shortest call, in milliseconds.
    pub least_ms: f64,
    /// Processor time of a call, in milliseconds; `None` where it is not known, or several threads computed.
    pub processor_ms: Option<f64>,
    /// Time for which other programs had the processor, as a share of that of the calls; `None` where it is not told.
    pub waited: Option<f64>,
    /// Multiply-adds a second, in billions, that the core reached right after: of the instructions that multiply alone.
    pub core_gmacs: Option<f64>,
}

impl Block {
    /// A block of these calls, in which their thread did so much.
    pub(super) fn of(calls: &[Duration], work: Option<Work>, core: Option<f64>) -> Self {
        let least = calls.iter().min().copied().unwrap_or_default();
        let all = calls.iter().sum::<Duration>().as_secs_f64();
        let each = |time: Duration| 1e3 * time.as_secs_f64() / calls.len().max(1) as f64;
        Self {
            runs: calls.len() as u64,
            least_ms: 1e3 * least.as_secs_f64(),
            processor_ms: work.and_then(|work| work.worked).map(each),
            waited: work.filter(|_| all > 0.0).map(|work| (work.waited.as_secs_f64() / all).min(1.0)),
            core_gmacs: core.map(|rate| rate / 1e9),
        }
    }

    /// Both as one.
    fn with(&self, next: &Self) -> Self {
        let [a, b] = [self, next].map(|block| block.runs as f64);
        let mean = |x: f64, y: f64| (a * x + b * y) / (a + b);
        Self {
            runs: self.runs + next.runs,
            least_ms: self.least_ms.min(next.least_ms),
            processor_ms: self.processor_ms.zip(next.processor_ms).map(|(x, y)| mean(x, y)),
            waited: self.waited.zip(next.waited).map(|(x, y)| mean(x, y)),
            core_gmacs: self.core_gmacs.zip(next.core_gmacs).map(|(x, y)| x.max(y)),
        }
    }
}

/// The most blocks that are kept.
const MOST: usize = 400;

/// Blocks of about the same length, which doubles where there would be too many.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocks {
    pub(super) all: Vec<Block>,
    /// Time of a block, at least.
    pub(super) length: Duration,
}

impl Blocks {
    pub(super) fn new(length: Duration) -> Self {
        Self { all: Vec::new(), length }
    }

    pub(super) fn push(&mut self, block: Block) {
        self.all.push(block);
        if self.all.len() == MOST {
            self.all = self.all.chunks(2).map(|two| two[0].with(&two[1])).collect();
            self.length *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(runs: u64, least_ms: f64, processor_ms: f64) -> Block {
        Block { runs, least_ms, processor_ms: Some(processor_ms), waited: Some(0.5), core_gmacs: None }
    }

    #[test]
    fn calls_become_a_block() {
        let calls = [4, 2, 3].map(Duration::from_millis);
        let work = Work { worked: Some(Duration::from_millis(6)), waited: Duration::from_micros(4500) };
        let found = Block::of(&calls, Some(work), Some(2e9));
        assert_eq!(found, Block { core_gmacs: Some(2.0), ..block(3, 2.0, 2.0) });
    }

    #[test]
    fn long_measurements_have_longer_blocks_not_more() {
        let mut blocks = Blocks::new(Duration::from_millis(100));
        (0..MOST).for_each(|n| blocks.push(block(1 + 2 * (n as u64 % 2), 1.0 + n as f64, 4.0 + (n % 2) as f64)));
        assert_eq!((blocks.all.len(), blocks.length), (MOST / 2, Duration::from_millis(200)));
        assert_eq!(blocks.all[0], block(4, 1.0, 4.75), "means weigh as many calls as there were");
        assert!(blocks.all.iter().all(|block| block.runs == 4));
    }
}
