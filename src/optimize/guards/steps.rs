//! `Slice` with steps, as a `Gather` of its indices. tract 0.23.9 slices and then downsamples (`tract-core`
//! `ops/array/strided_slice.rs`), moves the downsampling in front of the slice (`ops/downsample/array.rs`) and into a
//! convolution as its stride, and so loses the start of the slice.

use tract_core::internal::*;
use tract_core::ops::array::Gather;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, Solver, TensorProxy};

use super::squeeze::whole;

#[derive(Debug, Clone)]
pub(super) struct Stepped {
    node: String,
    /// The index of the axes among the inputs, if they are given.
    axes: Option<usize>,
    /// The index of the steps.
    steps: usize,
}

/// The operator, if `node` is a `Slice` with steps.
pub(super) fn of(node: &NodeProto) -> Option<Stepped> {
    let given = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
    if node.op_type != "Slice" || !given(4) {
        return None;
    }
    let name = if node.name.is_empty() { node.output.first()? } else { &node.name };
    let axes = given(3).then_some(3);
    Some(Stepped { node: format!("node {name} (Slice)"), axes, steps: if axes.is_some() { 4 } else { 3 } })
}

/// The longest axis whose indices are listed.
const MOST_INDICES: i64 = 1 << 24;

impl Stepped {
    /// The selected indices of each axis of `shape`; `lists` are the inputs behind the first.
    fn selected(&self, shape: &[TDim], lists: &[Vec<i64>]) -> TractResult<Vec<(usize, Vec<i64>)>> {
        let (starts, ends, steps) = (&lists[0], &lists[1], &lists[self.steps - 1]);
        let axes = self.axes.map_or_else(|| (0..starts.len() as i64).collect(), |at| lists[at - 1].clone());
        ensure!(
            [ends.len(), axes.len(), steps.len()] == [starts.len(); 3],
            "{}: it has not one start, end and step for each axis",
            self.node
        );
        ensure!(!shape.contains(&TDim::Val(0)), "{}: its input {shape:?} has no values", self.node);
        let mut selected = Vec::new();
        for (at, &axis) in axes.iter().enumerate() {
            let place = if axis < 0 { axis + shape.len() as i64 } else { axis };
            let place = usize::try_from(place).ok().filter(|&place| place < shape.len());
            let place = place.with_context(|| format!("{}: axis {axis} is no axis of {shape:?}", self.node))?;
            // Extents have not been checked against the limits yet.
            let extent = shape[place].to_i64()?;
            ensure!(extent <= MOST_INDICES, "{}: axis {axis} of {shape:?} is too long for steps", self.node);
            let indices = indices(starts[at], ends[at], steps[at], extent);
            ensure!(steps[at] != 0 && !indices.is_empty(), "{}: nothing is left of its input", self.node);
            selected.push((place, indices));
        }
        Ok(selected)
    }
}

/// The indices from `start` to `end` of an axis of `dim` values, clamped as ONNX specifies.
fn indices(start: i64, end: i64, step: i64, dim: i64) -> Vec<i64> {
    let from_end = |index: i64| if index < 0 { index.saturating_add(dim) } else { index };
    let (low, high) = if step > 0 { (0, dim) } else { (-1, dim - 1) };
    if step == 0 || dim < 1 {
        return Vec::new();
    }
    let (start, end) = (from_end(start).clamp(0, high), from_end(end).clamp(low, high));
    let inside = |index: &i64| if step > 0 { *index < end } else { *index > end };
    std::iter::successors(Some(start), |index| index.checked_add(step)).take_while(inside).collect()
}

impl Expansion for Stepped {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(inputs.len() == self.steps + 1 && outputs.len() == 1, "{}: wrong number of inputs", self.node);
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.given_all(inputs[1..].iter().map(|input| &input.value), move |solver, lists: Vec<Arc<Tensor>>| {
                let lists = lists.iter().map(|list| whole(list)).collect::<TractResult<Vec<_>>>()?;
                let mut dims = shape.clone();
                for (axis, indices) in self.selected(&shape, &lists)? {
                    dims[axis] = indices.len().to_dim();
                }
                solver.equals(&outputs[0].shape, dims)
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let known = |input: &OutletId| model.outlet_fact(*input).map(|fact| fact.konst.clone());
        let lists = inputs[1..].iter().map(known).collect::<TractResult<Option<Vec<_>>>>()?;
        let lists = lists.with_context(|| format!("{}: its bounds are not constant", self.node))?;
        let lists = lists.iter().map(|list| whole(list)).collect::<TractResult<Vec<_>>>()?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let mut wire = tvec![inputs[0]];
        for (at, (axis, indices)) in self.selected(&shape, &lists)?.into_iter().enumerate() {
            let indices = model.add_const(format!("{prefix}.indices.{at}"), tensor1(&indices))?;
            wire = model.wire_node(format!("{prefix}.axis.{at}"), Gather::new(axis), &[wire[0], indices])?;
        }
        Ok(wire)
    }
}
