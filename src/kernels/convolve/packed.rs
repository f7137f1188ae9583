//! Weights as the kernels of one instruction set read them, with the places that each is multiplied with.
//!
//! Output channels come in blocks, as many as a kernel keeps accumulators for; a block's steps come one after another, and
//! of a step four weights for each channel: `[blocks][steps][channels of the block][4]`.
//!
//! | instruction set | channels of a block | what else |
//! |---|---|---|
//! | scalar, dotprod | 4 | |
//! | neon | 4 | each four weights twice, for two pixels |
//! | i8mm | 4 | weights of two steps beside each other; after an odd number of steps, one of zeros |
//! | avx2 | 4 | some steps twice, see [`split`]: each block has offsets of its own |
//! | avx512vnni | 8, the last 8 or 4 | |

use serde::{Deserialize, Serialize};

use super::super::{GROUP, Isa, Kernels};
use super::requantize::refusal;
use crate::error::Result;
use crate::quant::{WEIGHT_MAX, shift_correction};

/// A convolution's weights, packed for the kernels of one instruction set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    isa: Isa,
    outputs: usize,
    /// What accumulators start from, with the correction for shifted activations.
    init: Vec<i32>,
    /// Where each step's codes begin; for AVX2 those of one block after another.
    offsets: Vec<u32>,
    /// AVX2 only: where each block ends in `offsets`.
    ends: Vec<u32>,
    weights: Vec<i8>,
}

/// A block of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    /// The first channel, and how many there are.
    pub(super) first: usize,
    pub(super) width: usize,
    pub(super) offsets: &'a [u32],
    pub(super) weights: &'a [i8],
}

impl Kernels {
    /// Packs `weights`, `[outputs][steps][4]`, and what accumulators start from, `[outputs]`, for these kernels. `offsets` say
    /// where in the input the codes of each step's first pixel begin, in bytes: in any order, as often as wanted.
    ///
    /// # Errors
    /// If a weight is -128, which is left out of the int8 rules: two products of it would not fit 16 bits.
    ///
    /// # Panics
    /// If the number of outputs is no multiple of 4, or there are not four weights for each output and offset.
    pub fn pack(self, weights: &[i8], init: &[i32], offsets: &[u32]) -> Result<Packed> {
        let (isa, outputs) = (self.isa(), init.len());
        let channel = GROUP * offsets.len();
        assert_eq!(outputs % GROUP, 0, "{outputs} output channels are no whole planes");
        assert_eq!(weights.len(), outputs * channel, "weights of {outputs} outputs and {} steps", offsets.len());
        if weights.iter().any(|&w| w < -WEIGHT_MAX) {
            return Err(refusal("a weight of -128".into()));
        }
        let correction =
            |o: usize| if isa.shifted() { shift_correction(&weights[o * channel..][..channel]) } else { 0 };
        let init = init.iter().enumerate().map(|(o, init)| init.wrapping_add(correction(o))).collect();
        let mut packed =
            Packed { isa, outputs, init, offsets: offsets.to_vec(), ends: Vec::new(), weights: Vec::new() };
        let four = |o: usize, step: usize| -> [i8; 4] {
            weights[o * channel + step * GROUP..][..GROUP].try_into().expect("four")
        };
        if isa == Isa::Avx2 {
            packed.offsets.clear();
            for first in (0..outputs).step_by(GROUP) {
                for (step, offset) in offsets.iter().enumerate() {
                    for part in split([0, 1, 2, 3].map(|o| four(first + o, step))).into_iter().flatten() {
                        packed.weights.extend(part.as_flattened());
                        packed.offsets.push(*offset);
                    }
                }
                packed.ends.push(packed.offsets.len() as u32);
            }
            return Ok(packed);
        }
        let size = channel_size(isa, offsets.len());
        packed.weights.resize(outputs * size, 0);
        for (first, width) in blocks(isa, outputs) {
            let block = &mut packed.weights[first * size..][..width * size];
            for (step, o) in (0..offsets.len()).flat_map(|step| (0..width).map(move |o| (step, o))) {
                let four = four(first + o, step).repeat(copies(isa));
                block[place(isa, width, step, o)..][..four.len()].copy_from_slice(&four);
            }
        }
        Ok(packed)
    }
}

impl Packed {
    /// The kernels it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.weights.len()
    }

    /// What accumulators start from.
    pub(super) fn init(&self) -> &[i32] {
        &self.init
    }

    /// The greatest offset; `None` if there is no step.
    pub(super) fn furthest(&self) -> Option<u32> {
        self.offsets.iter().copied().max()
    }

    /// The blocks, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let size = channel_size(self.isa, self.offsets.len());
        blocks(self.isa, self.outputs).map(move |(first, width)| match self.isa {
            Isa::Avx2 => {
                let begin = if first == 0 { 0 } else { self.ends[first / GROUP - 1] as usize };
                let steps = begin..self.ends[first / GROUP] as usize;
                let weights = &self.weights[16 * steps.start..16 * steps.end];
                Block { first, width, offsets: &self.offsets[steps], weights }
            }
            _ => Block { first, width, offsets: &self.offsets, weights: &self.weights[first * size..][..width * size] },
        })
    }

    /// For each step of a block the offset and the four weights of its channel `o`.
    pub(super) fn products<'a>(&self, block: Block<'a>, o: usize) -> impl Iterator<Item = (u32, [i8; 4])> + use<'a> {
        let isa = self.isa;
        block.offsets.iter().enumerate().map(move |(step, offset)| {
            let place = place(isa, block.width, step, o);
            (*offset, block.weights[place..][..GROUP].try_into().expect("four"))
        })
    }

    /// What accumulators of a block's channel `o` start from where activations are not shifted.
    pub(super) fn start(&self, block: Block<'_>, o: usize) -> i32 {
        let init = self.init[block.first + o];
        let all = || self.products(block, o).flat_map(|(_, weights)| weights).collect::<Vec<i8>>();
        if self.isa.shifted() { init.wrapping_sub(shift_correction(&all())) } else { init }
    }
}

/// How often a channel's weights of a step stand one after another.
fn copies(isa: Isa) -> usize {
    if isa == Isa::Neon { 2 } else { 1 }
}

/// Weights of a channel, where all blocks have the same steps.
fn channel_size(isa: Isa, steps: usize) -> usize {
    let steps = if isa == Isa::I8mm { steps.next_multiple_of(2) } else { steps };
    steps * GROUP * copies(isa)
}

/// Where a channel's weights of a step stand in a block of `width` channels.
fn place(isa: Isa, width: usize, step: usize, o: usize) -> usize {
    if isa == Isa::I8mm {
        GROUP * (step / 2 * 2 * width + 2 * o + step % 2)
    } else {
        GROUP * copies(isa) * (step * width + o)
    }
}

/// First channel and number of channels of each block.
fn blocks(isa: Isa, outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = if isa == Isa::Avx512Vnni { 8 } else { 4 };
    (0..outputs).step_by(width).map(move |first| (first, width.min(outputs - first)))
}

/// A step's weights for four channels as one or two sets whose sum they are, so that `vpmaddubsw` is exact on each.
///
/// It adds the products of two neighbours, u8 by s8, in 16 bits, and saturates. With x in 0..=255 and weights a and b, the
/// sum lies between 255 times the sum of the negative ones of a and b and 255 times that of the positive ones. If the signs
/// differ, one weight counts, and 255 * 127 = 32385 fits. If not, a + b counts: 255 * 128 = 32640 fits, 255 * 129 = 32895
/// does not. So where |a + b| exceeds 128, what b has too much goes to the second set, where it stands beside 0: at most 126.
fn split(weights: [[i8; 4]; 4]) -> [Option<[[i8; 4]; 4]>; 2] {
    let (mut first, mut second) = (weights, [[0; 4]; 4]);
    for (first, second) in
        first.as_flattened_mut().chunks_exact_mut(2).zip(second.as_flattened_mut().chunks_exact_mut(2))
    {
        let sum = i32::from(first[0]) + i32::from(first[1]);
        let excess = (sum - sum.clamp(-128, 128)) as i8;
        first[1] -= excess;
        second[1] = excess;
    }
    [Some(first), (second != [[0; 4]; 4]).then_some(second)]
}
