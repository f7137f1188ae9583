//! Operators that are wired differently from tract.

use std::borrow::Cow;

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::wire_cast;
use tract_core::ops::change_axes::{wire_rank_broadcast, wire_with_rank_broadcast};
use tract_core::ops::math::{abs, add, div, exp, ln, max, min, mul, neg, recip, sqrt, square, sub};
use tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::Wire;

/// The wiring of `node`, if it differs from tract's.
pub(super) fn of(node: &NodeProto, opset: i64) -> Option<Wire> {
    Some(match node.op_type.as_str() {
        "Sub" => difference,
        "Div" => quotient,
        "Celu" => celu,
        "Softplus" => softplus,
        "LogSoftmax" if opset < 13 => log_softmax_of_matrix,
        "LogSoftmax" => log_softmax,
        "Mul" => product,
        "ReduceLogSumExp" => log_sum_exp,
        "GlobalLpPool" => global_norm,
        _ => return None,
    })
}

/// `node` rewritten so that tract reads it correctly.
pub(super) fn adjusted(node: &NodeProto, opset: i64) -> Cow<'_, NodeProto> {
    let without = |name: &str| {
        let mut node = node.clone();
        node.attribute.retain(|attribute| attribute.name != name);
        Cow::Owned(node)
    };
    let padded = attribute(node, "auto_pad").filter(|pad| pad.s != b"NOTSET");
    // tract applies `ceil_mode` to windows without padding only if the padding is explicit.
    if padded.is_some_and(|pad| pad.s == b"VALID") {
        return without("auto_pad");
    }
    // tract reads `pads` first and then ignores `auto_pad`; zero pads beside it have no meaning.
    if padded.is_some() && attribute(node, "pads").is_some() {
        return without("pads");
    }
    // Before opset 11 "nearest" rounds down.
    if node.op_type == "Resize" && opset < 11 {
        let mut node = node.clone();
        node.attribute.push(AttributeProto {
            name: "nearest_mode".into(),
            r#type: AttributeType::String as i32,
            s: b"floor".to_vec(),
            ..Default::default()
        });
        return Cow::Owned(node);
    }
    // An empty list means all axes, as in ONNX Runtime; tract would reduce none.
    if node.op_type.starts_with("Reduce") && attribute(node, "axes").is_some_and(|axes| axes.ints.is_empty()) {
        return without("axes");
    }
    Cow::Borrowed(node)
}

fn float(node: &NodeProto, name: &str, otherwise: f32) -> f32 {
    attribute(node, name).map_or(otherwise, |attribute| attribute.f)
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// A scalar of the type and rank of `like`.
fn scalar(model: &mut TypedModel, name: String, value: f32, like: OutletId) -> TractResult<OutletId> {
    let fact = model.outlet_fact(like)?;
    let (kind, rank) = (fact.datum_type, fact.rank());
    model.add_const(name, tensor0(value).cast_to_dt(kind)?.into_owned().broadcast_into_rank(rank)?)
}

/// Whether `inputs` are floats, and the first has at most one value for each channel.
fn by_channel(model: &TypedModel, inputs: &[OutletId]) -> TractResult<bool> {
    let (a, b) = (model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?);
    let extents = a.shape.iter().filter(|dim| !dim.is_one()).count();
    Ok(a.datum_type.is_float() && b.datum_type.is_float() && extents <= 1)
}

fn tracts(model: &mut TypedModel, prefix: &str, op: TypedBinOp, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let [a, b] = [inputs[0], inputs[1]].map(|input| model.outlet_fact(input).map(|fact| fact.datum_type));
    let kind = op.0.operating_datum_type(a?, b?)?;
    let wires = wire_rank_broadcast(prefix, model, inputs)?;
    let wires = wire_cast(prefix, model, &wires, kind)?;
    model.wire_node(prefix, op, &wires)
}

/// `a - b` as `a + (-b)`. tract 0.23.9 folds a subtraction behind a convolution into its bias and does not negate the kernel
/// where the convolution is the subtrahend (`tract-core` `ops/cnn/conv/conv.rs`, `declutter_channel_arithmetic_succ`).
fn difference(_: &NodeProto, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    if !by_channel(model, inputs)? {
        return tracts(model, prefix, sub(), inputs);
    }
    let negative = model.wire_node(format!("{prefix}.neg"), neg(), &inputs[1..2])?;
    tracts(model, prefix, add(), &[inputs[0], negative[0]])
}

/// `a / b` as `a * (1 / b)`. Where `b` is a convolution, the same function of tract divides `a` by each weight.
fn quotient(_: &NodeProto, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    if !by_channel(model, inputs)? {
        return tracts(model, prefix, div(), inputs);
    }
    let inverse = model.wire_node(format!("{prefix}.recip"), recip(), &inputs[1..2])?;
    tracts(model, prefix, mul(), &[inputs[0], inverse[0]])
}

/// Refuses squares of integers, which tract computes as f32.
fn product(_: &NodeProto, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let kind = model.outlet_fact(inputs[0])?.datum_type;
    ensure!(
        inputs[0] != inputs[1] || kind.is_float() || kind == TDim::datum_type(),
        "Densight does not square {kind:?}"
    );
    tracts(model, prefix, mul(), inputs)
}

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`. tract 0.23.9 leaves out the factor alpha (`tract-hir` `ops/activations.rs`).
fn celu(node: &NodeProto, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let x = inputs[0];
    let alpha = scalar(model, format!("{prefix}.alpha"), float(node, "alpha", 1.0), x)?;
    let [zero, one] = [0.0, 1.0].map(|value| scalar(model, format!("{prefix}.{value}"), value, x));
    let (zero, one) = (zero?, one?);
    let mut wire = model.wire_node(format!("{prefix}.div"), div(), &[x, alpha])?;
    wire = model.wire_node(format!("{prefix}.exp"), exp(), &wire)?;
    wire = model.wire_node(format!("{prefix}.sub"), sub(), &[wire[0], one])?;
    wire = model.wire_node(format!("{prefix}.mul"), mul(), &[wire[0], alpha])?;
    wire = model.wire_node(format!("{prefix}.min"), min(), &[wire[0], zero])?;
    let positive = model.wire_node(format!("{prefix}.max"), max(), &[x, zero])?;
    model.wire_node(prefix, add(), &[positive[0], wire[0]])
}

/// `max(0, x) + ln(1 + exp(-|x|))`. tract 0.23.9 takes `ln(1 + exp(x))`, which is infinite beyond 88 (`tract-hir` `ops/activations.rs`).
fn softplus(_: &NodeProto, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
    let x = inputs[0];
    let [zero, one] = [0.0, 1.0].map(|value| scalar(model, format!("{prefix}.{value}"), value, x));
    let (zero, one) = (zero?, one?);
    let mut wire = model.wire_node(format!("{prefix}.abs"), abs(), &[x])?;
    wire = model.wire_node(format!("{prefix}.neg"), neg(), &wire)?;
    wire = model.wire_node(format!("{prefix}.exp"), exp(), &wire)?;
    wire = model.wire_node(format!("{prefix}.add"), add(), &[wire[0], one])?;
    wire = model.wire_node(format!("{prefix}.ln"), ln(), &wire)?;
    let positive = model.wire_node(format!("{prefix}.max"), max(), &[x, zero])?;
    model.wire_node(prefix, add(), &[positive[0], wire[0]])
}

/// Before opset 13 a softmax normalizes over all axes from `axis` on.
fn log_softmax_of_matrix(
    node: &NodeProto,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let rank = model.outlet_fact(inputs[0])?.rank();
    let axis = place(attribute(node, "axis").map_or(1, |axis| axis.i), rank);
    stable_log_softmax(prefix, model, inputs[0], (axis..rank).collect())
}

fn log_softmax(
    node: &NodeProto,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let rank = model.outlet_fact(inputs[0])?.rank();
    let axis = place(attribute(node, "axis").map_or(-1, |axis| axis.i), rank);
    stable_log_softmax(prefix, model, inputs[0], tvec!(axis))
}

fn place(axis: i64, rank: usize) -> usize {
    (if axis < 0 { axis + rank as i64 } else { axis }) as usize
}

/// `x - max - ln(sum(exp(x - max)))`. tract 0.23.9 takes the logarithm of a softmax, which is minus infinity where the softmax
/// underflows (`tract-hir` `ops/nn/layer_max.rs`).
fn stable_log_softmax(
    prefix: &str,
    model: &mut TypedModel,
    x: OutletId,
    axes: TVec<usize>,
) -> TractResult<TVec<OutletId>> {
    let greatest = model.wire_node(format!("{prefix}.max"), Reduce::new(axes.clone(), Reducer::Max), &[x])?;
    let moved = wire_with_rank_broadcast(format!("{prefix}.moved"), model, sub(), &[x, greatest[0]])?;
    let mut wire = model.wire_node(format!("{prefix}.exp"), exp(), &moved)?;
    wire = model.wire_node(format!("{prefix}.sum"), Reduce::new(axes, Reducer::Sum), &wire)?;
    wire = model.wire_node(format!("{prefix}.ln"), ln(), &wire)?;
    wire_with_rank_broadcast(prefix, model, sub(), &[moved[0], wire[0]])
}

/// `max + ln(sum(exp(x - max)))`. tract 0.23.9 takes `ln(sum(exp(x)))`, which is infinite beyond 88 (`tract-hir` `ops/nn/reduce.rs`).
fn log_sum_exp(
    node: &NodeProto,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let x = inputs[0];
    let rank = model.outlet_fact(x)?.rank();
    let listed = match inputs.get(1) {
        Some(&axes) => {
            let axes = model.outlet_fact(axes)?.konst.clone().context("its axes are not in the file")?;
            super::squeeze::whole(&axes)?
        }
        None => attribute(node, "axes").map(|axes| axes.ints.clone()).unwrap_or_default(),
    };
    let none = attribute(node, "noop_with_empty_axes").is_some_and(|noop| noop.i != 0);
    ensure!(!none || !listed.is_empty(), "Densight does not run it over no axes");
    let mut axes: TVec<usize> = listed.iter().map(|&axis| place(axis, rank)).collect();
    if axes.is_empty() {
        axes = (0..rank).collect();
    }
    axes.sort_unstable();
    let greatest = model.wire_node(format!("{prefix}.max"), Reduce::new(axes.clone(), Reducer::Max), &[x])?;
    let moved = wire_with_rank_broadcast(format!("{prefix}.moved"), model, sub(), &[x, greatest[0]])?;
    let mut wire = model.wire_node(format!("{prefix}.exp"), exp(), &moved)?;
    wire = model.wire_node(format!("{prefix}.sum"), Reduce::new(axes.clone(), Reducer::Sum), &wire)?;
    wire = model.wire_node(format!("{prefix}.ln"), ln(), &wire)?;
    wire = model.wire_node(format!("{prefix}.add"), add(), &[wire[0], greatest[0]])?;
    if attribute(node, "keepdims").is_some_and(|keep| keep.i == 0) {
        for axis in axes.into_iter().rev() {
            wire = model.wire_node(format!("{prefix}.axis-{axis}"), AxisOp::Rm(axis), &wire)?;
        }
    }
    Ok(wire)
}

/// The norm of each plane: tract 0.23.9 divides what it sums by the number of values (`tract-hir` `ops/nn/global_pools.rs`).
fn global_norm(
    node: &NodeProto,
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let rank = model.outlet_fact(inputs[0])?.rank();
    let axes = (2..rank).collect::<TVec<usize>>();
    let first = attribute(node, "p").is_some_and(|p| p.i == 1);
    if first {
        let wire = model.wire_node(format!("{prefix}.abs"), abs(), &inputs[..1])?;
        return model.wire_node(prefix, Reduce::new(axes, Reducer::Sum), &wire);
    }
    let wire = model.wire_node(format!("{prefix}.square"), square(), &inputs[..1])?;
    let wire = model.wire_node(format!("{prefix}.sum"), Reduce::new(axes, Reducer::Sum), &wire)?;
    model.wire_node(prefix, sqrt(), &wire)
}
