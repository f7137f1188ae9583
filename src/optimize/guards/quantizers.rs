//! `QuantizeLinear` and `DequantizeLinear` as arithmetic.
//!
//! tract 0.23.9 replaces everything between the two by a table of 256 values (`tract-core` `ops/quant.rs`,
//! `DequantizeLinearF32::declutter`), even if an operator in between is not elementwise, such as a softmax, and if the two have
//! different types. Plain arithmetic is not replaced. tract also ignores `output_dtype`, and reads the first value of an empty
//! scale.

use tract_core::internal::*;
use tract_core::ops::cast::cast;
use tract_core::ops::math::{mul, sub};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, Solver, TensorProxy};

use super::quantize::Quantize;
use crate::model::onnx::adds_zero_point_first;

#[derive(Debug, Clone)]
pub(super) struct GuardedQuantizer {
    node: String,
    quantizes: bool,
    axis: i64,
    /// Number of consecutive values along the axis that share a scale; 0 for one scale in all, or one for each index.
    block: usize,
    /// The output type if there is no zero point.
    output: DatumType,
    /// Whether the zero point is added before rounding.
    zero_point_first: bool,
}

/// The guarded operator, if `node` is a quantizer or dequantizer.
pub(super) fn of(node: &NodeProto) -> Option<GuardedQuantizer> {
    let quantizes = match node.op_type.as_str() {
        "QuantizeLinear" => true,
        "DequantizeLinear" => false,
        _ => return None,
    };
    let int = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.i);
    // The importer lets only the two 8-bit types pass.
    let output = if int("output_dtype") == Some(3) { i8::datum_type() } else { u8::datum_type() };
    let zero_point_first = adds_zero_point_first(node);
    let name = if node.name.is_empty() { node.output.first()? } else { &node.name };
    let node = format!("node {name} ({})", node.op_type);
    let block = usize::try_from(int("block_size").unwrap_or(0)).ok()?;
    Some(GuardedQuantizer { node, quantizes, axis: int("axis").unwrap_or(1), block, output, zero_point_first })
}

impl GuardedQuantizer {
    /// Blocked scales or zero points as f32, repeated for each value.
    fn repeated(&self, known: &Tensor, axis: usize, shape: &[usize]) -> TractResult<Tensor> {
        let mut blocks = shape.to_vec();
        blocks[axis] = shape[axis].div_ceil(self.block);
        ensure!(
            known.shape() == &*blocks,
            "{}: its scales {:?} do not fit blocks of {} along axis {axis} of {shape:?}",
            self.node,
            known.shape(),
            self.block
        );
        let known = known.cast_to::<f32>()?;
        let known = known.to_plain_array_view::<f32>()?;
        let value = |at: tract_ndarray::IxDyn| {
            let mut at = at;
            at[axis] /= self.block;
            known[at]
        };
        Ok(tract_ndarray::ArrayD::from_shape_fn(shape, value).into_tensor())
    }

    /// A scale or zero point as f32, with the rank of the quantized tensor.
    fn parameter(&self, model: &TypedModel, outlet: OutletId, shape: &[usize]) -> TractResult<Tensor> {
        let at = &self.node;
        let known = model.outlet_fact(outlet)?.konst.clone();
        let known = known.with_context(|| format!("{at}: its scale or zero point is not in the file"))?;
        let mut dims = vec![1; shape.len()];
        if known.len() != 1 || self.block > 0 {
            let axis = if self.axis < 0 { self.axis + shape.len() as i64 } else { self.axis };
            let axis = usize::try_from(axis).ok().filter(|&axis| axis < shape.len());
            let axis = axis.with_context(|| format!("{at}: attribute axis = {} is no axis of {shape:?}", self.axis))?;
            if self.block > 0 {
                return self.repeated(&known, axis, shape);
            }
            ensure!(
                known.rank() == 1 && known.len() == shape[axis],
                "{at}: its scales {:?} do not fit axis {axis} of {shape:?}",
                known.shape()
            );
            dims[axis] = known.len();
        }
        known.cast_to::<f32>()?.into_owned().into_shape(&dims)
    }
}

impl Expansion for GuardedQuantizer {
    fn name(&self) -> StaticName {
        if self.quantizes { "QuantizeLinear".into() } else { "DequantizeLinear".into() }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!([2, 3].contains(&inputs.len()) && outputs.len() == 1, "{}: wrong number of inputs", self.node);
        solver.equals(&inputs[1].datum_type, f32::datum_type())?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)?;
        match inputs.get(2) {
            _ if !self.quantizes => solver.equals(&outputs[0].datum_type, f32::datum_type()),
            Some(zero_point) => solver.equals(&outputs[0].datum_type, &zero_point.datum_type),
            None => solver.equals(&outputs[0].datum_type, self.output),
        }
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?;
        let (shape, kind) = (fact.shape.as_concrete().map(<[usize]>::to_vec), fact.datum_type);
        let shape = shape.with_context(|| format!("{}: its extents are not known", self.node))?;
        let scale = self.parameter(model, inputs[1], &shape)?.into_arc_tensor();
        let zero_point = match inputs.get(2) {
            Some(&zero) => self.parameter(model, zero, &shape)?,
            None => tensor0(0f32).broadcast_into_rank(shape.len())?,
        };
        let zero_point = zero_point.into_arc_tensor();
        if !self.quantizes {
            let mut wire = model.wire_node(format!("{prefix}.cast"), cast(f32::datum_type()), &inputs[..1])?;
            if inputs.len() > 2 {
                let zero = model.add_const(format!("{prefix}.zero_point"), zero_point)?;
                wire = model.wire_node(format!("{prefix}.sub"), sub(), &[wire[0], zero])?;
            }
            let scale = model.add_const(format!("{prefix}.scale"), scale)?;
            return model.wire_node(prefix, mul(), &[wire[0], scale]);
        }
        ensure!(kind == f32::datum_type(), "{}: it quantizes {kind:?}", self.node);
        let output =
            inputs.get(2).map_or(Ok(self.output), |&zero| model.outlet_fact(zero).map(|fact| fact.datum_type))?;
        ensure!([i8::datum_type(), u8::datum_type()].contains(&output), "{}: it quantizes to {output:?}", self.node);
        let quantize = Quantize { scale, zero_point, output, zero_point_first: self.zero_point_first };
        model.wire_node(prefix, quantize, &inputs[..1])
    }
}
