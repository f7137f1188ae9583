//! About how long a convolution takes: how threads are to share it is decided by that. Only ratios count.

use std::ops::Range;

use super::super::Isa;
use super::CHANNEL_BLOCK;
use super::packed::Packed;

/// Instructions that load the weights of a k-step, store results, and so on, for each plane of a tile of accumulators.
const STORE: u64 = 30;

impl Packed {
    /// About how many instructions it takes to compute some planes of so many pixels.
    pub fn cost(&self, pixels: usize, planes: Range<usize>) -> u64 {
        let steps = (self.bytes() / (CHANNEL_BLOCK * self.outputs()).max(1)) as u64;
        let (pixels, all) = (pixels as u64, planes.len() as u64);
        // Of each tile of accumulators: their number, and the instructions of a step for a plane, in eighths.
        let (count, step) = match self.isa() {
            Isa::Scalar => (pixels.div_ceil(8), 8 * 128),
            // A tile of 12 pixels takes 28 for a pair of steps and half a plane, one of 8 takes 20; chains' ends are a sixth of that.
            Isa::Neon => {
                let (twelves, eights) = tiles(pixels);
                return all * (twelves * (33 * steps + 3 * STORE / 2) + eights * (23 * steps + STORE));
            }
            // For a pair of steps a tile of 12 pixels takes 52 of two planes and 28 of one, a tile of 8 takes 36 and 20.
            Isa::Dotprod => {
                let ((twelves, eights), (two, one)) = (tiles(pixels), (all / 2, all % 2));
                let pair = |of_two: u64, of_one: u64| (of_two * two + of_one * one) * steps / 2;
                return twelves * (pair(52, 28) + 3 * all * STORE / 2) + eights * (pair(36, 20) + all * STORE);
            }
            Isa::I8mm => (pixels.div_ceil(16), 8 * 17),
            Isa::Avx2 => (pixels.div_ceil(16), 8 * 28),
            Isa::Avx512Vnni => (pixels.div_ceil(16), 8 * 6),
        };
        count * all * (step * steps / 8 + STORE)
    }
}

/// The tiles of 12 and of 8 pixels that a range of pixels is divided into.
fn tiles(pixels: u64) -> (u64, u64) {
    let eights = [0, 2, 1][(pixels % 12 / 4) as usize];
    (pixels.saturating_sub(8 * eights) / 12, eights)
}
