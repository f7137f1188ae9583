//! Convolutions and fully connected layers.

use tract_onnx::pb::NodeProto;

use super::super::super::fused::{Border, ConvolutionWeights, Op, Shape, Window, sums_fit, zero_point_fits};
use super::attributes::Attributes;
use super::constants::TensorData;
use super::not_fused::NotFused;
use super::state::Walk;
use super::value::Value;

/// Weights `[out, in, height, width]` as a file holds them.
struct Kernel {
    out: usize,
    /// Inputs of a group.
    channels: usize,
    groups: usize,
    stored: TensorData,
    /// Extents of what is stored: of a fully connected layer, `[out, in * height * width]`.
    dims: Vec<usize>,
    /// One number for each output; empty without a bias.
    bias: Vec<f32>,
}

pub(super) fn convolution(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    convolution_of(walk, node, value, None)
}

/// A convolution of a value, which is `mirrored` at its ends: top, left, bottom, right.
pub(super) fn convolution_of(
    walk: &mut Walk<'_>,
    node: &NodeProto,
    value: Value,
    mirrored: Option<[usize; 4]>,
) -> Result<Value, NotFused> {
    let (dims, stored) = weights(walk, node)?;
    let [out, channels, height, width] = dims[..] else {
        return Err(NotFused::extents("its weights are not of rank 4"));
    };
    if dims.contains(&0) {
        return Err(NotFused::extents("its weights are empty"));
    }
    let groups = usize::try_from(node.int("group").unwrap_or(1)).unwrap_or(0);
    if value.flat || groups == 0 || channels.checked_mul(groups) != Some(value.shape.channels) || out % groups != 0 {
        return Err(NotFused::extents("its weights do not fit its input"));
    }
    if node.ints("kernel_shape").is_some_and(|shape| !shape.iter().eq(&[height as i64, width as i64])) {
        return Err(NotFused::extents("its weights do not have its kernel_shape"));
    }
    let mut window = window(node, [height, width], value.shape)?;
    if let Some(padding) = mirrored {
        let [top, left, bottom, right] = padding;
        if window.padding != [0; 4] || node.text("auto_pad").is_some_and(|pad| pad != b"NOTSET" && pad != b"VALID") {
            return Err(NotFused::Form("it pads what is padded"));
        }
        if top.max(bottom) >= value.shape.height || left.max(right) >= value.shape.width {
            return Err(NotFused::extents("more is mirrored than there is"));
        }
        window = Window { padding, border: Border::Reflect, ..window };
    }
    let bias = bias(walk, node, out)?;
    let kernel = Kernel { out, channels, groups, stored, dims: vec![out, channels, height, width], bias };
    layer(walk, node, &value, window, kernel)
}

/// `Gemm` and `MatMul`: a convolution whose window is the whole input.
pub(super) fn linear(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    let (dims, stored) = weights(walk, node)?;
    let [rows, columns] = dims[..] else { return Err(NotFused::extents("its weights are not of rank 2")) };
    if dims.contains(&0) {
        return Err(NotFused::extents("its weights are empty"));
    }
    let flag = |name: &str| node.int(name).unwrap_or(0) != 0;
    let factor = |name: &str| node.float(name).unwrap_or(1.0);
    if !value.flat || flag("transA") || factor("alpha") != 1.0 || factor("beta") != 1.0 {
        return Err(NotFused::Form("it is more than a fully connected layer"));
    }
    let out_first = flag("transB");
    let (out, inputs) = if out_first { (rows, columns) } else { (columns, rows) };
    if inputs != value.shape.len() {
        return Err(NotFused::extents("its weights do not fit its input"));
    }
    let stored = stored.transposed_if(!out_first, rows, columns);
    let kernel = [value.shape.height, value.shape.width];
    let bias = bias(walk, node, out)?;
    let window = Window { kernel, ..Window::ONE };
    let kernel = Kernel { out, channels: value.shape.channels, groups: 1, stored, dims: vec![out, inputs], bias };
    let mut value = layer(walk, node, &value, window, kernel)?;
    value.flat = true;
    Ok(value)
}

fn weights(walk: &Walk<'_>, node: &NodeProto) -> Result<(Vec<usize>, TensorData), NotFused> {
    let found = node.input.get(1).and_then(|name| walk.constants.stored(name));
    found.ok_or(NotFused::NotConstant("its weights, of a type that is read,"))
}

/// The bias of a convolution, `[out]`, or of `Gemm`, anything that broadcasts to `[1, out]`.
fn bias(walk: &Walk<'_>, node: &NodeProto, out: usize) -> Result<Vec<f32>, NotFused> {
    let Some(name) = node.input.get(2).filter(|name| !name.is_empty()) else { return Ok(Vec::new()) };
    let constant = walk.constants.get(name).ok_or(NotFused::NotConstant("its bias"))?;
    let bias = constant.real();
    let last = constant.dims.last().copied().unwrap_or(1);
    match (node.op_type.as_str(), bias.len()) {
        ("Gemm", 1) if constant.dims.len() <= 2 => Ok(vec![bias[0]; out]),
        ("Gemm", n) if constant.dims.len() <= 2 && n == out && last == out => Ok(bias),
        ("Conv", n) if n == out && constant.dims.len() == 1 => Ok(bias),
        _ => Err(NotFused::extents(format!("it has biases of {:?} for {out} outputs", constant.dims))),
    }
}

fn layer(
    walk: &mut Walk<'_>,
    node: &NodeProto,
    value: &Value,
    window: Window,
    kernel: Kernel,
) -> Result<Value, NotFused> {
    let [height, width] = window
        .output(value.shape.height, value.shape.width)
        .ok_or_else(|| NotFused::extents("nothing is left of its input"))?;
    let output = Shape { channels: kernel.out, height, width };
    let Kernel { out, channels, groups, mut stored, dims, bias } = kernel;
    let size = channels * window.len();
    let ordered = value.by_segment(groups)?;
    if let Some((_, order)) = &ordered {
        let dims = [out, channels, window.len()];
        stored = stored
            .reordered(dims, groups, order)
            .ok_or_else(|| NotFused::quantization("its weights have a scale for each of its inputs"))?;
    }
    let value = ordered.as_ref().map_or(value, |(value, _)| value);
    // Padding has to be one of the values that are read: where it is not, the products are f32.
    let quantized = value.qvalues().filter(|(_, _, zero_point)| zero_point_fits(*zero_point, &window));
    match (stored, quantized) {
        (TensorData::Quantized { qvalues, scales, zero_points, axis }, Some((pieces, scale, input_zero_point)))
            if (axis == 0 || scales.len().max(zero_points.len()) == 1)
                && [1, out].contains(&scales.len())
                && [1, out].contains(&zero_points.len()) =>
        {
            let (values, zero_points) = signed(&qvalues, &zero_points, size)?;
            if !sums_fit(&values, &zero_points, size, input_zero_point) {
                return Err(NotFused::TooMuch("its sums do not fit 32 bits"));
            }
            let weights = ConvolutionWeights::Int8 { values, zero_points, input_zero_point };
            let mut result =
                walk.layer(node, Op::Convolution { window, groups, weights }, pieces, output, value.region);
            let at = |numbers: &[f32], channel: usize| numbers[channel.min(numbers.len() - 1)];
            let mul: Vec<f64> = (0..out).map(|o| f64::from(scale) * f64::from(at(&scales, o))).collect();
            let add: Vec<f64> = (0..out).map(|o| bias.get(o).map_or(0.0, |&b| f64::from(b))).collect();
            result.affine(&mul, &add);
            Ok(result)
        }
        (stored, _) => {
            let values = match stored {
                TensorData::F32(values) => values,
                qvalues => real(qvalues, &dims),
            };
            let bias = if bias.is_empty() { vec![0.0; out] } else { bias };
            let weights = ConvolutionWeights::Float { values, bias };
            let op = Op::Convolution { window, groups, weights };
            Ok(walk.layer(node, op, value.pieces.clone(), output, value.region))
        }
    }
}

/// The quantized values as s8, and the zero points that are then left, one for each output of `size` weights; none where all are 0.
fn signed(qvalues: &[i64], zero_points: &[i64], size: usize) -> Result<(Vec<i8>, Vec<i16>), NotFused> {
    let zero_point = |out: usize| zero_points[out.min(zero_points.len() - 1)];
    let outputs = qvalues.chunks_exact(size.max(1));
    let centred: Option<Vec<i8>> = qvalues
        .chunks_exact(size.max(1))
        .enumerate()
        .flat_map(|(out, channel)| channel.iter().map(move |&qvalue| i8::try_from(qvalue - zero_point(out)).ok()))
        .collect();
    if let Some(values) = centred {
        return Ok((values, Vec::new()));
    }
    // Too far from their zero point for s8: the zero points stay, and what is u8 becomes 128 lower.
    let lower = if qvalues.iter().any(|&qvalue| qvalue > 127) { 128 } else { 0 };
    let values: Result<Vec<i8>, _> = qvalues.iter().map(|&qvalue| i8::try_from(qvalue - lower)).collect();
    let zero_points = (0..outputs.len()).map(|out| (zero_point(out) - lower) as i16).collect();
    values.map(|values| (values, zero_points)).map_err(|_| NotFused::quantization("its weights are not of 8 bits"))
}

fn real(stored: TensorData, dims: &[usize]) -> Vec<f32> {
    match stored {
        TensorData::F32(values) => values,
        TensorData::Quantized { qvalues, scales, zero_points, axis } => {
            let inner: usize = dims.iter().skip(axis + 1).product();
            let channel = |i: usize| i / inner.max(1) % dims.get(axis).copied().unwrap_or(1).max(1);
            let at = |i: usize, len: usize| channel(i).min(len - 1);
            let value = |(i, &qvalue): (usize, &i64)| {
                (qvalue - zero_points[at(i, zero_points.len())]) as f32 * scales[at(i, scales.len())]
            };
            qvalues.iter().enumerate().map(value).collect()
        }
    }
}

/// The window of a convolution or pool.
pub(super) fn window(node: &NodeProto, kernel: [usize; 2], shape: Shape) -> Result<Window, NotFused> {
    let numbers = |name: &str| node.ints(name).map(|v| v.iter().map(|&n| n.max(0) as usize).collect::<Vec<usize>>());
    let dilation = match numbers("dilations").as_deref() {
        None => [1, 1],
        Some(&[down, right]) if down > 0 && right > 0 => [down, right],
        Some(_) => return Err(NotFused::Form("its dilations are not two")),
    };
    let span = Window { kernel, dilation, ..Window::ONE }.span();
    let stride = match numbers("strides").as_deref() {
        None => [1, 1],
        Some(&[down, right]) if down > 0 && right > 0 => [down, right],
        Some(_) => return Err(NotFused::Form("its strides are not two")),
    };
    let same = |lower: bool| {
        let along = |side: usize, kernel: usize, stride: usize| {
            let all = ((side.div_ceil(stride) - 1) * stride + kernel).saturating_sub(side);
            if lower { (all.div_ceil(2), all / 2) } else { (all / 2, all.div_ceil(2)) }
        };
        let (top, bottom) = along(shape.height, span[0], stride[0]);
        let (left, right) = along(shape.width, span[1], stride[1]);
        [top, left, bottom, right]
    };
    let padding = match node.text("auto_pad").unwrap_or(b"NOTSET") {
        b"SAME_UPPER" => same(false),
        b"SAME_LOWER" => same(true),
        b"VALID" => [0; 4],
        _ => match numbers("pads").as_deref() {
            None => [0; 4],
            Some(&[top, left, bottom, right]) => [top, left, bottom, right],
            Some(_) => return Err(NotFused::Form("its padding is not four numbers")),
        },
    };
    Ok(Window { kernel, stride, padding, dilation, ..Window::ONE })
}
