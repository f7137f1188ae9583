//! Extents of what a node gives, for nodes that are left to tract: so that what comes behind them can be fused though the file does not
//! declare its shapes.
//!
//! Where extents are not those that tract finds, the network behind is refused when it is put into the graph; nothing is computed of them.

use tract_onnx::pb::{NodeProto, tensor_proto::DataType};

use super::super::super::fused::Shape;
use super::attributes::Attributes;
use super::constants::Constants;
use super::evaluate::quantized_kind;
use super::shapes::pooled;

/// Extents and type of a tensor.
pub(in super::super) type Extents = (Vec<usize>, DataType);

/// Operators that give as many values as they read, of the same type.
const ALIKE: [&str; 47] = [
    "Abs",
    "BatchNormalization",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "CumSum",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "FastGelu",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "PRelu",
    "QuickGelu",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tanh",
    "ThresholdedRelu",
];
/// Operators of values that meet, with extents of 1 repeated.
const MEETING: [&str; 11] = ["Add", "BiasGelu", "Div", "Max", "Mean", "Min", "Mod", "Mul", "Pow", "Sub", "Sum"];
const COMPARING: [&str; 8] = ["And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Or", "Xor"];

/// Extents of each output of `node`, whose `inputs` have these, as far as they are known; `None` where they cannot be told.
pub(in super::super) fn inferred(
    node: &NodeProto,
    inputs: &[Option<Extents>],
    constants: &Constants<'_>,
) -> Option<Vec<Extents>> {
    let outputs = Inference { node, inputs, constants }.outputs()?;
    let usable = |(dims, _): &Extents| {
        !dims.contains(&0) && dims.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim)).is_some()
    };
    outputs.iter().all(usable).then_some(outputs)
}

struct Inference<'a> {
    node: &'a NodeProto,
    inputs: &'a [Option<Extents>],
    constants: &'a Constants<'a>,
}

impl Inference<'_> {
    fn outputs(&self) -> Option<Vec<Extents>> {
        let one = |dims: Option<Vec<usize>>, kind: DataType| Some(vec![(dims?, kind)]);
        let (dims, kind) = self.input(0)?;
        let kind = *kind;
        match self.node.op_type.as_str() {
            op if ALIKE.contains(&op) => one(Some(dims.clone()), kind),
            op if MEETING.contains(&op) => one(self.met(), kind),
            op if COMPARING.contains(&op) => one(self.met(), DataType::Bool),
            "IsInf" | "IsNaN" => one(Some(dims.clone()), DataType::Bool),
            "Where" => one(self.met(), self.input(1)?.1),
            "Cast" => one(Some(dims.clone()), type_of(self.node.int("to")?)?),
            "CastLike" => one(Some(dims.clone()), self.input(1)?.1),
            "DequantizeLinear" => one(Some(dims.clone()), DataType::Float),
            "QuantizeLinear" => {
                let zero_point = if self.given(2) { Some(self.input(2)?.1) } else { None };
                one(Some(dims.clone()), quantized_kind(self.node, zero_point)?)
            }
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => one(self.constants.reshaped(self.node, dims), kind),
            "Transpose" => one(self.transposed(dims), kind),
            "Gather" => {
                let axis = absolute(self.node.int("axis").unwrap_or(0), dims.len())?;
                one(Some([&dims[..axis], &self.input(1)?.0, &dims[axis + 1..]].concat()), kind)
            }
            "Concat" => one(self.joined(dims), kind),
            "Slice" => one(self.sliced(dims), kind),
            "Split" => Some(self.split(dims)?.into_iter().map(|dims| (dims, kind)).collect()),
            "Expand" => one(meet(dims, &self.sizes(1)?), kind),
            "Tile" => one(product(dims, &self.sizes(1)?), kind),
            "Pad" => one(self.padded(dims), kind),
            "Resize" => one(self.resized(dims), kind),
            "DepthToSpace" | "SpaceToDepth" => one(self.blocks(dims), kind),
            "Conv" => one(self.convolved(dims), kind),
            "ConvTranspose" => one(self.transposed_convolution(dims), kind),
            "MaxPool" | "AveragePool" => one(self.pooled(dims), kind),
            op if op.starts_with("Global") => {
                one((dims.len() > 2).then(|| [&dims[..2], &vec![1; dims.len() - 2]].concat()), kind)
            }
            op if op.starts_with("Reduce") => one(self.reduced(dims), kind),
            "Gemm" | "MatMul" => one(self.multiplied(dims), kind),
            _ => None,
        }
    }

    fn given(&self, at: usize) -> bool {
        self.node.input.get(at).is_some_and(|name| !name.is_empty())
    }

    fn input(&self, at: usize) -> Option<&Extents> {
        self.inputs.get(at)?.as_ref()
    }

    /// An input that is a list of whole numbers.
    fn list(&self, at: usize) -> Option<Vec<i64>> {
        let name = self.node.input.get(at).filter(|name| !name.is_empty())?;
        self.constants.get(name)?.whole().map(<[i64]>::to_vec)
    }

    fn sizes(&self, at: usize) -> Option<Vec<usize>> {
        self.list(at)?.into_iter().map(|size| usize::try_from(size).ok()).collect()
    }

    /// A list that is an attribute, or an input of newer opsets; the outer `None` where it is not known, the inner where it is not given.
    fn either(&self, name: &str, at: usize) -> Option<Option<Vec<i64>>> {
        if self.given(at) { Some(Some(self.list(at)?)) } else { Some(self.node.ints(name).map(<[i64]>::to_vec)) }
    }

    fn met(&self) -> Option<Vec<usize>> {
        let mut all = Vec::new();
        for at in 0..self.node.input.len() {
            all = meet(&all, &self.input(at)?.0)?;
        }
        Some(all)
    }

    fn transposed(&self, dims: &[usize]) -> Option<Vec<usize>> {
        match self.node.ints("perm") {
            None => Some(dims.iter().rev().copied().collect()),
            Some(perm) if perm.len() == dims.len() => {
                perm.iter().map(|&axis| dims.get(usize::try_from(axis).ok()?).copied()).collect()
            }
            Some(_) => None,
        }
    }

    fn joined(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let axis = absolute(self.node.int("axis")?, dims.len())?;
        let mut all = dims.to_vec();
        all[axis] = 0;
        for at in 0..self.node.input.len() {
            all[axis] = all[axis].checked_add(*self.input(at)?.0.get(axis)?)?;
        }
        Some(all)
    }

    fn sliced(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let (starts, ends) = (self.either("starts", 1)??, self.either("ends", 2)??);
        let axes = self.either("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.either("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
        let mut all = dims.to_vec();
        for (at, &axis) in axes.iter().enumerate() {
            let axis = absolute(axis, dims.len())?;
            let extent = i64::try_from(dims[axis]).ok()?;
            let (start, end, step) = (*starts.get(at)?, *ends.get(at)?, *steps.get(at)?);
            let from_end = |place: i64| if place < 0 { place.saturating_add(extent) } else { place };
            let count = match step {
                1.. => (from_end(end).clamp(0, extent) - from_end(start).clamp(0, extent) + step - 1) / step,
                0 => return None,
                // The place before the first is the end then.
                _ => {
                    let (start, end) = (from_end(start).clamp(0, extent - 1), from_end(end).clamp(-1, extent - 1));
                    start.checked_sub(end)?.checked_sub(step.checked_add(1)?)?.checked_div(step.checked_neg()?)?
                }
            };
            all[axis] = usize::try_from(count).ok()?;
        }
        Some(all)
    }

    fn split(&self, dims: &[usize]) -> Option<Vec<Vec<usize>>> {
        let axis = absolute(self.node.int("axis").unwrap_or(0), dims.len())?;
        let count = self.node.output.len();
        let parts: Vec<usize> = match self.either("split", 1)? {
            Some(parts) => parts.into_iter().map(|part| usize::try_from(part).ok()).collect::<Option<_>>()?,
            None => {
                // The last is what is left.
                let each = dims[axis].div_ceil(count);
                (0..count).map(|at| each.min(dims[axis].saturating_sub(at * each))).collect()
            }
        };
        let of = |&part: &usize| {
            let mut dims = dims.to_vec();
            dims[axis] = part;
            dims
        };
        (parts.len() == count && parts.iter().sum::<usize>() == dims[axis]).then(|| parts.iter().map(of).collect())
    }

    fn padded(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let amounts = self.either("pads", 1)??;
        let axes = match self.given(3) {
            true => self.list(3)?,
            false => (0..dims.len() as i64).collect(),
        };
        let mut all = dims.to_vec();
        for (at, &axis) in axes.iter().enumerate() {
            let axis = absolute(axis, dims.len())?;
            let more = amounts.get(at)?.checked_add(*amounts.get(at + axes.len())?)?;
            all[axis] = all[axis].checked_add_signed(isize::try_from(more).ok()?)?;
        }
        (amounts.len() == 2 * axes.len()).then_some(all)
    }

    fn resized(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let plain = self.node.ints("axes").is_none()
            && self.node.text("keep_aspect_ratio_policy").is_none_or(|policy| policy == b"stretch");
        if !plain {
            return None;
        }
        if self.given(3) {
            return self.sizes(3).filter(|sizes| sizes.len() == dims.len());
        }
        // Of opset 10 there are two inputs.
        let scales = self.constants.get(self.node.input.get(if self.node.input.len() == 2 { 1 } else { 2 })?)?.real();
        let scaled = |(&dim, scale): (&usize, f32)| {
            let size = (dim as f32 * scale).floor();
            (0.0..=1e6).contains(&size).then_some(size as usize)
        };
        if scales.len() == dims.len() { dims.iter().zip(scales).map(scaled).collect() } else { None }
    }

    fn blocks(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let &[batch, channels, height, width] = dims else { return None };
        let side = usize::try_from(self.node.int("blocksize")?).ok().filter(|&side| side > 0)?;
        let area = side.checked_mul(side)?;
        Some(match self.node.op_type.as_str() {
            "DepthToSpace" => {
                vec![batch, channels / area, height.checked_mul(side)?, width.checked_mul(side)?]
            }
            _ => vec![batch, channels.checked_mul(area)?, height / side, width / side],
        })
    }

    fn convolved(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let &[batch, channels, height, width] = dims else { return None };
        let &[out, _, down, right] = self.input(1)?.0.as_slice() else { return None };
        let mut node = self.node.clone();
        // A pool's windows lie as those of a convolution do, but its kernel is always given.
        node.attribute.retain(|attribute| attribute.name != "kernel_shape");
        node.attribute.push(super::super::nodes::ints("kernel_shape", &[down as i64, right as i64]));
        let shape = pooled(&node, Shape { channels, height, width })?;
        Some(vec![batch, out, shape.height, shape.width])
    }

    fn transposed_convolution(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let &[batch, _, height, width] = dims else { return None };
        let &[_, each, down, right] = self.input(1)?.0.as_slice() else { return None };
        let number = |name: &str, at: usize, otherwise: i64| {
            self.node.ints(name).map_or(Some(otherwise), |list| list.get(at).copied())
        };
        if self.node.attribute("output_shape").is_some() || self.node.text("auto_pad").is_some_and(|p| p != b"NOTSET") {
            return None;
        }
        let along = |side: usize, kernel: usize, axis: usize| {
            let (stride, dilation) = (number("strides", axis, 1)?, number("dilations", axis, 1)?);
            let field = (i64::try_from(kernel).ok()? - 1).checked_mul(dilation)? + 1;
            let pads = number("pads", axis, 0)?.checked_add(number("pads", axis + 2, 0)?)?;
            let sides = stride.checked_mul(i64::try_from(side).ok()? - 1)?.checked_add(field)?;
            usize::try_from(sides.checked_add(number("output_padding", axis, 0)?)?.checked_sub(pads)?).ok()
        };
        let groups = usize::try_from(self.node.int("group").unwrap_or(1)).ok()?;
        Some(vec![batch, each.checked_mul(groups)?, along(height, down, 0)?, along(width, right, 1)?])
    }

    fn pooled(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let &[batch, channels, height, width] = dims else { return None };
        let shape = pooled(self.node, Shape { channels, height, width })?;
        Some(vec![batch, channels, shape.height, shape.width])
    }

    fn reduced(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let axes = match self.either("axes", 1)? {
            Some(axes) => axes.into_iter().map(|axis| absolute(axis, dims.len())).collect::<Option<Vec<_>>>()?,
            None if self.node.int("noop_with_empty_axes") == Some(1) => Vec::new(),
            None => (0..dims.len()).collect(),
        };
        let keep = self.node.int("keepdims") != Some(0);
        let left = dims.iter().enumerate().filter(|(axis, _)| keep || !axes.contains(axis));
        Some(left.map(|(axis, &dim)| if axes.contains(&axis) { 1 } else { dim }).collect())
    }

    fn multiplied(&self, dims: &[usize]) -> Option<Vec<usize>> {
        let other = &self.input(1)?.0;
        let flag = |name: &str| self.node.int(name).unwrap_or(0) != 0;
        let (&[.., rows, columns], &[.., rows_too, columns_too]) = (dims, other.as_slice()) else { return None };
        let rows = if flag("transA") { columns } else { rows };
        let columns = if flag("transB") { rows_too } else { columns_too };
        let batches = meet(&dims[..dims.len() - 2], &other[..other.len() - 2])?;
        Some([&batches[..], &[rows, columns]].concat())
    }
}

fn type_of(number: i64) -> Option<DataType> {
    DataType::try_from(i32::try_from(number).ok()?).ok()
}

fn absolute(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// Extents that meet, with those of 1 repeated.
fn meet(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
    let met = |axis: usize| match (extent(a, axis), extent(b, axis)) {
        (x, y) if x == y || y == 1 => Some(x),
        (1, y) => Some(y),
        _ => None,
    };
    (0..rank).map(met).collect()
}

fn product(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    if a.len() == b.len() { a.iter().zip(b).map(|(a, b)| a.checked_mul(*b)).collect() } else { None }
}

#[cfg(test)]
mod tests;
