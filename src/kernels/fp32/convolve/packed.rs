//! Weights in the order in which the f32 kernels read them.
//!
//! Output channels come in blocks of four; a block's steps follow one another, each with four weights for each channel:
//! `[outputs / 4][steps][4][4]`. The order is the same for all instruction sets, which differ only in the number of pixels they
//! compute at a time.

use serde::{Deserialize, Serialize};

use super::super::{Blob, CHANNEL_BLOCK, Kernels, Weights};

/// Weights of one step in a block of output channels.
pub(super) const STEP: usize = CHANNEL_BLOCK * CHANNEL_BLOCK;

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
        let fits = outputs.is_multiple_of(CHANNEL_BLOCK)
            && offsets.len().checked_mul(CHANNEL_BLOCK).and_then(|channel| channel.checked_mul(outputs)) == Some(len);
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
        let mut packed = Vec::with_capacity(weights.len());
        for block in weights.chunks_exact((CHANNEL_BLOCK * channel).max(1)) {
            for step in 0..offsets.len() {
                for weights in block.chunks_exact(channel) {
                    packed.extend(&weights[CHANNEL_BLOCK * step..][..CHANNEL_BLOCK]);
                }
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

    /// Number of packed weights.
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
