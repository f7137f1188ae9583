//! `Mean`. tract 0.23.9 divides by a scalar that has the first input's rank (`tract-hir` `ops/binary.rs`, `Nary::to_typed`), and
//! refuses the graph where the result has a higher one.

use tract_core::broadcast::multi_broadcast;
use tract_core::internal::*;
use tract_core::ops::change_axes::wire_with_rank_broadcast;
use tract_core::ops::math::{add, div};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, IntoExp, Solver, TensorProxy};

#[derive(Debug, Clone)]
pub(super) struct Mean {
    node: String,
}

/// The operator, if `node` is a `Mean`.
pub(super) fn of(node: &NodeProto) -> Option<Mean> {
    if node.op_type != "Mean" {
        return None;
    }
    let name = if node.name.is_empty() { node.output.first()? } else { &node.name };
    Some(Mean { node: format!("node {name} (Mean)") })
}

impl Expansion for Mean {
    fn name(&self) -> StaticName {
        "Mean".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(!inputs.is_empty() && outputs.len() == 1, "{}: it has no inputs", self.node);
        for input in inputs {
            solver.equals(&outputs[0].datum_type, &input.datum_type)?;
        }
        solver.given_all(inputs.iter().map(|input| (&input.shape).bex()), move |solver, shapes: Vec<TVec<TDim>>| {
            let shape = multi_broadcast(&shapes).map_err(|e| format_err!("{}: {e}", self.node))?;
            solver.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut sum = inputs[0];
        for (number, &input) in inputs.iter().enumerate().skip(1) {
            sum = wire_with_rank_broadcast(format!("{prefix}.sum-{number}"), model, add(), &[sum, input])?[0];
        }
        let fact = model.outlet_fact(sum)?;
        let (kind, rank) = (fact.datum_type, fact.rank());
        ensure!(kind.is_float(), "{}: Densight does not take the mean of {kind:?}", self.node);
        let count = tensor0(inputs.len() as f32).cast_to_dt(kind)?.into_owned().broadcast_into_rank(rank)?;
        let count = model.add_const(format!("{prefix}.count"), count)?;
        model.wire_node(prefix, div(), &[sum, count])
    }
}
