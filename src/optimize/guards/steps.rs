//! `Slice` with steps. tract 0.23.9 takes a slice and then every second value (`tract-core` `ops/array/strided_slice.rs`), moves the
//! second in front of the first (`ops/downsample/array.rs`) and into a convolution as its stride, and so forgets where the slice begins.

use tract_core::internal::*;
use tract_core::ops::array::Gather;
use tract_onnx::pb::NodeProto;

use super::squeeze::whole;

/// Wires a `Slice` whose steps are more than 1 as what it selects, index by index; `None` for another, which is tract's.
pub(super) fn wire(
    node: &NodeProto,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<Option<TVec<OutletId>>> {
    let given = |name: &&String| !name.is_empty();
    let list = |model: &TypedModel, at: usize, what: &str| -> TractResult<Option<Vec<i64>>> {
        if node.input.get(at).filter(given).is_none() {
            return Ok(None);
        }
        let place = node.input[..at].iter().filter(given).count();
        let konst = model.outlet_fact(inputs[place])?.konst.clone();
        konst
            .map(|values| whole(&values))
            .transpose()?
            .with_context(|| format!("its {what} are not constant"))
            .map(Some)
    };
    let Some(steps) = list(model, 4, "steps")? else { return Ok(None) };
    if steps.iter().all(|step| [1, -1].contains(step)) {
        return Ok(None);
    }
    let starts = list(model, 1, "starts")?.unwrap_or_default();
    let ends = list(model, 2, "ends")?.unwrap_or_default();
    let axes = list(model, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    ensure!(
        [ends.len(), axes.len(), steps.len()] == [starts.len(); 3],
        "it has not one start, end and step for each axis"
    );
    let mut wire = tvec![inputs[0]];
    for (at, &axis) in axes.iter().enumerate() {
        let shape = model.outlet_fact(wire[0])?.shape.clone();
        let axis = if axis < 0 { axis + shape.rank() as i64 } else { axis };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < shape.rank()).context("an axis is not there")?;
        let indices = selected(starts[at], ends[at], steps[at], shape[axis].to_i64()?);
        ensure!(!indices.is_empty(), "nothing is left of its input");
        let indices = model.add_const(format!("{prefix}.indices.{at}"), tensor1(&indices))?;
        let name = if at + 1 == axes.len() { prefix.into() } else { format!("{prefix}.axis.{at}") };
        wire = model.wire_node(name, Gather::new(axis), &[wire[0], indices])?;
    }
    Ok(Some(wire))
}

/// The indices from `start` to `end`, as ONNX counts and cuts them, of an axis of `dim` values.
fn selected(start: i64, end: i64, step: i64, dim: i64) -> Vec<i64> {
    let from_end = |index: i64| if index < 0 { index.saturating_add(dim) } else { index };
    let (low, high) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
    let (start, end) = (from_end(start).clamp(low.max(0), high), from_end(end).clamp(low, high));
    let inside = |index: &i64| if step > 0 { *index < end } else { *index > end };
    std::iter::successors(Some(start), |index| index.checked_add(step)).take_while(inside).collect()
}
