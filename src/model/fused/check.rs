//! Checks that a fused network can be run: matching shapes and channel counts, finite parameters, sums that fit 32 bits.

use super::{Border, ConvolutionWeights, FusedNetwork, Layer, Op, Read, Shape, Window};
use crate::error::{Error, ErrorKind, Result};
use crate::quant::Affine;

impl FusedNetwork {
    /// Checks that the network can be run as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the first layer that cannot, and why.
    pub fn check(&self) -> Result<()> {
        let inputs = self.inputs.len();
        for input in &self.inputs {
            volume(input.shape).map_err(|why| unfit(&input.name, &why))?;
        }
        for (number, layer) in self.layers.iter().enumerate() {
            self.check_layer(layer, inputs + number).map_err(|why| unfit(&layer.name, &why))?;
        }
        for output in &self.outputs {
            let check = || {
                self.check_reads(&output.reads, inputs + self.layers.len())?;
                let values: usize = output.reads.iter().map(|read| self.read_shape(read).len()).sum();
                let dims = output.dims.iter().try_fold(1_usize, |all, &dim| all.checked_mul(dim));
                if dims == Some(values) { Ok(()) } else { Err(format!("{values} values for {:?}", output.dims)) }
            };
            check().map_err(|why| unfit(&output.name, &why))?;
        }
        Ok(())
    }

    /// Checks the layer that writes `segment`.
    fn check_layer(&self, layer: &Layer, segment: usize) -> Result<(), String> {
        self.check_reads(&layer.reads, segment)?;
        if layer.op.combines() {
            return self.check_operands(layer);
        }
        let from = self.input_shape(layer);
        let area = |read: &Read| (self.shape(read.segment).height, self.shape(read.segment).width);
        if layer.reads.iter().any(|read| area(read) != (from.height, from.width)) {
            return Err("it reads segments of different extents".into());
        }
        let window = match layer.op {
            Op::Normalize { epsilon } if !(epsilon > 0.0 && epsilon.is_finite() && layer.output == from) => {
                return Err(format!("it normalizes {from:?} to {:?} with {epsilon}", layer.output));
            }
            _ => layer.op.window().unwrap_or(&Window::ONE),
        };
        volume(from)?;
        volume(layer.output)?;
        check_window(window, from, layer.output)?;
        match &layer.op {
            Op::Convolution { weights, groups, .. } => {
                if window.border == Border::Absent {
                    return Err("its padding has no value".into());
                }
                if *groups == 0
                    || !from.channels.is_multiple_of(*groups)
                    || !layer.output.channels.is_multiple_of(*groups)
                {
                    return Err(format!(
                        "its {} and {} channels make no {groups} groups",
                        from.channels, layer.output.channels
                    ));
                }
                self.check_weights(layer, weights, window, from.channels / groups)?;
            }
            Op::MaxPool(window) | Op::SumPool(window)
                if window.dilation != [1, 1] || window.border == Border::Reflect =>
            {
                return Err("its window is dilated, or mirrors".into());
            }
            Op::MaxPool(_) | Op::SumPool(_) if layer.output.channels != from.channels => {
                return Err(format!("it pools {} channels to {}", from.channels, layer.output.channels));
            }
            Op::MaxPool(_) | Op::SumPool(_) => {
                let [top, left, bottom, right] = window.padding;
                if top.max(bottom) >= window.kernel[0] || left.max(right) >= window.kernel[1] {
                    return Err("its window sees nothing but padding".into());
                }
            }
            Op::Add | Op::Multiply | Op::Normalize { .. } => {}
        }
        check_affines(&layer.epilogue, layer.output.channels)
    }

    /// Checks a sum or product.
    fn check_operands(&self, layer: &Layer) -> Result<(), String> {
        volume(layer.output)?;
        let [first, second] = layer.operands(self).ok_or("its operands have other channels than its output")?;
        let extents = |reads: &[Read], extents: [usize; 2]| {
            reads.iter().map(|read| self.shape(read.segment)).all(|shape| [shape.height, shape.width] == extents)
        };
        let output = [layer.output.height, layer.output.width];
        if !extents(first, output) || !extents(second, output) && !extents(second, [1, 1]) {
            return Err("its operands have other extents than its output".into());
        }
        check_affines(&layer.epilogue, layer.output.channels)
    }

    fn check_reads(&self, reads: &[Read], before: usize) -> Result<(), String> {
        if reads.is_empty() {
            return Err("it reads nothing".into());
        }
        for read in reads {
            if read.segment >= before {
                return Err(format!("it reads segment {}, which is not written yet", read.segment));
            }
            let channels = self.shape(read.segment).channels;
            let mut seen = vec![false; channels];
            let new = |&channel: &usize| seen.get_mut(channel).is_some_and(|seen| !std::mem::replace(seen, true));
            if !read.channels.iter().all(new) {
                return Err(format!("of {channels} channels it reads one that is not there, or one twice"));
            }
            check_affines(&read.prologue, channels)?;
        }
        Ok(())
    }

    fn check_weights(
        &self,
        layer: &Layer,
        weights: &ConvolutionWeights,
        window: &Window,
        channels: usize,
    ) -> Result<(), String> {
        let out = layer.output.channels;
        let each = channels.checked_mul(window.len()).filter(|&each| each > 0).ok_or("its window is too large")?;
        let fits = |len: usize| each.checked_mul(out) == Some(len);
        match weights {
            ConvolutionWeights::Float { values, bias } => {
                if !fits(values.len()) || bias.len() != out {
                    return Err(format!("{} weights, {} biases for {out} outputs", values.len(), bias.len()));
                }
                if !values.iter().chain(bias).all(|value| value.is_finite()) {
                    return Err("its weights are not finite".into());
                }
            }
            ConvolutionWeights::Int8 { values, zero_points, input_zero_point } => {
                if !fits(values.len()) || ![0, out].contains(&zero_points.len()) {
                    return Err(format!(
                        "{} weights, {} zero points for {out} outputs",
                        values.len(),
                        zero_points.len()
                    ));
                }
                if !layer.reads_quantized(self) {
                    return Err("it multiplies in int8 what is not of 8 bits".into());
                }
                let signed = layer.reads.iter().filter_map(|read| self.reads_signed(read));
                for signed in signed {
                    let least = if signed { -128 } else { 0 };
                    check_zero_point(*input_zero_point, least, window)?;
                }
                if !sums_fit(values, zero_points, each, *input_zero_point) {
                    return Err("its sums do not fit 32 bits".into());
                }
            }
        }
        Ok(())
    }
}

/// The greatest magnitude of an input's zero point: values minus the zero point then fit 16 bits.
const FARTHEST: i32 = 1 << 14;

/// Checks the zero point of an int8 convolution over values from `least` to `least + 255`. Padding is filled with the zero
/// point, which must then be in that range.
fn check_zero_point(zero_point: i32, least: i32, window: &Window) -> Result<(), String> {
    let among = (least..=least + 255).contains(&zero_point);
    if among || window.padding == [0; 4] && zero_point.abs() <= FARTHEST {
        return Ok(());
    }
    Err(format!("padding of {zero_point} is beyond the values from {least} to {}", least + 255))
}

/// Whether no sum of products can overflow i32: each of an output's `each` weights is multiplied by a value at most 255 + 128 +
/// |`input_zero_point`| from its zero point.
pub(in super::super) fn sums_fit(values: &[i8], zero_points: &[i16], each: usize, input_zero_point: i32) -> bool {
    let farthest = 255 + 128 + i64::from(input_zero_point.unsigned_abs());
    values.chunks_exact(each).enumerate().all(|(out, weights)| {
        let zero_point = zero_points.get(out).map_or(0, |&zero_point| i64::from(zero_point));
        let sum: i64 = weights.iter().map(|&w| (i64::from(w) - zero_point).abs()).sum();
        sum.checked_mul(farthest).is_some_and(|sum| sum <= i64::from(i32::MAX))
    })
}

/// Whether an int8 convolution can read u8 values with this zero point through `window`.
pub(in super::super) fn zero_point_fits(zero_point: i32, window: &Window) -> bool {
    check_zero_point(zero_point, 0, window).is_ok()
}

fn check_window(window: &Window, from: Shape, to: Shape) -> Result<(), String> {
    let Window { kernel, stride, padding: [top, left, bottom, right], dilation, border } = window;
    if kernel.iter().chain(stride).chain(dilation).any(|&side| side == 0) {
        return Err("its window or stride is empty".into());
    }
    if *border == Border::Reflect && (top.max(bottom) >= &from.height || left.max(right) >= &from.width) {
        return Err("it mirrors more than there is".into());
    }
    match window.output(from.height, from.width) {
        Some(output) if output == [to.height, to.width] => Ok(()),
        _ => Err(format!("its window makes no {}x{} of {}x{}", to.height, to.width, from.height, from.width)),
    }
}

/// Number of values; an error if it is 0 or too large.
fn volume(shape: Shape) -> Result<usize, String> {
    let Shape { channels, height, width } = shape;
    let values = channels.checked_mul(height).and_then(|plane| plane.checked_mul(width)).filter(|&values| values > 0);
    // Memory is laid out in whole vectors of four channels.
    let most = usize::MAX / 256;
    values.filter(|&values| values < most).ok_or_else(|| format!("its extents are {channels}x{height}x{width}"))
}

fn check_affines(affines: &[Affine], channels: usize) -> Result<(), String> {
    for affine in affines {
        if (affine.mul.len(), affine.add.len()) != (channels, channels) {
            return Err(format!("{} factors, {} summands for {channels} channels", affine.mul.len(), affine.add.len()));
        }
        if !affine.mul.iter().chain(&affine.add).all(|value| value.is_finite()) {
            return Err("a scale, norm or constant in front of it is too large or too small for f32".into());
        }
        if affine.low.is_nan() || affine.high.is_nan() || affine.low > affine.high {
            return Err(format!("values bounded to {} to {}", affine.low, affine.high));
        }
    }
    Ok(())
}

fn unfit(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Model, format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Output, random};
    use super::*;
    use crate::quant::Function;

    /// A valid network with one field made invalid.
    #[test]
    fn whatever_does_not_fit_is_found() {
        let good = || random::network(3, random::NumberKind::Int8);
        good().check().unwrap();
        type Break = fn(&mut FusedNetwork);
        let broken: [(&str, Break); 10] = [
            ("reads nothing", |n| n.layers[0].reads.clear()),
            ("not written yet", |n| n.layers[0].reads[0].segment = n.inputs.len()),
            ("not there, or one twice", |n| {
                let channels = n.shape(n.outputs[0].reads[0].segment).channels;
                n.outputs[0].reads[0].channels = vec![channels];
            }),
            ("not there, or one twice", |n| n.outputs[0].reads[0].channels = vec![0, 0]),
            ("extents", |n| n.layers[0].output.height = 0),
            ("makes no", |n| n.layers[0].output.height += 1),
            ("values for", |n| n.outputs[0].dims.push(2)),
            ("factors", |n| {
                let channels = n.shape(n.outputs[0].reads[0].segment).channels;
                n.outputs[0].reads[0].prologue.push(affine(channels + 1, 0.0));
            }),
            ("too large or too small", |n| {
                let channels = n.shape(n.outputs[0].reads[0].segment).channels;
                n.outputs[0].reads[0].prologue.push(affine(channels, f32::INFINITY));
            }),
            ("bounded to", |n| {
                let channels = n.shape(n.outputs[0].reads[0].segment).channels;
                n.outputs[0].reads[0].prologue.push(Affine { low: f32::NAN, ..affine(channels, 0.0) });
            }),
        ];
        for (reason, break_it) in broken {
            let mut network = good();
            break_it(&mut network);
            let error = network.check().unwrap_err().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    fn affine(channels: usize, add: f32) -> Affine {
        Affine {
            mul: vec![1.0; channels],
            add: vec![add; channels],
            low: -1.0,
            high: 1.0,
            function: Function::Identity,
            round: false,
        }
    }

    #[test]
    fn operands_have_to_match() {
        let shape = |channels, side| Shape { channels, height: side, width: side };
        let read = |segment| Read::all(segment, vec![]);
        let why = |shapes: [Shape; 2], output: Shape| {
            let layer =
                Layer { name: "sum".into(), op: Op::Add, reads: vec![read(0), read(1)], epilogue: vec![], output };
            let input = |shape| Input { name: "x".into(), shape };
            let network = FusedNetwork { inputs: shapes.map(input).into(), layers: vec![layer], outputs: vec![] };
            network.check().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(why([shape(3, 4), shape(3, 4)], shape(3, 4)), "");
        assert_eq!(why([shape(3, 4), shape(3, 1)], shape(3, 4)), "");
        assert!(why([shape(3, 4), shape(2, 4)], shape(3, 4)).contains("other channels"));
        assert!(why([shape(3, 1), shape(3, 4)], shape(3, 4)).contains("other extents"));
        assert!(why([shape(3, 4), shape(3, 2)], shape(3, 4)).contains("other extents"));
    }

    /// A 3x3 over one u8 channel, with zero point and weights of that size.
    fn convolution(input_zero_point: i32, padding: usize, weight: i8, channels: usize) -> FusedNetwork {
        let window = Window { kernel: [3; 2], stride: [1; 2], padding: [padding; 4], ..Window::ONE };
        let values = vec![weight; 9 * channels];
        let weights = ConvolutionWeights::Int8 { values, zero_points: vec![], input_zero_point };
        let shape = |channels, side| Shape { channels, height: side, width: side };
        let to_u8 = Affine { low: 0.0, high: 255.0, round: true, ..affine(channels, 0.0) };
        let side = 5 + 2 * padding - 2;
        FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape: shape(channels, 5) }],
            layers: vec![Layer {
                name: "conv".into(),
                op: Op::Convolution { window, groups: 1, weights },
                reads: vec![Read::all(0, vec![to_u8])],
                epilogue: vec![],
                output: shape(1, side),
            }],
            outputs: vec![Output { name: "y".into(), dims: vec![1, 1, side, side], reads: vec![Read::all(1, vec![])] }],
        }
    }

    #[test]
    fn padding_has_to_be_a_value_and_sums_have_to_fit() {
        let why = |network: FusedNetwork| network.check().err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(why(convolution(255, 1, 1, 1)), "");
        assert_eq!(why(convolution(300, 0, 1, 1)), "");
        assert!(why(convolution(300, 1, 1, 1)).contains("padding of 300"));
        assert!(why(convolution(-1, 1, 1, 1)).contains("padding of -1"));
        assert!(why(convolution(0, 1, 127, 5000)).contains("32 bits"));
        assert_eq!(why(convolution(0, 1, 127, 4000)), "");
    }
}
