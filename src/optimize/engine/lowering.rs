//! The context in which a layer is lowered to a task.

use super::memory_plan::Placement;
use super::segments::Segment;
use crate::kernels::Kernels;
use crate::model::fused::FusedNetwork;

/// The network, its segments and their places, and the kernels.
#[derive(Clone, Copy)]
pub(super) struct Lowering<'a> {
    /// The network that is lowered.
    pub(super) network: &'a FusedNetwork,
    /// Each segment's layout.
    pub(super) segments: &'a [Segment],
    /// Each segment's place in memory.
    pub(super) places: &'a [Placement],
    /// The kernels that tasks call.
    pub(super) kernels: Kernels,
}

/// The weights of an int8 convolution, as in [`ConvolutionWeights`](crate::model::fused::ConvolutionWeights).
#[derive(Clone, Copy)]
pub(super) struct Int8Weights<'a> {
    pub(super) values: &'a [i8],
    pub(super) zero_points: &'a [i16],
    pub(super) input_zero_point: i32,
}
