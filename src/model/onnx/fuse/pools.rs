//! Pools.

use tract_onnx::pb::NodeProto;

use super::super::super::fused::{Border, Op, Shape, Window};
use super::attributes::Attributes;
use super::not_fused::NotFused;
use super::operators::window;
use super::state::Walk;
use super::value::{Piece, Value};

/// Largest window whose sum of u8 quantized values is exact in f32.
const EXACT_SUM: usize = (1 << 24) / 255;

/// The window of a pool and the output's extents. Windows that reach over the edge (`ceil_mode`) have more padding.
fn pool(node: &NodeProto, shape: Shape) -> Result<(Window, Shape), NotFused> {
    let kernel = match node.ints("kernel_shape") {
        Some(&[height, width]) if height > 0 && width > 0 => [height as usize, width as usize],
        _ => return Err(NotFused::Form("its window is not of two dimensions")),
    };
    let mut window = window(node, kernel, shape)?;
    if window.dilation != [1, 1] {
        return Err(NotFused::Form("its window is dilated"));
    }
    if node.int("ceil_mode").unwrap_or(0) != 0 && node.text("auto_pad").is_none_or(|pad| !pad.starts_with(b"SAME")) {
        for (axis, side) in [shape.height, shape.width].into_iter().enumerate() {
            window.padding[axis + 2] +=
                over_the_edge(&window, axis, side).ok_or_else(|| NotFused::extents("nothing is left of its input"))?;
        }
    }
    let [height, width] =
        window.output(shape.height, shape.width).ok_or_else(|| NotFused::extents("nothing is left of its input"))?;
    Ok((window, Shape { height, width, ..shape }))
}

/// By how much the last window reaches over the edge of `side` rows or columns, where the number of windows is rounded up; a window
/// that would begin behind them is left out.
fn over_the_edge(window: &Window, axis: usize, side: usize) -> Option<usize> {
    let (before, stride) = (window.padding[axis], window.stride[axis]);
    let padded = side.checked_add(before)?.checked_add(window.padding[axis + 2])?;
    let room = padded.checked_sub(window.kernel[axis])?;
    let begins = (room / stride + 1).checked_mul(stride)?;
    let more = !room.is_multiple_of(stride) && begins < side + before;
    Some(if more { stride - room % stride } else { 0 })
}

pub(super) fn max_pool(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    if value.flat {
        return Err(NotFused::Form("it pools what was flattened"));
    }
    let (window, output) = pool(node, value.shape)?;
    let (pieces, decode) = undecoded(&value, false);
    let mut result = walk.layer(node, Op::MaxPool(window), pieces, output, value.region);
    result.kind = value.kind;
    decode(&mut result, 1.0);
    Ok(result)
}

/// `AveragePool`, `GlobalAveragePool`, and `ReduceMean` over height and width.
pub(super) fn average_pool(walk: &mut Walk<'_>, node: &NodeProto) -> Result<Value, NotFused> {
    let value = walk.value(node, 0)?;
    let shape = value.shape;
    if value.flat {
        return Err(NotFused::Form("it pools what was flattened"));
    }
    let whole = Window { kernel: [shape.height, shape.width], ..Window::ONE };
    let (window, output, flat) = match node.op_type.as_str() {
        "AveragePool" => {
            let (window, output) = average_window(node, shape)?;
            (window, output, false)
        }
        "GlobalAveragePool" => (whole, Shape { height: 1, width: 1, ..shape }, false),
        _ => {
            let axes = match node.input.get(1).filter(|name| !name.is_empty()) {
                Some(name) => walk.constants.get(name).and_then(|c| c.whole().map(<[i64]>::to_vec)),
                None => node.ints("axes").map(<[i64]>::to_vec),
            };
            let mut axes: Vec<i64> =
                axes.unwrap_or_default().into_iter().map(|axis| if axis < 0 { axis + 4 } else { axis }).collect();
            axes.sort_unstable();
            if axes != [2, 3] {
                return Err(NotFused::Form("it reduces more than height and width"));
            }
            (whole, Shape { height: 1, width: 1, ..shape }, node.int("keepdims") == Some(0))
        }
    };
    if window.len() > EXACT_SUM {
        return Err(NotFused::TooMuch("it averages over too many values"));
    }
    let padded = window.padding != [0; 4] && window.border == Border::Zero;
    let (pieces, decode) = undecoded(&value, padded);
    let mut result = walk.layer(node, Op::SumPool(window), pieces, output, value.region);
    result.flat = flat;
    decode(&mut result, window.len() as f64);
    Ok(result)
}

/// The window of an `AveragePool` and the output's extents: padding counts as zeros, or is absent.
fn average_window(node: &NodeProto, shape: Shape) -> Result<(Window, Shape), NotFused> {
    let (pooled, output) = pool(node, shape)?;
    let asked = window(node, pooled.kernel, shape)?.padding;
    let counts = node.int("count_include_pad").unwrap_or(0) != 0 && asked != [0; 4];
    let border = match counts {
        true if pooled.padding != asked => {
            return Err(NotFused::Form("it counts padding and reaches over it (ceil_mode)"));
        }
        false if pooled.padding != [0; 4] => Border::Absent,
        _ => Border::Zero,
    };
    Ok((Window { border, ..pooled }, output))
}

/// What a pool reads: quantized values, where there are any, since they are ordered and spaced as what they stand for. The function
/// decodes a result that is the sum of some values, or the greatest of them. Where padding is summed (`padded`), 0 is 0.
fn undecoded(value: &Value, padded: bool) -> (Vec<Piece>, impl Fn(&mut Value, f64)) {
    let (pieces, decoder) = match value.qvalues() {
        Some((mut pieces, scale, zero_point)) => {
            let zero_point = f64::from(zero_point);
            if padded && zero_point != 0.0 {
                for Piece { chain, .. } in &mut pieces {
                    let channels = chain.channels();
                    chain.affine(&vec![1.0; channels], &vec![-zero_point; channels]);
                }
            }
            (pieces, Some((f64::from(scale), if padded { 0.0 } else { zero_point })))
        }
        None => (value.pieces.clone(), None),
    };
    let decode = move |result: &mut Value, values: f64| {
        let channels = result.shape.channels;
        let all = |number: f64| vec![number; channels];
        match decoder {
            Some((scale, zero_point)) => result.decode(&all(scale / values), &all(-scale * zero_point)),
            None if values == 1.0 => {}
            None => result.affine(&all(1.0 / values), &all(0.0)),
        }
    };
    (pieces, decode)
}
