//! Refuses extents with which tract's rules would panic or read out of bounds.

use tract_onnx::pb::{AttributeProto, NodeProto};

/// The most loop iterations that an empty tensor's other extents may cause.
const MOST_STEPS: usize = 1 << 24;

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Checks that a node can have inputs of these extents; `axes` are those that an input lists.
///
/// # Errors
/// The reason why it cannot.
pub(super) fn check(node: &NodeProto, shapes: &[Vec<usize>], axes: Option<&[i64]>) -> Result<(), String> {
    let Some(first) = shapes.first() else { return Ok(()) };
    values(node, shapes)?;
    let rank = first.len();
    let given = attribute(node, "axes").map(|axes| axes.ints.as_slice());
    match node.op_type.as_str() {
        "BatchNormalization" => {
            channels(first, shapes, 2)?;
        }
        "InstanceNormalization" | "GroupNormalization" => {
            channels(first, &shapes[..1], 3)?;
        }
        "Conv" | "ConvTranspose" => convolution(node, shapes)?,
        "MaxPool" | "AveragePool" => {
            window(node, first, attribute(node, "kernel_shape").map(|kernel| &kernel.ints[..]))?;
            sees_input(node, first)?;
        }
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" if rank < 3 => {
            return Err(format!("its input {first:?} has no rows or columns"));
        }
        "LRN" if rank < 3 => return Err(format!("its input {first:?} has no rows or columns")),
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Mod" | "PRelu" | "Where" | "Equal" | "Greater" | "Less" => {
            broadcast(shapes)?
        }
        "GreaterOrEqual" | "LessOrEqual" | "And" | "Or" | "Xor" => broadcast(shapes)?,
        "Flatten" => axis(node, "axis", 1, rank, rank + 1)?,
        "Softmax" | "LogSoftmax" | "Hardmax" | "LpNormalization" | "TopK" => axis(node, "axis", -1, rank, rank)?,
        "ArgMax" | "ArgMin" | "Split" | "Gather" | "Concat" => axis(node, "axis", 0, rank, rank)?,
        "LayerNormalization" | "RMSNormalization" => axis(node, "axis", -1, rank, rank)?,
        "Transpose" => permutation(node, rank)?,
        "Slice" => list(given.unwrap_or_default(), rank)?,
        "Unsqueeze" => {
            let axes = axes.or(given).ok_or("it has no axes")?;
            list(axes, rank + axes.len())?;
        }
        name if name.starts_with("Reduce") || name == "MeanVarianceNormalization" => {
            list(axes.or(given).unwrap_or_default(), rank)?;
        }
        _ => {}
    }
    Ok(())
}

/// Inputs must have values, unless the operator only moves them: reductions and products of empty tensors can have results of
/// any size, and tract loops over the other extents of an empty tensor.
fn values(node: &NodeProto, shapes: &[Vec<usize>]) -> Result<(), String> {
    const MOVING: [&str; 8] = ["Concat", "Flatten", "Identity", "Reshape", "Slice", "Split", "Transpose", "Unsqueeze"];
    let moves = MOVING.contains(&node.op_type.as_str());
    let few = |shape: &[usize]| {
        let steps = shape.iter().try_fold(1_usize, |steps, &extent| steps.checked_mul(extent.max(1)));
        steps.is_some_and(|steps| steps <= MOST_STEPS)
    };
    match shapes.iter().find(|shape| shape.len() > 1 && shape.contains(&0) && !(moves && few(shape))) {
        Some(empty) => Err(format!("its input {empty:?} has no values")),
        None => Ok(()),
    }
}

/// Extents are equal or 1, counted from the last.
fn broadcast(shapes: &[Vec<usize>]) -> Result<(), String> {
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    for back in 1..=rank {
        let mut wide = shapes.iter().filter_map(|shape| shape.len().checked_sub(back).map(|at| shape[at]));
        let extent = wide.clone().find(|&extent| extent != 1);
        if wide.any(|other| other != 1 && Some(other) != extent) {
            return Err(format!("its inputs {shapes:?} do not fit each other"));
        }
    }
    Ok(())
}

/// Channels are the second axis, and each parameter has one value for each channel.
fn channels(first: &[usize], shapes: &[Vec<usize>], least: usize) -> Result<(), String> {
    if first.len() < least {
        return Err(format!("its input {first:?} has no channels"));
    }
    match shapes[1..].iter().find(|shape| shape[..] != [first[1]]) {
        Some(shape) => Err(format!("its parameters {shape:?} are not one number for each of {} channels", first[1])),
        None => Ok(()),
    }
}

fn convolution(node: &NodeProto, shapes: &[Vec<usize>]) -> Result<(), String> {
    let [input, weights, ..] = shapes else { return Err("it has no weights".into()) };
    if input.len() < 3 || weights.len() != input.len() {
        return Err(format!("its weights {weights:?} do not fit its input {input:?}"));
    }
    if weights.contains(&0) {
        return Err(format!("its weights {weights:?} are empty"));
    }
    let group = attribute(node, "group").map_or(1, |group| group.i.max(1) as usize);
    let transposed = node.op_type == "ConvTranspose";
    let (reads, parts) = if transposed { (weights[0], weights[0]) } else { (weights[1] * group, weights[0]) };
    if reads != input[1] || parts % group != 0 {
        return Err(format!("its weights {weights:?} in {group} groups do not fit its input {input:?}"));
    }
    let out = if transposed { weights[1] * group } else { weights[0] };
    if shapes.get(2).is_some_and(|bias| bias[..] != [out]) {
        return Err(format!("its bias {:?} is not one number for each of {out} outputs", shapes[2]));
    }
    let kernel: Vec<i64> = weights[2..].iter().map(|&n| n as i64).collect();
    if attribute(node, "kernel_shape").is_some_and(|shape| shape.ints != kernel) {
        return Err(format!("its weights {weights:?} do not have its kernel_shape"));
    }
    let places = |name: &str| attribute(node, name).map_or(kernel.len(), |list| list.ints.len());
    if ["strides", "dilations", "output_padding"].iter().any(|name| places(name) != kernel.len())
        || attribute(node, "pads").is_some_and(|pads| pads.ints.len() != 2 * kernel.len())
    {
        return Err(format!("its attributes are not for {} dimensions", kernel.len()));
    }
    if transposed { Ok(()) } else { window(node, input, Some(&kernel)) }
}

/// The window has as many dimensions as the input has behind its channels, and fits into it at least once.
fn window(node: &NodeProto, input: &[usize], kernel: Option<&[i64]>) -> Result<(), String> {
    let kernel = kernel.ok_or("it has no kernel_shape")?;
    if input.len() < 3 || kernel.len() != input.len() - 2 {
        return Err(format!("its window {kernel:?} does not fit its input {input:?}"));
    }
    let list = |name: &str| attribute(node, name).map(|list| list.ints.as_slice());
    let by_itself = attribute(node, "auto_pad").is_some_and(|pad| pad.s.starts_with(b"SAME"));
    for (at, &extent) in kernel.iter().enumerate() {
        let along = |name: &str, otherwise: i64| list(name).and_then(|l| l.get(at)).copied().unwrap_or(otherwise);
        let pads = list("pads").map_or(0, |pads| pads[at] + pads.get(at + kernel.len()).copied().unwrap_or(0));
        let field = (extent - 1) * along("dilations", 1) + 1;
        if !by_itself && field > input[at + 2] as i64 + pads {
            return Err(format!("its window {kernel:?} is larger than its input {input:?}"));
        }
    }
    Ok(())
}

/// Checks that each window of a pool covers a value of its input: a dilated one may step over a small input, and tract then
/// divides by 0.
fn sees_input(node: &NodeProto, input: &[usize]) -> Result<(), String> {
    let list = |name: &str| attribute(node, name).map(|list| list.ints.as_slice()).unwrap_or_default();
    let set = |name: &str| attribute(node, name).is_some_and(|flag| flag.i != 0);
    let kernel = list("kernel_shape");
    for (at, &extent) in kernel.iter().enumerate() {
        let along = |name: &str, at: usize, otherwise: i64| list(name).get(at).copied().unwrap_or(otherwise);
        let (dilation, stride) = (along("dilations", at, 1), along("strides", at, 1));
        let (before, behind) = (along("pads", at, 0), along("pads", at + kernel.len(), 0));
        let side = input[at + 2] as i64;
        if dilation < 2 || node.op_type == "AveragePool" && set("count_include_pad") {
            continue;
        }
        let last = side + behind + if set("ceil_mode") { stride - 1 } else { 0 } - (extent - 1) * dilation - 1;
        let blind = |start: i64| (0..extent).all(|step| !(0..side).contains(&(start + step * dilation)));
        if (-before..=last.min(side - 1)).step_by(stride.max(1) as usize).any(blind) {
            return Err(format!("its window {kernel:?}, dilated, sees nothing but padding of its input {input:?}"));
        }
    }
    Ok(())
}

/// Checks that a node can have these constant values as its second input.
///
/// # Errors
/// The reason why it cannot.
pub(super) fn check_values(node: &NodeProto, shape: &[usize], values: &[i64]) -> Result<(), String> {
    match node.op_type.as_str() {
        "Gather" => {
            let axis = attribute(node, "axis").map_or(0, |axis| axis.i);
            let extent = shape[place(axis, shape.len())] as i64;
            match values.iter().find(|index| !(-extent..extent).contains(index)) {
                Some(index) => Err(format!("index {index} is beyond its input {shape:?}")),
                None => Ok(()),
            }
        }
        "TopK" => {
            let axis = attribute(node, "axis").map_or(-1, |axis| axis.i);
            let extent = shape[place(axis, shape.len())] as i64;
            match values.iter().find(|count| !(1..=extent).contains(count)) {
                Some(count) => Err(format!("it asks for {count} of {extent} values")),
                None => Ok(()),
            }
        }
        "Pad" => {
            // A reflection does not repeat the edge.
            let reflects = attribute(node, "mode").is_some_and(|mode| mode.s == b"reflect");
            let least = shape.iter().min().copied().unwrap_or(0);
            let most = |at: usize| match (reflects, values.len() == 2 * shape.len()) {
                (false, _) => 1 << 20,
                (true, true) => shape[at % shape.len()] as i64 - 1,
                // Another input lists the axes that these are for.
                (true, false) => least as i64 - 1,
            };
            match values.iter().enumerate().find(|&(at, pad)| !(0..=most(at)).contains(pad)) {
                Some((_, pad)) => Err(format!("a padding of {pad} does not fit its input {shape:?}")),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Checks that tract resizes between these extents as ONNX Runtime does.
///
/// # Errors
/// If it does not.
pub(super) fn check_resized(
    node: &NodeProto,
    opset: i64,
    from: &[usize],
    to: &[usize],
    scales: Option<&[f32]>,
) -> Result<(), String> {
    let is = |name: &str, value: &str| attribute(node, name).is_some_and(|text| text.s == value.as_bytes());
    if is("coordinate_transformation_mode", "pytorch_half_pixel") && is("mode", "cubic") && to.contains(&1) {
        return Err(format!("Densight does not run it to {to:?} with pytorch_half_pixel"));
    }
    let Some(scales) = scales.filter(|scales| !scales.is_empty()) else { return Ok(()) };
    if opset < 11 && !is("mode", "linear") && scales.iter().any(|&scale| scale < 1.0) {
        return Err(format!("Densight does not run scales {scales:?} of the nearest in opset {opset}"));
    }
    // `align_corners` uses the extents before they are rounded.
    let whole = |(&from, &scale): (&usize, &f32)| (from as f32 * scale).fract() == 0.0;
    if is("coordinate_transformation_mode", "align_corners")
        && !(scales.len() == from.len() && from.iter().zip(scales).all(whole))
    {
        return Err(format!("Densight does not run align_corners with scales {scales:?} of {from:?}"));
    }
    Ok(())
}

fn place(axis: i64, rank: usize) -> usize {
    (if axis < 0 { axis + rank as i64 } else { axis }) as usize
}

fn within(axis: i64, rank: usize, ranks: usize) -> bool {
    // `ranks` is `rank` + 1 if an axis may be behind the last.
    (-(rank as i64)..ranks as i64).contains(&axis)
}

fn axis(node: &NodeProto, name: &str, otherwise: i64, rank: usize, ranks: usize) -> Result<(), String> {
    let axis = attribute(node, name).map_or(otherwise, |axis| axis.i);
    // A scalar has no axes to check.
    if within(axis, rank, ranks) { Ok(()) } else { Err(format!("attribute {name} = {axis} is no axis of {rank}")) }
}

/// Checks a list of axes: each is in range and occurs once.
fn list(axes: &[i64], rank: usize) -> Result<(), String> {
    let mut seen = vec![false; rank];
    for &axis in axes {
        let place = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        if !within(axis, rank, rank) || std::mem::replace(&mut seen[place as usize], true) {
            return Err(format!("axes {axes:?} are not axes of {rank}"));
        }
    }
    Ok(())
}

fn permutation(node: &NodeProto, rank: usize) -> Result<(), String> {
    let Some(perm) = attribute(node, "perm") else { return Ok(()) };
    let mut sorted = perm.ints.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..rank as i64) {
        Ok(())
    } else {
        Err(format!("attribute perm = {:?} does not order {rank} axes", perm.ints))
    }
}
