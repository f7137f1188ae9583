//! Guards against tract's faults.
//!
//! Each operator that tract makes of a node is wrapped in a guard: its inputs' extents are checked before tract's rules run,
//! some of which read out of bounds; and operators with wrong results are wired differently. Each wiring states tract's fault;
//! `docs/tract.md` lists the faults with the smallest graph that shows each. The tests here show that the faults still exist in
//! the version they name, so that an update of tract shows which guards can go.

mod checks;
mod mean;
mod quantize;
mod quantizers;
mod squeeze;
mod steps;
mod strides;
#[cfg(test)]
mod tests;
mod wirings;

use std::sync::{Arc, LazyLock};

use tract_core::internal::*;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{Expansion, InferenceOp, InferenceResult, Solver, TensorProxy, expand};
use tract_onnx::{Onnx, onnx};

/// tract's own builders of operators.
static TRACT: LazyLock<OnnxOpRegister> = LazyLock::new(|| onnx().op_register);

/// Wires a node in place of tract's expansion; takes the node, the prefix of names, the model and the inputs.
type Wire = fn(&NodeProto, &str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>;

/// tract's reader of ONNX graphs with every operator behind its guard.
pub(super) fn guarded() -> Onnx {
    let mut onnx = onnx();
    for (name, builder) in &TRACT.0 {
        onnx.op_register.0.insert(name.clone(), if name == "Constant" { *builder } else { build });
    }
    onnx
}

/// `error` with the name of the node that it is about, if tract gives it.
pub fn named(error: TractError) -> TractError {
    let mut root = error.root_cause().to_string();
    // Some of tract's messages end in a whole graph.
    if let Some((end, _)) = root.char_indices().nth(LONGEST) {
        root.truncate(end);
        root.push('…');
    }
    if error.root_cause().is::<crate::error::Error>() {
        return error;
    }
    if root.starts_with("node ") {
        return format_err!("{root}");
    }
    // tract's nodes are shown as `#3 "name" Operator`, behind "node", "Evaluating" and other words.
    let node = error.chain().find_map(|link| {
        let text = link.to_string();
        let (_, rest) = text.split_once(" #")?;
        let (name, rest) = rest.split_once('"')?.1.split_once('"')?;
        Some(format!("node {name} ({})", rest.split_whitespace().next()?))
    });
    match node {
        Some(node) => format_err!("{node}: {root}"),
        None => format_err!("{root}"),
    }
}

/// The most characters of tract's messages that are shown.
const LONGEST: usize = 160;

fn build(ctx: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let name = if node.name.is_empty() { node.output.first().map_or("?", String::as_str) } else { &node.name };
    let at = || format!("node {name} ({})", node.op_type);
    if let Some(quantizer) = quantizers::of(node) {
        return Ok((expand(quantizer), vec![]));
    }
    if let Some(mean) = mean::of(node) {
        return Ok((expand(mean), vec![]));
    }
    if let Some(squeeze) = squeeze::of(node) {
        return Ok((expand(squeeze), vec![]));
    }
    if let Some(stepped) = steps::of(node) {
        return Ok((expand(stepped), vec![]));
    }
    let builder = TRACT.0.get(&node.op_type).with_context(|| format!("{}: tract does not know it", at()))?;
    let adjusted = wirings::adjusted(node, ctx.onnx_operator_set_version);
    let (op, closures) = builder(ctx, &adjusted).map_err(|e| format_err!("{}: {}", at(), e.root_cause()))?;
    let Some(inner) = op.as_op().downcast_ref::<Box<dyn Expansion>>().cloned() else { return Ok((op, closures)) };
    let inner = strides::kept(inner, ctx, node);
    // Tensors among the attributes are no longer needed.
    let plain = NodeProto {
        name: name.into(),
        op_type: node.op_type.clone(),
        input: node.input.clone(),
        output: node.output.clone(),
        attribute: node.attribute.iter().filter(|attribute| attribute.t.is_none()).cloned().collect(),
        ..Default::default()
    };
    let opset = ctx.onnx_operator_set_version;
    let wire = wirings::of(node, opset);
    Ok((expand(Guarded { inner, node: Arc::new(plain), opset, wire }), closures))
}

/// An operator of tract behind its guard.
#[derive(Debug, Clone)]
struct Guarded {
    inner: Box<dyn Expansion>,
    node: Arc<NodeProto>,
    opset: i64,
    wire: Option<Wire>,
}

impl Guarded {
    fn at(&self) -> String {
        format!("node {} ({})", self.node.name, self.node.op_type)
    }

    /// The index of input `at` of the file's node among those that are given.
    fn input(&self, at: usize) -> Option<usize> {
        let given = |name: &&String| !name.is_empty();
        self.node.input.get(at).filter(given)?;
        Some(self.node.input[..at].iter().filter(given).count())
    }

    /// Checks the values of the second input if it is a constant.
    fn check_values(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<()> {
        let (Some(&second), true) = (inputs.get(1), ["Gather", "Pad", "TopK"].contains(&self.node.op_type.as_str()))
        else {
            return Ok(());
        };
        let shape = model.outlet_fact(inputs[0])?.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
        let Some(values) = model.outlet_fact(second)?.konst.clone() else { return Ok(()) };
        checks::check_values(&self.node, &shape, &squeeze::whole(&values)?)
            .map_err(|what| format_err!("{}: {what}", self.at()))
    }

    /// The input that holds axes.
    fn axes(&self) -> Option<usize> {
        let by_input = self.node.op_type == "Unsqueeze" || self.node.op_type.starts_with("Reduce");
        (by_input && self.node.input.len() == 2).then_some(1)
    }

    fn check(&self, shapes: &[TVec<TDim>], axes: Option<&Tensor>) -> TractResult<()> {
        let known: Option<Vec<Vec<usize>>> =
            shapes.iter().map(|shape| shape.iter().map(|dim| dim.to_usize().ok()).collect()).collect();
        // No operator that is let in has extents that depend on values.
        let known = known.with_context(|| format!("{}: the extents of what it reads are not known", self.at()))?;
        let axes = axes.map(squeeze::whole).transpose()?;
        checks::check(&self.node, &known, axes.as_deref()).map_err(|what| format_err!("{}: {what}", self.at()))
    }
}

impl Expansion for Guarded {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    fn validation(&self) -> Validation {
        self.inner.validation()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.inner.info()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.inner.nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        solver.given_all(inputs.iter().map(|input| &input.shape), move |solver, shapes: Vec<TVec<TDim>>| {
            let Some(axes) = self.axes() else {
                self.check(&shapes, None)?;
                return self.inner.rules(solver, inputs, outputs);
            };
            solver.given(&inputs[axes].value, move |solver, axes: Arc<Tensor>| {
                self.check(&shapes, Some(&axes))?;
                self.inner.rules(solver, inputs, outputs)
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let shapes: TVec<TVec<TDim>> =
            inputs.iter().map(|&input| Ok(model.outlet_fact(input)?.shape.to_tvec())).collect::<TractResult<_>>()?;
        let axes = match self.axes() {
            Some(at) => model.outlet_fact(inputs[at])?.konst.clone(),
            None => None,
        };
        self.check(&shapes, axes.as_deref())?;
        self.check_values(model, inputs)?;
        let wired = match self.wire {
            Some(wire) => wire(&self.node, prefix, model, inputs),
            None => self.inner.wire(prefix, model, inputs),
        };
        let wired = wired.map_err(|e| format_err!("{}: {}", self.at(), e.root_cause()))?;
        if self.node.op_type == "Resize" {
            let out = model.outlet_fact(wired[0])?.shape.as_concrete().map(<[usize]>::to_vec);
            let [Some(from), Some(to)] = [model.outlet_fact(inputs[0])?.shape.as_concrete(), out.as_deref()] else {
                bail!("{}: its extents are not known", self.at());
            };
            // The scales are constants in the model; a copy is read.
            let scales = (self.opset < 11).then_some(1).or(self.input(2)).and_then(|at| inputs.get(at));
            let scales = match scales {
                Some(&scales) => model.outlet_fact(scales)?.konst.clone(),
                None => None,
            };
            let scales =
                scales.map(|scales| Ok(scales.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()));
            let scales: Option<Vec<f32>> =
                scales.transpose().map_err(|e: TractError| format_err!("{}: {e}", self.at()))?;
            checks::check_resized(&self.node, self.opset, from, to, scales.as_deref())
                .map_err(|what| format_err!("{}: {what}", self.at()))?;
        }
        Ok(wired)
    }

    fn runs_out_of_plan(&self) -> bool {
        self.inner.runs_out_of_plan()
    }
}
