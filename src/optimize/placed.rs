//! A fused network in place of its node, while tract infers shapes.

use tract_core::internal::*;
use tract_onnx::pb::ModelProto;
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, Solver, TensorProxy};

use super::FusedOp;
use crate::error::{Error, ErrorKind};
use crate::model::fused::{Input, Shape};
use crate::model::onnx::writer;

/// The operator, and for messages the writer of each of its inputs.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    op: FusedOp,
    writers: Vec<String>,
}

impl Placed {
    /// `op` in the graph of `proto`.
    pub(super) fn new(op: FusedOp, proto: &ModelProto) -> Self {
        let writers = op.engine().inputs().iter().map(|input| writer(proto, &input.name)).collect();
        Self { op, writers }
    }

    /// Checks that input `number` has the extents that the network was made for. Behind a node that is left to tract these are
    /// what the file declares, which may be wrong.
    fn check(&self, number: usize, dims: &[TDim]) -> TractResult<()> {
        let Some(Input { name, shape }) = self.op.engine().inputs().get(number) else { return Ok(()) };
        let &Shape { channels, height, width } = shape;
        let fits = |declared: &[usize]| dims.iter().cloned().eq(declared.iter().map(ToDim::to_dim));
        if fits(&[1, channels, height, width]) || fits(&[1, shape.len()]) {
            return Ok(());
        }
        let dims: Vec<String> = dims.iter().map(TDim::to_string).collect();
        let message = format!(
            "it writes {name} of [{}], and the file's value_info has {:?}: take that out of the file",
            dims.join(", "),
            [1, channels, height, width]
        );
        Err(Error::new(ErrorKind::Model, message).at(&self.writers[number]).into())
    }
}

impl Expansion for Placed {
    fn name(&self) -> StaticName {
        Op::name(&self.op)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.op.engine().outputs().len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        for (proxy, dims) in outputs.iter().zip(self.op.engine().outputs()) {
            solver.equals(&proxy.datum_type, f32::datum_type())?;
            let dims: TVec<TDim> = dims.iter().map(|dim| dim.to_dim()).collect();
            solver.equals(&proxy.shape, dims)?;
        }
        for (number, proxy) in inputs.iter().take(self.op.engine().inputs().len()).enumerate() {
            solver.equals(&proxy.datum_type, f32::datum_type())?;
            solver.given(&proxy.shape, move |_, dims: TVec<TDim>| self.check(number, &dims))?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        for (number, input) in inputs.iter().enumerate() {
            self.check(number, &model.outlet_fact(*input)?.shape.to_tvec())?;
        }
        model.wire_node(prefix, self.op.clone(), inputs)
    }
}
