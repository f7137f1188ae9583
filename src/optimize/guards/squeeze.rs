//! `Squeeze`. tract 0.23.9 removes axes in the reverse of their listed order (`tract-hir` `ops/array/squeeze.rs`), which is
//! right only if they are ascending and not negative; others give a wrong shape, or a panic. Before opset 13 it requires a
//! list.

use tract_core::internal::*;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{Expansion, InferenceResult, Solver, TensorProxy};

#[derive(Debug, Clone)]
pub(super) struct Squeeze {
    node: String,
    /// The axes of the attribute, if there is one.
    axes: Option<Vec<i64>>,
}

/// The operator, if `node` is a `Squeeze`.
pub(super) fn of(node: &NodeProto) -> Option<Squeeze> {
    if node.op_type != "Squeeze" {
        return None;
    }
    let name = if node.name.is_empty() { node.output.first()? } else { &node.name };
    let axes = node.attribute.iter().find(|attribute| attribute.name == "axes").map(|axes| axes.ints.clone());
    Some(Squeeze { node: format!("node {name} (Squeeze)"), axes })
}

impl Squeeze {
    /// The axes that are removed from `shape`, in ascending order.
    fn places(&self, shape: &[TDim], axes: Option<&[i64]>) -> TractResult<Vec<usize>> {
        let Some(axes) = axes else {
            return Ok(shape.iter().enumerate().filter(|(_, dim)| dim.is_one()).map(|(at, _)| at).collect());
        };
        let rank = shape.len() as i64;
        let place = |&axis: &i64| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
        let places: Option<std::collections::BTreeSet<usize>> = axes.iter().map(place).collect();
        let fits = |places: &std::collections::BTreeSet<usize>| {
            places.len() == axes.len() && places.iter().all(|&at| shape.get(at).is_some_and(|dim| dim.is_one()))
        };
        match places.filter(fits) {
            Some(places) => Ok(places.into_iter().collect()),
            None => bail!("{}: axes {axes:?} of {shape:?} are not of one value", self.node),
        }
    }

    fn squeezed(&self, shape: &[TDim], axes: Option<&[i64]>) -> TractResult<TVec<TDim>> {
        let places = self.places(shape, axes)?;
        Ok((0..shape.len()).filter(|at| !places.contains(at)).map(|at| shape[at].clone()).collect())
    }
}

/// A list of axes.
pub(super) fn whole(value: &Tensor) -> TractResult<Vec<i64>> {
    Ok(value.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

impl Expansion for Squeeze {
    fn name(&self) -> StaticName {
        "Squeeze".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!([1, 2].contains(&inputs.len()) && outputs.len() == 1, "{}: wrong number of inputs", self.node);
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        if let Some(axes) = inputs.get(1) {
            return solver.given_2(&inputs[0].shape, &axes.value, move |solver, shape, axes: Arc<Tensor>| {
                solver.equals(&outputs[0].shape, self.squeezed(&shape, Some(&whole(&axes)?))?)
            });
        }
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.equals(&outputs[0].shape, self.squeezed(&shape, self.axes.as_deref())?)
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let axes = match inputs.get(1) {
            Some(&axes) => {
                let axes = model.outlet_fact(axes)?.konst.clone();
                let axes = axes.with_context(|| format!("{}: its axes are not in the file", self.node))?;
                Some(whole(&axes)?)
            }
            None => self.axes.clone(),
        };
        let mut wire = tvec!(inputs[0]);
        for axis in self.places(&shape, axes.as_deref())?.into_iter().rev() {
            wire = model.wire_node(format!("{prefix}.axis-{axis}"), AxisOp::Rm(axis), &wire)?;
        }
        Ok(wire)
    }
}
