//! What one node gives for constant inputs: exactly what ONNX says, or nothing.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::attributes::Attributes;
use super::constant::{Constant, Values, decode};
use crate::model::onnx::operators;
use crate::quant::round;

mod meeting;
mod select;
#[cfg(test)]
mod tests;

use meeting::{binary, chosen, equal};
use select::{Slices, expanded, filled, gathered, joined, sliced};

/// The first output of `node`, whose `inputs` are known or not; `None` for what is not known, and for what an operator
/// is not evaluated for here: an attribute or a type that would make it something else.
pub(super) fn evaluate(node: &NodeProto, inputs: &[Option<&Constant>]) -> Option<Constant> {
    computed(node, inputs).filter(|constant| constant.is_sensible())
}

fn computed(node: &NodeProto, inputs: &[Option<&Constant>]) -> Option<Constant> {
    // Blocks, which nothing else understands, are decoded here.
    if node.op_type != "DequantizeLinear" {
        operators::understood(node).ok()?;
    }
    let input = |index: usize| inputs.get(index).copied().flatten();
    let given = |index: usize| node.input.get(index).is_some_and(|name| !name.is_empty());
    match node.op_type.as_str() {
        "Constant" => constant(node),
        "Identity" => input(0).cloned(),
        // A third input may turn training on.
        "Dropout" => input(0).filter(|_| !given(2)).cloned(),
        "Cast" => cast(input(0)?, node.int("to")?),
        "CastLike" => cast(input(0)?, input(1)?.kind as i64),
        "ConstantOfShape" => filled(node, input(0)?),
        "Expand" => expanded(input(0)?, input(1)?),
        "Shape" => Some(extents(node, input(0)?)),
        "DequantizeLinear" => dequantized(node, input(0)?, &Quantizer::of(node, inputs)?),
        "QuantizeLinear" => quantized(node, input(0)?, &Quantizer::of(node, inputs)?),
        "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten" => {
            let constant = input(0)?;
            let dims = reshaped(node, &constant.dims, input(1))?;
            Some(Constant { dims, ..constant.clone() })
        }
        "Transpose" => transposed(input(0)?, node.ints("perm")),
        "Gather" => gathered(input(0)?, input(1)?, node.int("axis").unwrap_or(0)),
        "Concat" => {
            let parts: Option<Vec<&Constant>> = (0..node.input.len()).map(input).collect();
            joined(&parts?, node.int("axis")?)
        }
        "Add" | "Sub" | "Mul" | "Div" => binary(input(0)?, input(1)?, &node.op_type),
        "Equal" => equal(input(0)?, input(1)?),
        "Where" => chosen(input(0)?, input(1)?, input(2)?),
        "Slice" => sliced(input(0)?, &Slices::of(node, inputs)?),
        "Sqrt" => map(input(0)?, f32::sqrt),
        "Abs" => map(input(0)?, f32::abs),
        "Exp" => map(input(0)?, f32::exp),
        "Log" => map(input(0)?, f32::ln),
        "Relu" => map(input(0)?, |v| v.max(0.0)),
        "Reciprocal" => map(input(0)?, f32::recip),
        "Neg" => match &input(0)?.values {
            Values::Whole(values) if input(0)?.kind == DataType::Int64 => {
                let values = values.iter().map(|v| v.checked_neg()).collect::<Option<_>>()?;
                Some(Constant { values: Values::Whole(values), ..input(0)?.clone() })
            }
            _ => map(input(0)?, |v| -v),
        },
        _ => None,
    }
}

/// What `Shape` gives for a constant.
fn extents(node: &NodeProto, constant: &Constant) -> Constant {
    let dims = constant.dims.iter().map(|&dim| dim as i64).collect();
    let some = some_of(dims, node.int("start"), node.int("end"));
    Constant { dims: vec![some.len()], values: Values::Whole(some), kind: DataType::Int64 }
}

/// The extents that `Shape` gives: from `start` on, to `end`, both counted from the end where negative.
pub(in super::super) fn some_of(dims: Vec<i64>, start: Option<i64>, end: Option<i64>) -> Vec<i64> {
    let rank = dims.len() as i64;
    let within = |axis: i64| (if axis < 0 { axis.saturating_add(rank) } else { axis }).clamp(0, rank) as usize;
    let (start, end) = (within(start.unwrap_or(0)), within(end.unwrap_or(rank)));
    dims.into_iter().take(end).skip(start).collect()
}

fn constant(node: &NodeProto) -> Option<Constant> {
    let [attribute] = node.attribute.as_slice() else { return None };
    let (dims, values, kind) = match attribute.name.as_str() {
        "value" => return decode(attribute.t.as_ref()?),
        "value_float" => (vec![], Values::F32(vec![attribute.f]), DataType::Float),
        "value_floats" => (vec![attribute.floats.len()], Values::F32(attribute.floats.clone()), DataType::Float),
        "value_int" => (vec![], Values::Whole(vec![attribute.i]), DataType::Int64),
        "value_ints" => (vec![attribute.ints.len()], Values::Whole(attribute.ints.clone()), DataType::Int64),
        _ => return None,
    };
    Some(Constant { dims, values, kind })
}

fn cast(constant: &Constant, to: i64) -> Option<Constant> {
    let to = DataType::try_from(i32::try_from(to).ok()?).ok()?;
    // What does not fit is cut in ways that differ between processors.
    let within = |low: i64, high: i64| -> Option<Values> {
        let values = match &constant.values {
            Values::Whole(values) => values.clone(),
            Values::F32(values) => {
                values.iter().map(|v| (v.abs() < 9e18).then_some(*v as i64)).collect::<Option<_>>()?
            }
        };
        values.iter().all(|v| (low..=high).contains(v)).then_some(Values::Whole(values))
    };
    let values = match (to, &constant.values) {
        // Of these only the nearest f32 is known.
        (to, _) if constant.kind == DataType::Double && to != DataType::Float => return None,
        (DataType::Float, _) => Values::F32(constant.real()),
        // Each f32 is a double.
        (DataType::Double, Values::F32(values)) => Values::F32(values.clone()),
        (DataType::Float16, Values::F32(values)) => {
            Values::F32(values.iter().map(|&v| half::f16::from_f32(v).to_f32()).collect())
        }
        (DataType::Int64, _) => within(i64::MIN, i64::MAX)?,
        (DataType::Int32, _) => within(i32::MIN.into(), i32::MAX.into())?,
        _ => range(to).and_then(|(low, high)| within(low, high))?,
    };
    Some(Constant { dims: constant.dims.clone(), values, kind: to })
}

/// Scales and zero points of a `QuantizeLinear` or `DequantizeLinear`.
pub(super) struct Quantizer {
    /// Finite, positive, and so are their inverses.
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i64>,
    /// Extents of the scales: none or `[1]` for one scale.
    pub(super) dims: Vec<usize>,
    /// Type of the zero points, if there are any.
    pub(super) kind: Option<DataType>,
}

impl Quantizer {
    pub(super) fn of(node: &NodeProto, inputs: &[Option<&Constant>]) -> Option<Self> {
        let input = |index: usize| inputs.get(index).copied().flatten();
        let scales = input(1)?;
        let zero_points = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(_) => Some(input(2)?),
            None => None,
        };
        let numbers = scales.real();
        let usable = numbers.iter().all(|&s| s > 0.0 && s.is_finite() && s.recip().is_finite());
        if scales.kind != DataType::Float || numbers.is_empty() || !usable {
            return None;
        }
        let whole = zero_points.map_or(Some(vec![0]), |zero| zero.whole().map(<[i64]>::to_vec))?;
        if whole.is_empty() || ![1, numbers.len()].contains(&whole.len()) && numbers.len() != 1 {
            return None;
        }
        let dims = if whole.len() > numbers.len() { zero_points?.dims.clone() } else { scales.dims.clone() };
        Some(Self { scales: numbers, zero_points: whole, dims, kind: zero_points.map(|zero| zero.kind) })
    }

    /// How many different scales or zero points there are.
    pub(super) fn count(&self) -> usize {
        self.scales.len().max(self.zero_points.len())
    }

    /// Which scale and zero point a value of a tensor of `dims` has, by its position; `None` where their number does not fit.
    fn places(&self, node: &NodeProto, dims: &[usize]) -> Option<impl Fn(usize) -> usize> {
        let axis = axis_of(node, dims.len());
        let block = usize::try_from(node.int("block_size").unwrap_or(0)).ok()?;
        let count = self.count();
        let extent = if count == 1 && block == 0 { 1 } else { *dims.get(axis)? };
        let fits = if block > 0 {
            // Scales have the tensor's extents, but one for each block along the axis.
            let mut expected = dims.to_vec();
            expected[axis] = extent.div_ceil(block);
            self.dims == expected
        } else {
            count == 1 || count == extent && self.dims.len() == 1
        };
        let inner: usize = dims.iter().skip(axis + 1).product::<usize>().max(1);
        let blocks = if block > 0 { extent.div_ceil(block) } else { 1 };
        let extent = extent.max(1);
        fits.then_some(move |index: usize| match (block, count) {
            (0, 1) => 0,
            (0, _) => index / inner % extent,
            _ => (index / inner / extent * blocks + index / inner % extent / block) * inner + index % inner,
        })
    }

    fn at(&self, place: usize) -> (f32, i64) {
        let scale = if self.scales.len() == 1 { self.scales[0] } else { self.scales[place] };
        (scale, if self.zero_points.len() == 1 { self.zero_points[0] } else { self.zero_points[place] })
    }
}

fn dequantized(node: &NodeProto, values: &Constant, quantizer: &Quantizer) -> Option<Constant> {
    if range(values.kind).is_none() && values.kind != DataType::Int32
        || quantizer.kind.is_some_and(|kind| kind != values.kind)
    {
        return None;
    }
    let place = quantizer.places(node, &values.dims)?;
    let real = values.whole()?.iter().enumerate().map(|(index, &value)| {
        let (scale, zero_point) = quantizer.at(place(index));
        (value - zero_point) as f32 * scale
    });
    Some(Constant { dims: values.dims.clone(), values: Values::F32(real.collect()), kind: DataType::Float })
}

fn quantized(node: &NodeProto, reals: &Constant, quantizer: &Quantizer) -> Option<Constant> {
    let kind = quantized_kind(node, quantizer.kind)?;
    let (low, high) = range(kind)?;
    let place = quantizer.places(node, &reals.dims).filter(|_| reals.kind == DataType::Float)?;
    let values = reals.real().into_iter().enumerate().map(|(index, value)| {
        let (scale, zero_point) = quantizer.at(place(index));
        (round(value / scale) as i64).saturating_add(zero_point).clamp(low, high)
    });
    Some(Constant { dims: reals.dims.clone(), values: Values::Whole(values.collect()), kind })
}

/// The type a `QuantizeLinear` gives, from the type of its zero point.
pub(in super::super) fn quantized_kind(node: &NodeProto, zero_point: Option<DataType>) -> Option<DataType> {
    let asked = node.int("output_dtype").filter(|&kind| kind != 0);
    let asked = asked.map(|kind| i32::try_from(kind).ok().and_then(|kind| DataType::try_from(kind).ok()));
    match (zero_point, asked) {
        (Some(kind), None) => Some(kind),
        (None, None) => Some(DataType::Uint8),
        (None, Some(asked)) => asked,
        (Some(kind), Some(asked)) => (Some(kind) == asked).then_some(kind),
    }
}

/// Least and greatest value of a quantized type of 8 or 16 bits.
pub(in super::super) fn range(kind: DataType) -> Option<(i64, i64)> {
    match kind {
        DataType::Uint8 => Some((0, u8::MAX.into())),
        DataType::Int8 => Some((i8::MIN.into(), i8::MAX.into())),
        DataType::Uint16 => Some((0, u16::MAX.into())),
        DataType::Int16 => Some((i16::MIN.into(), i16::MAX.into())),
        _ => None,
    }
}

/// The quantization axis of a node for a tensor of `rank`.
pub(super) fn axis_of(node: &NodeProto, rank: usize) -> usize {
    // Where it is out of range, so is what comes out.
    absolute(node.int("axis").unwrap_or(1), rank).unwrap_or(usize::MAX - 1)
}

fn absolute(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// Extents of the output of a node that only reshapes, for an input of `dims`; `second` is its second input, if known.
pub(super) fn reshaped(node: &NodeProto, dims: &[usize], second: Option<&Constant>) -> Option<Vec<usize>> {
    let axes = |rank: usize| -> Option<Vec<usize>> {
        let axes = match node.input.get(1).filter(|name| !name.is_empty()) {
            Some(_) => second?.whole()?.to_vec(),
            None => node.ints("axes")?.to_vec(),
        };
        let mut axes: Vec<usize> = axes.into_iter().map(|axis| absolute(axis, rank)).collect::<Option<_>>()?;
        let count = axes.len();
        axes.sort_unstable();
        axes.dedup();
        (axes.len() == count).then_some(axes)
    };
    match node.op_type.as_str() {
        "Flatten" => {
            let axis = node.int("axis").unwrap_or(1);
            let axis = if axis == dims.len() as i64 { dims.len() } else { absolute(axis, dims.len())? };
            Some(vec![product(&dims[..axis])?, product(&dims[axis..])?])
        }
        "Squeeze" if node.input.len() < 2 && node.attribute("axes").is_none() => {
            Some(dims.iter().copied().filter(|&dim| dim != 1).collect())
        }
        "Squeeze" => {
            let axes = axes(dims.len())?;
            let kept = |at: &usize| !axes.contains(at);
            axes.iter().all(|&axis| dims[axis] == 1).then(|| (0..dims.len()).filter(kept).map(|at| dims[at]).collect())
        }
        "Unsqueeze" => {
            let count = match second.filter(|_| node.input.len() > 1) {
                Some(second) => second.whole()?.len(),
                None => node.ints("axes")?.len(),
            };
            let rank = dims.len().checked_add(count)?;
            let (axes, mut dims) = (axes(rank)?, dims.iter().copied());
            (0..rank).map(|at| if axes.contains(&at) { Some(1) } else { dims.next() }).collect()
        }
        "Reshape" => target(second?.whole()?, dims, node.int("allowzero").unwrap_or(0) != 0),
        _ => None,
    }
}

/// The extents that `target` asks `Reshape` for.
fn target(target: &[i64], dims: &[usize], allow_zero: bool) -> Option<Vec<usize>> {
    let fixed = |(at, &dim): (usize, &i64)| match dim {
        0 if !allow_zero => dims.get(at).copied(),
        -1 => Some(1),
        dim => usize::try_from(dim).ok(),
    };
    let mut shape: Vec<usize> = target.iter().enumerate().map(fixed).collect::<Option<_>>()?;
    let total = product(dims)?;
    let mut free = target.iter().enumerate().filter(|(_, dim)| **dim == -1).map(|(at, _)| at);
    if let (Some(at), known) = (free.next(), product(&shape)?) {
        shape[at] = total.checked_div(known)?;
    }
    (free.next().is_none() && product(&shape)? == total).then_some(shape)
}

fn product(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim))
}

fn transposed(constant: &Constant, perm: Option<&[i64]>) -> Option<Constant> {
    let rank = constant.dims.len();
    let perm: Vec<usize> = match perm {
        Some(perm) => perm.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<_>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return None;
    }
    let dims: Vec<usize> = perm.iter().map(|&axis| constant.dims[axis]).collect();
    let stride = |axis: usize| constant.dims[axis + 1..].iter().product::<usize>();
    let strides: Vec<usize> = perm.iter().map(|&axis| stride(axis)).collect();
    let from = |index: usize| {
        let mut rest = index;
        let along = |at: usize| {
            let place = rest % dims[at];
            rest /= dims[at];
            place * strides[at]
        };
        (0..rank).rev().map(along).sum::<usize>()
    };
    let values = match &constant.values {
        Values::F32(values) => Values::F32((0..values.len()).map(|index| values[from(index)]).collect()),
        Values::Whole(values) => Values::Whole((0..values.len()).map(|index| values[from(index)]).collect()),
    };
    Some(Constant { dims, values, kind: constant.kind })
}

fn map(constant: &Constant, f: impl Fn(f32) -> f32) -> Option<Constant> {
    match &constant.values {
        Values::F32(values) if constant.kind == DataType::Float => {
            Some(Constant { values: Values::F32(values.iter().map(|&v| f(v)).collect()), ..constant.clone() })
        }
        _ => None,
    }
}
