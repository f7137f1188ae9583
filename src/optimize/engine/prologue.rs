//! Prologues: from stored values to an operator's input, quantized values (bytes) or f32.

use std::fmt::Debug;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::memory::{ScratchSize, Sources, SplitBorrow, TileScratch};
use super::pick::Lane;
use super::segments::{Segment, Storage, affines};
use crate::kernels::{AffineChain, AffineChainF32, ChainInput, ChainInputF32, Kernels, Operand, PlanesMut, QuantType};
use crate::model::fused::Read;
use crate::quant::{Affine, Function};

/// A quantized value or an f32.
pub(super) trait Element: Lane + Default + Debug + PartialEq {
    /// The prologue whose results have this type.
    type Prologue: Prologue<Self> + Clone + Debug + PartialEq + Serialize + DeserializeOwned;

    /// Whether it is an f32.
    const F32: bool;

    /// The stored values of this type that a layer can read.
    fn stored(sources: Sources<'_>) -> SplitBorrow<'_, Self>;

    /// Scratch for an operator's input, and for the same before im2row.
    fn scratch(scratch: &mut TileScratch) -> (&mut [Self], &mut [Self]);

    /// The size of that scratch.
    fn scratch_size(lengths: (usize, usize)) -> ScratchSize;
}

impl Element for u8 {
    type Prologue = ToQuantized;
    const F32: bool = false;

    fn stored(sources: Sources<'_>) -> SplitBorrow<'_, Self> {
        sources.bytes
    }

    fn scratch(scratch: &mut TileScratch) -> (&mut [Self], &mut [Self]) {
        (scratch.qvalues.values(), scratch.raw_qvalues.values())
    }

    fn scratch_size((qvalues, raw_qvalues): (usize, usize)) -> ScratchSize {
        ScratchSize { qvalues, raw_qvalues, ..ScratchSize::default() }
    }
}

impl Element for f32 {
    type Prologue = ToF32;
    const F32: bool = true;

    fn stored(sources: Sources<'_>) -> SplitBorrow<'_, Self> {
        sources.floats
    }

    fn scratch(scratch: &mut TileScratch) -> (&mut [Self], &mut [Self]) {
        (scratch.floats.values(), scratch.raw_floats.values())
    }

    fn scratch_size((floats, raw_floats): (usize, usize)) -> ScratchSize {
        ScratchSize { floats, raw_floats, ..ScratchSize::default() }
    }
}

/// Affines from stored values to values of type `T`.
pub(super) trait Prologue<T>: Sized {
    /// The type of the results.
    type To: Copy + PartialEq;

    /// The type of the results for a read.
    fn to(read: &Read, segments: &[Segment]) -> Self::To;

    /// The prologue for values stored as `kind`, of `channels` channels.
    fn new(affines: &[Affine], channels: usize, kind: Storage, to: Self::To) -> Self;

    /// Whether it takes values stored as `kind`.
    fn takes(&self, kind: Storage) -> bool;

    /// Whether values stored as `kind` are known to stay as they are.
    fn is_identity(&self, kind: Storage) -> bool;

    /// Numbers of planes and affines.
    fn extent(&self) -> (usize, usize);

    /// Applies it to stored values.
    fn run(&self, kernels: Kernels, from: StoredPlanes<'_>, out: &mut PlanesMut<'_, T>);
}

/// Some stored pixels of some planes.
pub(super) struct StoredPlanes<'a> {
    pub(super) sources: Sources<'a>,
    pub(super) kind: Storage,
    pub(super) start: usize,
    pub(super) plane_stride: usize,
    /// The indices of these planes among the prologue's.
    pub(super) planes: Range<usize>,
    pub(super) pixels: usize,
}

/// To quantized values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ToQuantized {
    /// From quantized values.
    Affine(AffineChain),
    /// From quantized or f32 values, to quantized values of this type.
    Rounded(AffineChainF32, QuantType),
}

/// From quantized or f32 values to f32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ToF32(AffineChainF32);

impl<'a> StoredPlanes<'a> {
    fn operand(self) -> ChainInputF32<'a> {
        let Self { sources, kind, start, plane_stride, planes, pixels } = self;
        let input = match kind {
            Storage::Quantized(qvalues) => Operand::Quantized(sources.bytes.from(start), qvalues),
            Storage::F32 => Operand::F32(sources.floats.from(start)),
        };
        ChainInputF32 { input, plane_stride, planes, pixels }
    }
}

impl Prologue<u8> for ToQuantized {
    type To = QuantType;

    fn to(read: &Read, segments: &[Segment]) -> QuantType {
        if is_signed(read, segments) { QuantType::ActivationSigned } else { QuantType::Activation }
    }

    fn new(affines: &[Affine], channels: usize, kind: Storage, to: QuantType) -> Self {
        let quantized = match kind {
            Storage::Quantized(from) => chain(affines, channels, from, to),
            Storage::F32 => None,
        };
        quantized.map_or_else(|| Self::Rounded(AffineChainF32::new(channels, affines), to), Self::Affine)
    }

    fn takes(&self, kind: Storage) -> bool {
        matches!((self, kind), (Self::Rounded(..), _) | (_, Storage::Quantized(_)))
    }

    fn is_identity(&self, _: Storage) -> bool {
        false
    }

    fn extent(&self) -> (usize, usize) {
        match self {
            Self::Affine(chain) => (chain.planes(), chain.affines()),
            Self::Rounded(chain, _) => (chain.planes(), chain.affines()),
        }
    }

    fn run(&self, kernels: Kernels, from: StoredPlanes<'_>, out: &mut PlanesMut<'_, u8>) {
        match self {
            Self::Affine(chain) => {
                let StoredPlanes { sources, start, plane_stride, planes, pixels, .. } = from;
                let input = sources.bytes.from(start);
                kernels.affine(chain, &ChainInput { input, plane_stride, planes, pixels }, out);
            }
            Self::Rounded(chain, qvalues) => kernels.affine_to_quantized(chain, &from.operand(), *qvalues, out),
        }
    }
}

impl Prologue<f32> for ToF32 {
    type To = ();

    fn to(_: &Read, _: &[Segment]) {}

    fn new(affines: &[Affine], channels: usize, _: Storage, (): ()) -> Self {
        Self(AffineChainF32::new(channels, affines))
    }

    fn takes(&self, _: Storage) -> bool {
        true
    }

    fn is_identity(&self, kind: Storage) -> bool {
        kind == Storage::F32 && self.0.affines() == 0
    }

    fn extent(&self) -> (usize, usize) {
        (self.0.planes(), self.0.affines())
    }

    fn run(&self, kernels: Kernels, from: StoredPlanes<'_>, out: &mut PlanesMut<'_, f32>) {
        kernels.affine_to_f32(&self.0, &from.operand(), out);
    }
}

/// Whether the values read are signed quantized values.
pub(super) fn is_signed(read: &Read, segments: &[Segment]) -> bool {
    match affines(read, segments).last() {
        Some(affine) => affine.low < 0.0,
        None => segments[read.segment].signed(),
    }
}

/// An affine over channels as one over lanes; lanes without a channel become 0.
pub(super) fn laned(affine: &Affine, segment: &Segment) -> Affine {
    let spread = |values: &[f32]| {
        let mut lanes = vec![0.0; 4 * segment.planes];
        segment.lanes.iter().zip(values).for_each(|(&lane, &value)| lanes[lane] = value);
        lanes
    };
    Affine { mul: spread(&affine.mul), add: spread(&affine.add), ..affine.clone() }
}

/// A chain of affines from quantized values to quantized values, if possible; the identity without affines.
pub(super) fn chain(affines: &[Affine], channels: usize, from: QuantType, to: QuantType) -> Option<AffineChain> {
    let (low, high) = to.range();
    let same = [Affine {
        mul: vec![1.0; channels],
        add: vec![0.0; channels],
        low,
        high,
        function: Function::Identity,
        round: true,
    }];
    AffineChain::new(if affines.is_empty() { &same } else { affines }, from, to).ok()
}
