//! 1x1 `Conv` with strides. tract 0.23.9 downsamples first and then convolves (`tract-core` `ops/cnn/conv/conv.rs`,
//! `declutter_stride_slice_to_downsample`), and moves the downsampling through the operators in front
//! (`ops/downsample/mod.rs`): through a convolution whose padding is recomputed for the new strides, through a softmax along
//! the same axis, and through reshapes, where it fails. With a pool's padding type, tract leaves such a convolution as it is.

use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::Expansion;
use tract_onnx::tract_hir::ops::cnn::Conv;

/// `op` such that tract runs it correctly if it is a convolution; other operators unchanged.
pub(super) fn kept(op: Box<dyn Expansion>, ctx: &ParsingContext, node: &NodeProto) -> Box<dyn Expansion> {
    let Some(conv) = (*op).as_any().downcast_ref::<Conv>() else { return op };
    let Some(strides) = conv.strides.clone() else { return op };
    let zeros = || TVec::from_elem(0, strides.len());
    let (before, after) = match &conv.padding {
        PaddingSpec::Explicit(before, after) => (before.clone(), after.clone()),
        PaddingSpec::Valid => (zeros(), zeros()),
        _ => return op,
    };
    // The extents of computed weights are not known yet.
    let stored = |name: &String| {
        let graph = ctx.parent_graphs.last()?;
        graph.initializer.iter().find(|tensor| tensor.name == *name)
    };
    let stored = node.input.get(1).and_then(stored).map(|tensor| tensor.dims.iter().skip(2).copied().collect());
    let kernel: Option<TVec<i64>> =
        conv.kernel_shape.as_ref().map(|kernel| kernel.iter().map(|&n| n as i64).collect()).or(stored);
    let taken = |axis: usize| {
        let stride = strides[axis];
        let dilation = conv.dilations.as_ref().and_then(|dilations| dilations.get(axis)).copied().unwrap_or(1);
        let one = kernel.as_ref().is_none_or(|kernel| kernel.get(axis).is_none_or(|&extent| extent == 1));
        let padded = [&before, &after].iter().any(|pads| pads.get(axis).is_some_and(|&pad| pad > 0));
        stride > 1 && !padded && (one || dilation.is_multiple_of(stride))
    };
    if (0..strides.len()).any(taken) {
        let padding = PaddingSpec::ExplicitOnnxPool(before, after, false);
        return Box::new(conv.clone().padding(padding));
    }
    op
}
