//! About how long a convolution takes: how threads are to share it is decided by that. Only ratios count.

use std::ops::Range;

use super::super::Isa;
use super::packed::Packed;
use super::{CHANNEL_BLOCK, packed};

/// Instructions that load the weights of a k-step, store results, and so on, for each plane of a tile of accumulators.
const STORE: u64 = 30;

impl Packed {
    /// About how many instructions it takes to compute some planes of so many pixels.
    pub fn cost(&self, pixels: usize, planes: Range<usize>) -> u64 {
        let steps = (self.bytes() / (CHANNEL_BLOCK * self.outputs()).max(1)) as u64;
        let (pixels, all) = (pixels as u64, planes.len() as u64);
        // Of each tile of accumulators: their number, and the instructions of a step for a plane, in eighths.
        let (tiles, step) = match self.isa() {
            Isa::Scalar => (pixels.div_ceil(8), 8 * 128),
            // A tile of 12 pixels takes 28 for a pair of steps and half a plane, one of 8 takes 20; chains' ends are a sixth of that.
            Isa::Neon => {
                let eights = [0, 2, 1][(pixels % 12 / 4) as usize];
                let twelves = pixels.saturating_sub(8 * eights) / 12;
                return all * (twelves * (33 * steps + 3 * STORE / 2) + eights * (23 * steps + STORE));
            }
            Isa::Dotprod => {
                let outputs = CHANNEL_BLOCK * planes.start..CHANNEL_BLOCK * planes.end;
                // Instructions for a pair of steps.
                let pair = |(_, width): (usize, usize)| match width {
                    12 => 58,
                    8 => 41,
                    _ => 24,
                };
                let pairs = packed::blocks(Isa::Dotprod, outputs).map(pair).sum::<u64>();
                return pixels.div_ceil(8) * (pairs * steps / 2 + all * STORE);
            }
            Isa::I8mm => (pixels.div_ceil(16), 8 * 17),
            Isa::Avx2 => (pixels.div_ceil(16), 8 * 28),
            Isa::Avx512Vnni => (pixels.div_ceil(16), 8 * 6),
        };
        tiles * all * (step * steps / 8 + STORE)
    }
}
