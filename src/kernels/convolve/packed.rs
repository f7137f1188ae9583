//! Weights in the order in which the kernels of one instruction set read them, with the input offset of each step.
//!
//! Output channels come in blocks, as many as a kernel keeps accumulators for; a block's steps follow one another, each with
//! four weights for each channel: `[blocks][steps][channels of the block][4]`.
//!
//! | instruction set | channels of a block | also |
//! |---|---|---|
//! | scalar | 4 | |
//! | neon | 2 | an order of steps for each block, see [`chains`](super::chains); offsets lead from each step to the next |
//! | dotprod | 8, the last 8 or 4 | |
//! | i8mm | 4 | weights of two steps beside each other; after an odd number of steps, one of zeros |
//! | avx2 | 4 | some steps twice, see [`split`]: each block has offsets of its own |
//! | avx512vnni | 8, the last 8 or 4 | |

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::super::{Blob, CHANNEL_BLOCK, Isa, Kernels, Weights};
use super::chains;
use super::requantize::refusal;
use crate::error::Result;
use crate::quant::{WEIGHT_MAX, shift_correction};

/// The zeros behind NEON's distances: the last step's, and those of two pairs of steps that are read ahead. Weights are read one step ahead.
const AHEAD: usize = 5;

/// A convolution's weights, packed for the kernels of one instruction set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PackedFields")]
pub struct Packed {
    isa: Isa,
    outputs: usize,
    /// Initial accumulators, with the correction for shifted activations.
    init: Vec<i32>,
    /// Each step's input offset; for AVX2 and NEON for each block. NEON: the first offset, then the distance from each to the
    /// next, across blocks too (modulo 2^32), and zeros behind the last, see [`AHEAD`].
    offsets: Vec<u32>,
    /// AVX2 and NEON: the end of each block in `offsets`.
    ends: Vec<u32>,
    /// NEON: the number of pairs of steps of each chain; a 0 after each block's.
    chains: Vec<u8>,
    /// NEON: where each plane's blocks begin, and the end of the last.
    #[serde(skip)]
    starts: Vec<Start>,
    /// The greatest offset.
    #[serde(skip)]
    furthest: Option<u32>,
    /// Dot products: the distance from each offset to the next, and 0 behind the last.
    #[serde(skip)]
    distances: Vec<i32>,
    /// The distance from each offset to the next, if it is the same for all.
    #[serde(skip)]
    stride: Option<i32>,
    /// Stored apart, see [`Blob`].
    #[serde(skip)]
    weights: Weights<i8>,
    len: usize,
}

/// Where a plane's blocks begin for NEON: its first step, the offset of that, and the first chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Start {
    step: usize,
    offset: u32,
    chain: usize,
}

/// The serialized fields, in this order.
#[derive(Deserialize)]
struct PackedFields {
    isa: Isa,
    outputs: usize,
    init: Vec<i32>,
    offsets: Vec<u32>,
    ends: Vec<u32>,
    chains: Vec<u8>,
    len: usize,
}

impl TryFrom<PackedFields> for Packed {
    type Error = &'static str;

    /// Kernels rely on these checks: they read offsets and weights through pointers.
    fn try_from(stored: PackedFields) -> std::result::Result<Self, Self::Error> {
        let PackedFields { isa, outputs, init, offsets, ends, chains, len } = stored;
        let mut packed = Self { init, offsets, ends, chains, len, ..Self::empty(isa, outputs) };
        packed.furthest = packed.absolute().max();
        if !packed.is_consistent() {
            return Err("packed weights that contradict themselves");
        }
        packed.measure();
        packed.find_starts();
        Ok(packed)
    }
}

/// What kernels with dot products read: the steps are the same for all blocks.
#[derive(Debug, Clone, Copy)]
#[cfg(target_arch = "aarch64")]
pub(super) struct Steps<'a> {
    /// The first step's offset.
    pub(super) first: usize,
    /// The distance from each step's offset to the next, if it is the same for all.
    pub(super) stride: Option<isize>,
    /// For each step the distance to the next; 0 for the last.
    pub(super) distances: &'a [i32],
    /// Of all blocks.
    weights: &'a [i8],
}

#[cfg(target_arch = "aarch64")]
impl<'a> Steps<'a> {
    /// The weights from the block of output channel `first` on.
    pub(super) fn of(&self, first: usize) -> &'a [i8] {
        &self.weights[CHANNEL_BLOCK * first * self.distances.len()..]
    }
}

impl Packed {
    /// Without steps.
    fn empty(isa: Isa, outputs: usize) -> Self {
        Self {
            isa,
            outputs,
            init: Vec::new(),
            offsets: Vec::new(),
            ends: Vec::new(),
            chains: Vec::new(),
            starts: Vec::new(),
            furthest: None,
            distances: Vec::new(),
            stride: None,
            weights: Weights::default(),
            len: 0,
        }
    }

    /// Computes the distances, if they are needed, of offsets below 2^31.
    fn measure(&mut self) {
        if matches!(self.isa, Isa::Dotprod | Isa::I8mm) {
            let pairs = self.offsets.iter().zip(self.offsets.iter().skip(1));
            let distances = pairs.map(|(from, to)| to.wrapping_sub(*from) as i32);
            self.distances = distances.chain(self.offsets.last().map(|_| 0)).collect();
            let (_, distances) = self.distances.split_last().unwrap_or((&0, &[]));
            let stride = distances.first().copied().unwrap_or(0);
            self.stride = distances.iter().all(|&distance| distance == stride).then_some(stride);
        }
    }

    /// Whether all lengths are those that the kernels of its instruction set read.
    fn is_consistent(&self) -> bool {
        let Self { isa, outputs, init, offsets, ends, chains, len, furthest, .. } = self;
        // Checked before blocks are counted: the number of outputs is that of `init`.
        if !outputs.is_multiple_of(CHANNEL_BLOCK) || init.len() != *outputs {
            return false;
        }
        let blocks = || blocks(*isa, 0..*outputs).count();
        let ascending = ends.is_sorted() && ends.len() == blocks();
        let end = ends.last().map_or(0, |&end| end as usize);
        // Weights for each of the offsets, of `width` channels.
        let each = |offsets: usize, width: usize| {
            offsets.checked_mul(CHANNEL_BLOCK).and_then(|four| four.checked_mul(width)) == Some(*len)
        };
        let fits = match isa {
            Isa::Neon => {
                let (steps, behind) = offsets.split_at(offsets.len().saturating_sub(AHEAD));
                let steps_fit = end == steps.len() && *behind == [0; AHEAD] && each(steps.len() + 1, 2);
                chains::fit(chains, ends) && ascending && steps_fit
            }
            Isa::Avx2 => chains.is_empty() && ascending && end == offsets.len() && each(offsets.len(), CHANNEL_BLOCK),
            _ => {
                let whole = *isa != Isa::I8mm || offsets.len().is_multiple_of(2);
                chains.is_empty() && ends.is_empty() && whole && each(offsets.len(), *outputs)
            }
        };
        // Distances between offsets are exact as long as all are below 2^31.
        fits && furthest.is_none_or(|furthest| furthest <= i32::MAX as u32)
    }
}

/// A block of output channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    /// The first channel, and the number of channels.
    pub(super) first: usize,
    pub(super) width: usize,
    pub(super) offsets: &'a [u32],
    /// If set, offsets are relative to the previous one, the first to this; else they are absolute.
    base: Option<u32>,
    pub(super) weights: &'a [i8],
}

impl Kernels {
    /// Packs `weights`, `[outputs][steps][4]`, and initial accumulators `init`, `[outputs]`, for these kernels. `offsets` are
    /// the positions of each step's first pixel in the input, in bytes, in any order and with repetitions.
    ///
    /// # Errors
    /// If a weight is -128, which the int8 rules exclude: two products of it would not fit 16 bits.
    ///
    /// # Panics
    /// If the number of outputs is not a multiple of 4, if there are not four weights for each output and offset, or if an
    /// offset is 2^31 or more.
    pub fn pack(self, weights: &[i8], init: &[i32], offsets: &[u32]) -> Result<Packed> {
        let (isa, outputs) = (self.isa(), init.len());
        let channel = CHANNEL_BLOCK * offsets.len();
        assert_eq!(outputs % CHANNEL_BLOCK, 0, "{outputs} output channels are no whole planes");
        assert_eq!(weights.len(), outputs * channel, "weights of {outputs} outputs and {} steps", offsets.len());
        assert!(offsets.iter().all(|&offset| offset <= i32::MAX as u32), "offsets beyond 2^31");
        if weights.iter().any(|&w| w < -WEIGHT_MAX) {
            return Err(refusal("a weight of -128".into()));
        }
        let correction =
            |o: usize| if isa.shifted() { shift_correction(&weights[o * channel..][..channel]) } else { 0 };
        let init = init.iter().enumerate().map(|(o, init)| init.wrapping_add(correction(o))).collect();
        let mut packed = Packed { init, furthest: offsets.iter().copied().max(), ..Packed::empty(isa, outputs) };
        let four = |o: usize, step: usize| -> [i8; 4] {
            weights[o * channel + step * CHANNEL_BLOCK..][..CHANNEL_BLOCK].try_into().expect("four")
        };
        let weights = match isa {
            Isa::Avx2 => packed.split_steps(four, offsets),
            Isa::Neon => packed.order_steps(four, offsets),
            _ => packed.keep_steps(four, offsets),
        };
        packed.len = weights.len();
        packed.weights = weights.into();
        packed.measure();
        packed.find_starts();
        Ok(packed)
    }
}

/// The four weights of an output channel and a step.
trait FourBytes: Fn(usize, usize) -> [i8; 4] {}

impl<F: Fn(usize, usize) -> [i8; 4]> FourBytes for F {}

impl Packed {
    /// All blocks have the same steps.
    fn keep_steps(&mut self, four: impl FourBytes, offsets: &[u32]) -> Vec<i8> {
        let steps = offsets.len();
        self.offsets = offsets.to_vec();
        if self.isa == Isa::I8mm && !steps.is_multiple_of(2) {
            self.offsets.push(offsets[steps - 1]);
        }
        let size = CHANNEL_BLOCK * self.offsets.len();
        let mut weights = vec![0; self.outputs * size];
        for (first, width) in blocks(self.isa, 0..self.outputs) {
            let block = &mut weights[first * size..][..width * size];
            for (step, o) in (0..steps).flat_map(|step| (0..width).map(move |o| (step, o))) {
                block[place(self.isa, width, step, o)..][..CHANNEL_BLOCK].copy_from_slice(&four(first + o, step));
            }
        }
        weights
    }

    /// For AVX2.
    fn split_steps(&mut self, four: impl FourBytes, offsets: &[u32]) -> Vec<i8> {
        let mut weights = Vec::new();
        for first in (0..self.outputs).step_by(CHANNEL_BLOCK) {
            for (step, offset) in offsets.iter().enumerate() {
                for part in split([0, 1, 2, 3].map(|o| four(first + o, step))).into_iter().flatten() {
                    weights.extend(part.as_flattened());
                    self.offsets.push(*offset);
                }
            }
            self.ends.push(self.offsets.len() as u32);
        }
        weights
    }

    /// For NEON.
    fn order_steps(&mut self, four: impl FourBytes, offsets: &[u32]) -> Vec<i8> {
        let (mut weights, mut last) = (Vec::new(), 0);
        for (first, _) in blocks(Isa::Neon, 0..self.outputs) {
            let fours: Vec<[[i8; CHANNEL_BLOCK]; 2]> =
                (0..offsets.len()).map(|step| [four(first, step), four(first + 1, step)]).collect();
            let chains = chains::chains(&fours);
            for step in chains.iter().flatten() {
                // A step of zeros may read at any step's offset.
                let offset = offsets[step.unwrap_or(0)];
                self.offsets.push(offset.wrapping_sub(std::mem::replace(&mut last, offset)));
                weights.extend(step.map_or([0; 2 * CHANNEL_BLOCK].as_slice(), |step| fours[step].as_flattened()));
            }
            self.ends.push(self.offsets.len() as u32);
            self.chains.extend(chains.iter().map(|chain| (chain.len() / 2) as u8).chain([0]));
        }
        self.offsets.extend([0; AHEAD]);
        weights.extend([0; 2 * CHANNEL_BLOCK]);
        weights
    }
}

impl Packed {
    /// Its weights, which are stored apart.
    pub fn blob(&mut self) -> Blob<'_> {
        Blob::Quantized(&mut self.weights, self.len)
    }

    /// The instruction set that it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        self.len
    }

    /// Initial accumulators.
    pub(super) fn init(&self) -> &[i32] {
        &self.init
    }

    /// The greatest offset; `None` if there is no step.
    pub(crate) fn furthest(&self) -> Option<u32> {
        self.furthest
    }

    /// Each step's absolute offset.
    fn absolute(&self) -> impl Iterator<Item = u32> {
        let relative = self.isa == Isa::Neon;
        let steps = self.offsets.len().saturating_sub(if relative { AHEAD } else { 0 });
        absolute(&self.offsets[..steps], relative.then_some(0))
    }

    /// Finds where planes begin; all other fields must be consistent.
    fn find_starts(&mut self) {
        if self.isa != Isa::Neon {
            return;
        }
        let mut chains = self.chains.iter().enumerate().filter(|(_, steps)| **steps == 0).map(|(end, _)| end + 1);
        let mut start = Start { step: 0, offset: self.offsets[0], chain: 0 };
        self.starts = vec![start];
        // A plane has two blocks.
        for end in self.ends.iter().skip(1).step_by(2) {
            let end = *end as usize;
            let passed = self.offsets[start.step + 1..=end].iter();
            start.offset = passed.fold(start.offset, |offset, &distance| offset.wrapping_add(distance));
            (start.step, start.chain) = (end, chains.nth(1).unwrap_or(start.chain));
            self.starts.push(start);
        }
    }

    /// Planes behind which output channels can be divided, in order, the last one too.
    pub fn cuts(&self) -> impl Iterator<Item = usize> {
        blocks(self.isa, 0..self.outputs)
            .map(|(first, width)| first + width)
            .filter(|end| end.is_multiple_of(CHANNEL_BLOCK))
            .map(|end| end / CHANNEL_BLOCK)
    }

    /// Whether a range of planes can begin or end here.
    pub(super) fn has_cut(&self, plane: usize) -> bool {
        let planes = self.outputs / CHANNEL_BLOCK;
        let inside = || match self.isa {
            Isa::Avx512Vnni | Isa::Dotprod => plane < planes && plane.is_multiple_of(2),
            _ => plane < planes,
        };
        plane == 0 || plane == planes || inside()
    }

    /// The data that NEON reads from a plane's first step to the last block's last: the first offset, distances,
    /// weights and chains. Behind them are [`AHEAD`] zeros for distances, and for weights a step's.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn stream(&self, plane: usize) -> (u32, &[u32], &[i8], &[u8]) {
        assert!(self.isa == Isa::Neon && self.weights.len() == self.len, "weights are packed for NEON, and complete");
        let Start { step, offset, chain } = self.starts[plane];
        (offset, &self.offsets[step + 1..], &self.weights[2 * CHANNEL_BLOCK * step..], &self.chains[chain..])
    }

    /// The data that kernels with dot products read.
    #[cfg(target_arch = "aarch64")]
    pub(super) fn steps(&self) -> Steps<'_> {
        let Self { isa, offsets, distances, stride, weights, len, .. } = self;
        assert!(
            matches!(isa, Isa::Dotprod | Isa::I8mm) && weights.len() == *len,
            "weights are complete, for dot products"
        );
        let first = offsets.first().map_or(0, |&first| first as usize);
        Steps { first, stride: stride.map(|stride| stride as isize), distances, weights }
    }

    /// The blocks of some output channels, in order.
    pub(super) fn blocks(&self, outputs: Range<usize>) -> impl Iterator<Item = Block<'_>> + use<'_> {
        let size = CHANNEL_BLOCK * self.offsets.len();
        let weights: &[i8] = &self.weights;
        let before = match self.isa {
            Isa::Avx2 => outputs.start / CHANNEL_BLOCK,
            Isa::Neon => outputs.start / 2,
            _ => 0,
        };
        let mut begin = before.checked_sub(1).map_or(0, |last| self.ends[last] as usize);
        // The offset before the first; NEON's are relative to it.
        let mut last = match self.starts.get(outputs.start / CHANNEL_BLOCK) {
            Some(start) => start.offset.wrapping_sub(self.offsets[start.step]),
            None => 0,
        };
        blocks(self.isa, outputs).zip(before..).map(move |((first, width), block)| {
            if !matches!(self.isa, Isa::Avx2 | Isa::Neon) {
                let weights = &weights[first * size..][..width * size];
                return Block { first, width, offsets: &self.offsets, base: None, weights };
            }
            let end = self.ends[block] as usize;
            let offsets = &self.offsets[begin..end];
            let weights = &weights[CHANNEL_BLOCK * width * begin..CHANNEL_BLOCK * width * end];
            begin = end;
            let base = (self.isa == Isa::Neon).then_some(last);
            last = absolute(offsets, base).last().unwrap_or(last);
            Block { first, width, offsets, base, weights }
        })
    }

    /// For each step of a block the offset and the four weights of its channel `o`.
    pub(super) fn products<'a>(&self, block: Block<'a>, o: usize) -> impl Iterator<Item = (u32, [i8; 4])> + use<'a> {
        let isa = self.isa;
        absolute(block.offsets, block.base).enumerate().map(move |(step, offset)| {
            let place = place(isa, block.width, step, o);
            (offset, block.weights[place..][..CHANNEL_BLOCK].try_into().expect("four"))
        })
    }

    /// The initial accumulators of a block's channel `o`, for activations that are not shifted.
    pub(super) fn start(&self, block: Block<'_>, o: usize) -> i32 {
        let init = self.init[block.first + o];
        let all = || self.products(block, o).flat_map(|(_, weights)| weights).collect::<Vec<i8>>();
        if self.isa.shifted() { init.wrapping_sub(shift_correction(&all())) } else { init }
    }
}

/// Absolute offsets: with `base`, each is relative to the previous one, the first to `base`.
fn absolute(offsets: &[u32], base: Option<u32>) -> impl Iterator<Item = u32> {
    let mut last = base.unwrap_or(0);
    offsets.iter().map(move |&offset| {
        last = if base.is_some() { last.wrapping_add(offset) } else { offset };
        last
    })
}

/// The index of a channel's weights of a step in a block of `width` channels.
fn place(isa: Isa, width: usize, step: usize, o: usize) -> usize {
    if isa == Isa::I8mm {
        CHANNEL_BLOCK * (step / 2 * 2 * width + 2 * o + step % 2)
    } else {
        CHANNEL_BLOCK * (step * width + o)
    }
}

/// First channel and number of channels of each block of some output channels. A range that begins or ends between two blocks has the same.
fn blocks(isa: Isa, outputs: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let mut next = outputs.start;
    std::iter::from_fn(move || {
        let width = match (isa, outputs.end - next) {
            (_, 0) => return None,
            (Isa::Avx512Vnni, left) => left.min(8),
            (Isa::Neon, _) => 2,
            (Isa::Dotprod, 8..) => 8,
            _ => 4,
        };
        next += width;
        Some((next - width, width))
    })
}

/// Splits a step's weights for four channels into one or two sets that add up to them, such that `vpmaddubsw` is exact on each.
///
/// It adds the products of two neighbours, u8 by s8, in 16 bits, and saturates. With x in 0..=255 and weights a and b, the
/// sum lies between 255 times the sum of the negative ones of a and b and 255 times that of the positive ones. If the signs
/// differ, one weight counts, and 255 * 127 = 32385 fits. If not, a + b counts: 255 * 128 = 32640 fits, 255 * 129 = 32895
/// does not. So where |a + b| exceeds 128, the excess of b goes to the second set, next to a 0: at most 126.
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
