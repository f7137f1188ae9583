//! Weights in the order in which the f32 kernels read them.
//!
//! Output channels come in blocks of 16; a block's steps follow one another, each with its four input channels' weights for all outputs of the
//! block: `[outputs / 16][steps][4][16]`. In the last block, outputs that do not exist have weights of 0. The order is the same for all
//! instruction sets, which differ only in the numbers of outputs and pixels that they compute at a time.

use serde::{Deserialize, Serialize};

use super::super::{Blob, CHANNEL_BLOCK, Kernels, Weights};

/// Output channels of a block.
pub(in super::super) const OUTPUT_BLOCK: usize = 16;

/// Weights of one step in a block.
pub(super) const STEP: usize = CHANNEL_BLOCK * OUTPUT_BLOCK;

/// A convolution's packed weights, and each step's offset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PackedF32Fields")]
pub struct PackedF32 {
    outputs: usize,
    /// Stored apart, see [`Blob`].
    #[serde(skip)]
    weights: Weights<f32>,
    len: usize,
    offsets: Vec<u32>,
}

/// The serialized fields, in this order.
#[derive(Deserialize)]
struct PackedF32Fields {
    outputs: usize,
    len: usize,
    offsets: Vec<u32>,
}

impl TryFrom<PackedF32Fields> for PackedF32 {
    type Error = &'static str;

    fn try_from(PackedF32Fields { outputs, len, offsets }: PackedF32Fields) -> Result<Self, Self::Error> {
        let padded = outputs.checked_next_multiple_of(OUTPUT_BLOCK);
        let needed = padded.and_then(|padded| offsets.len().checked_mul(CHANNEL_BLOCK)?.checked_mul(padded));
        let fits = outputs.is_multiple_of(CHANNEL_BLOCK) && needed == Some(len);
        if fits {
            Ok(Self { outputs, weights: Weights::default(), len, offsets })
        } else {
            Err("packed weights that contradict themselves")
        }
    }
}

impl Kernels {
    /// Packs `weights`, `[outputs][steps][4]`, for these kernels. `offsets` are the positions of each step's first pixel, in
    /// values, in any order and with repetitions.
    ///
    /// # Panics
    /// If the number of output channels is not a multiple of 4.
    pub fn pack_f32(self, weights: &[f32], offsets: &[u32]) -> PackedF32 {
        let channel = CHANNEL_BLOCK * offsets.len();
        assert_eq!(
            weights.len() % (CHANNEL_BLOCK * channel).max(1),
            0,
            "{} weights of {} steps",
            weights.len(),
            offsets.len()
        );
        let outputs = weights.len() / channel.max(1);
        let mut packed = vec![0.0; outputs.next_multiple_of(OUTPUT_BLOCK) * channel];
        for (output, weights) in weights.chunks_exact(channel.max(1)).enumerate() {
            let block = output / OUTPUT_BLOCK * OUTPUT_BLOCK * channel;
            for (input, weight) in weights.iter().enumerate() {
                packed[block + OUTPUT_BLOCK * input + output % OUTPUT_BLOCK] = *weight;
            }
        }
        PackedF32 { outputs, len: packed.len(), weights: packed.into(), offsets: offsets.into() }
    }
}

impl PackedF32 {
    /// Its weights, which are stored apart.
    pub fn blob(&mut self) -> Blob<'_> {
        Blob::Reals(&mut self.weights, self.len)
    }

    /// Number of output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.offsets.len()
    }

    /// The greatest offset; `None` if there is no step.
    pub(crate) fn furthest(&self) -> Option<u32> {
        self.offsets.iter().copied().max()
    }

    /// Number of packed weights, those of 0 that fill a block included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Each step's offset.
    pub(in super::super) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// All weights, [`STEP`] of them for each step in each block.
    pub(in super::super) fn weights(&self) -> &[f32] {
        &self.weights
    }
}
