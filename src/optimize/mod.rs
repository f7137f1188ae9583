//! Fused networks as operators of tract's graph.
//!
//! [`crate::model::onnx::fuse`] finds networks with branches in the file and replaces each by a node; here tract reads the
//! graph around them, gets an operator for each of those nodes, and optimizes the whole.

mod cost;
mod engine;
mod fused_op;
pub mod gpu;
mod guards;
mod memory_planner;
mod placed;
pub mod rewrite;
#[cfg(test)]
mod tests;

pub use engine::{Engine, Memory, Step, Traffic};
pub use fused_op::FusedOp;
pub use guards::named;

use tract_core::internal::*;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{Framework, InferenceModelExt};
use tract_onnx::tract_hir::internal::expand;

use crate::kernels::Kernels;
use crate::model::Limits;
use crate::model::fused::FusedNetwork;
use crate::model::onnx::node_name;
use placed::Placed;

/// Settings for building a graph.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The kernels that run fused networks.
    pub kernels: Kernels,
    /// Number of threads that run them.
    pub threads: usize,
    /// Limits on the cost of the whole graph.
    pub limits: Limits,
}

/// The graph of `proto` with `networks` in place of their nodes, optimized by tract. The graph's one input is f32 of the shape
/// `input`.
///
/// # Errors
/// tract's, for unknown operators or shapes that cannot be inferred; [`crate::error::Error`] if [`Engine::new`] refuses a
/// network, or the graph costs more than [`Build::limits`] allow.
pub fn optimized(
    proto: &ModelProto,
    networks: Vec<FusedNetwork>,
    how: &Build,
    input: &[usize],
) -> TractResult<TypedModel> {
    let mut model = read(proto, input).map_err(named)?;
    for (number, mut network) in networks.into_iter().enumerate() {
        rewrite::all(&mut network);
        let node = model.node_id_by_name(&node_name(number))?;
        let op = FusedOp::new(&network, how.kernels, how.threads, &how.limits)?;
        model.node_mut(node).op = expand(Placed::new(op, proto));
    }
    let model = model.into_typed().map_err(named)?;
    cost::check(&model, &how.limits)?;
    model.into_decluttered().and_then(TypedModel::into_optimized).map_err(named)
}

/// The graph as it is, for a runtime that optimizes it itself.
///
/// # Errors
/// As [`optimized`].
pub fn as_it_is(proto: &ModelProto, input: &[usize]) -> TractResult<TypedModel> {
    read(proto, input).and_then(|model| model.into_typed()?.into_decluttered()).map_err(named)
}

fn read(proto: &ModelProto, input: &[usize]) -> TractResult<tract_onnx::prelude::InferenceModel> {
    // The file's shapes of intermediate values may name the symbolic batch: they are inferred afresh.
    let onnx = guards::guarded().with_ignore_value_info(true).with_ignore_output_shapes(true);
    let mut model = onnx.model_for_proto_model(proto)?;
    model.set_input_fact(0, f32::fact(input).into())?;
    Ok(model)
}

/// The operator that makes up all of `model`, if there is one: it reads the model's input and gives its outputs, in their order.
pub fn whole(model: &TypedModel) -> Option<FusedOp> {
    let ([input], outputs) = (model.input_outlets().ok()?, model.output_outlets().ok()?) else { return None };
    let node = model.node(outputs.first()?.node);
    let op = node.op_as::<FusedOp>()?;
    let gives = outputs.iter().copied().eq((0..node.outputs.len()).map(|slot| OutletId::new(node.id, slot)));
    (node.inputs.as_slice() == [*input] && gives).then(|| op.clone())
}
