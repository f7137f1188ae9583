//! The steps of a run, each of which can be timed.

use tract_core::internal::*;

use super::executed::{ComputeType, Executed, Kernel, Operation, by_tract};
use crate::optimize::{self, Engine, FusedOp, Traffic};

/// A step of a run: what [`super::Execution`] lists, and what is done before and after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is computed.
    pub executed: Executed,
    /// How an engine computes it, where there is more than one way: `direct`, `winograd`, `depthwise`; of what tract computes `None`.
    pub algorithm: Option<&'static str>,
    /// Bytes that it reads and writes, each once; `None` where tract does not know extents.
    pub traffic: Option<Traffic>,
}

/// The steps of an engine, in order.
pub(super) fn of_engine(engine: &Engine) -> impl Iterator<Item = Step> {
    let f32 = |node: &str, op| Executed {
        node: node.to_owned(),
        op,
        r#type: ComputeType::F32,
        kernel: Kernel::Engine(engine.isa()),
        macs: 0,
    };
    engine.steps().map(move |step| {
        let (executed, algorithm, traffic) = match step {
            optimize::Step::Load(name, traffic) => (f32(name, Operation::Load), "direct", traffic),
            optimize::Step::Layer(layer, algorithm) => {
                let r#type = if layer.int8 { ComputeType::Int8 } else { ComputeType::F32 };
                let (op, macs) = (Operation::Layer(layer.op), layer.macs);
                (Executed { r#type, macs, ..f32(&layer.name, op) }, algorithm, layer.traffic)
            }
            optimize::Step::Store(traffic) => (f32("output", Operation::Store), "direct", traffic),
        };
        Step { executed, algorithm: Some(algorithm), traffic: Some(traffic) }
    })
}

/// The steps of each node that computes something, in the order in which they are listed, with the node's number.
pub(super) fn of_graph(model: &TypedModel) -> TractResult<Vec<(usize, Vec<Step>)>> {
    let mut nodes = Vec::new();
    for &id in &model.eval_order()? {
        let node = model.node(id);
        match node.op_as::<FusedOp>() {
            Some(fused) => nodes.push((id, of_engine(fused.engine()).collect())),
            None if !node.inputs.is_empty() => {
                let executed = by_tract(model, node)?;
                nodes.push((id, vec![Step { executed, algorithm: None, traffic: traffic(model, node)? }]));
            }
            None => {}
        }
    }
    Ok(nodes)
}

/// What a node of tract's reads and writes: constants are its weights.
fn traffic(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Traffic>> {
    let bytes = |fact: &TypedFact| -> Option<u64> {
        let values = fact.shape.as_concrete()?.iter().fold(1u64, |all, &side| all.saturating_mul(side as u64));
        Some(values.saturating_mul(fact.datum_type.size_of() as u64))
    };
    let mut all = Traffic::default();
    for input in model.node_input_facts(node.id)? {
        let Some(bytes) = bytes(input) else { return Ok(None) };
        let to = if input.konst.is_some() { &mut all.weights } else { &mut all.read };
        *to = to.saturating_add(bytes);
    }
    for output in &node.outputs {
        let Some(bytes) = bytes(&output.fact) else { return Ok(None) };
        all.written = all.written.saturating_add(bytes);
    }
    Ok(Some(all))
}
