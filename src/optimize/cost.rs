//! The cost of a graph, computed before it is optimized or run.

use tract_core::internal::*;
use tract_core::ops::cnn::{MaxPool, SumPool};

use super::FusedOp;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Limit, Limits};

/// Bytes that tract keeps for each value of a pool's window: its position, and the distance from the first.
const PLACE: u64 = 48;

/// Checks that `model` is within the limits on activations and multiply-adds.
///
/// # Errors
/// [`ErrorKind::Model`] naming the first node beyond a limit, or with unknown extents.
pub(super) fn check(model: &TypedModel, limits: &Limits) -> TractResult<()> {
    let order = model.eval_order()?;
    let mut last = vec![0; model.nodes.len()];
    for (time, &node) in order.iter().enumerate() {
        model.node(node).inputs.iter().for_each(|input| last[input.node] = time);
    }
    model.output_outlets()?.iter().for_each(|output| last[output.node] = order.len());
    let (mut bytes, mut macs) = (0_u64, 0_u64);
    let mut ends: Vec<(usize, u64)> = Vec::new();
    for (time, &node) in order.iter().enumerate() {
        let node = model.node(node);
        let at = |e: Error| e.at(format!("node {}", node.name));
        let size = written(node).map_err(at)?;
        bytes = bytes.saturating_add(size).saturating_add(places(node).saturating_mul(PLACE));
        macs = macs.saturating_add(work(model, node)?);
        limits.check(Limit::Activations, Some(bytes)).map_err(at)?;
        limits.check(Limit::Macs, Some(macs)).map_err(at)?;
        // Tensors that are not needed any more are freed.
        ends.push((last[node.id].max(time), size));
        ends.retain(|&(end, size)| {
            let over = end <= time;
            bytes -= if over { size } else { 0 };
            !over
        });
    }
    Ok(())
}

/// Number of values of a tensor.
fn volume(fact: &TypedFact) -> Result<u64> {
    let unknown = || {
        let message = format!("its extents {:?} depend on values: export the model with a fixed size", fact.shape);
        Error::new(ErrorKind::Model, message)
    };
    let dims = fact.shape.as_concrete().ok_or_else(unknown)?;
    Ok(dims.iter().fold(1, |all, &dim| all.saturating_mul(dim as u64)))
}

/// Bytes of a node's outputs.
fn written(node: &TypedNode) -> Result<u64> {
    let size =
        |output: &Outlet<TypedFact>| Ok(volume(&output.fact)?.saturating_mul(output.fact.datum_type.size_of() as u64));
    node.outputs.iter().map(size).try_fold(0_u64, |all, size: Result<u64>| Ok(all.saturating_add(size?)))
}

/// Number of values in a pool's window.
fn places(node: &TypedNode) -> u64 {
    let pool = node.op_as::<MaxPool>().map(|pool| &pool.pool_spec);
    let pool = pool.or_else(|| node.op_as::<SumPool>().map(|pool| &pool.pool_spec));
    pool.map_or(0, |spec| spec.kernel_shape.iter().fold(1, |all: u64, &side| all.saturating_mul(side as u64)))
}

/// Multiply-adds of a node: those that tract counts, and at least one for each value written, or for each value under a pool's
/// window.
fn work(model: &TypedModel, node: &TypedNode) -> TractResult<u64> {
    if let Some(fused) = node.op_as::<FusedOp>() {
        return Ok(fused.engine().layers().iter().fold(0, |all, layer| all.saturating_add(layer.macs)));
    }
    let values =
        node.outputs.iter().try_fold(0, |all: u64, output| volume(&output.fact).map(|v| all.saturating_add(v)))?;
    let counted = node.op.cost(&model.node_input_facts(node.id)?)?;
    let macs =
        counted.iter().filter(|(cost, _)| cost.is_compute()).map(|(_, count)| count.to_i64().unwrap_or(i64::MAX));
    let macs = macs.fold(0_u64, |all, count| all.saturating_add(count.max(0) as u64));
    Ok(macs.max(values.saturating_mul(places(node).max(1))))
}

#[cfg(test)]
mod tests {
    use tract_core::ops::cnn::{PaddingSpec, PoolSpec};
    use tract_core::ops::nn::DataFormat;

    use super::*;

    #[test]
    fn what_tract_keeps_of_a_window_counts() {
        let said = |side: usize| {
            let mut model = TypedModel::default();
            let x = model.add_source("x", f32::fact([1, 3, side, side])).unwrap();
            let kernel = tvec![side, side];
            let spec = PoolSpec::new(DataFormat::NCHW, kernel, PaddingSpec::Valid, None, None, 3, 3);
            let pool = MaxPool { pool_spec: spec, with_index_outputs: None };
            let y = model.wire_node("pool", pool, &[x]).unwrap();
            model.select_output_outlets(&y).unwrap();
            check(&model, &Limits::DEFAULT).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(said(1000), "");
        assert!(said(4000).starts_with("node pool: it takes 960000012 bytes of activations"), "{}", said(4000));
    }
}
