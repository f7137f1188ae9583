//! Which encoding each tensor gets, and what is done to the float network so that they cost less.

use super::calibration::Seen;
use super::histogram::Method;
use crate::error::{Error, ErrorKind, Result};
use crate::model::fused::{ConvolutionWeights, FusedNetwork, Layer, Op, Read};
use crate::model::onnx::LayerEncodings;
use crate::optimize::rewrite::{fold_norms, only_reader, readers};
use crate::quant::{Affine, Encoding, quantize_weights};

/// The scales of segments that are read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConcatScales {
    /// Each segment has the scale it was calibrated to.
    Segment,
    /// All segments that are read together have one scale, the largest, as runtimes need it that concatenate quantized values.
    Shared,
}

impl std::str::FromStr for ConcatScales {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "segment" => Ok(Self::Segment),
            "shared" => Ok(Self::Shared),
            _ => Err(Error::new(ErrorKind::Usage, format!("unknown scales '{name}': use segment or shared"))),
        }
    }
}

/// The encodings of every layer; all convolutions are int8.
pub(super) fn encodings(
    network: &FusedNetwork,
    seen: &[Seen],
    method: Method,
    scales: ConcatScales,
) -> Vec<LayerEncodings> {
    let mut encodings: Vec<LayerEncodings> = Vec::with_capacity(network.layers.len());
    for (number, layer) in network.layers.iter().enumerate() {
        let encoding = LayerEncodings {
            input: input_encoding(network, layer, &seen[number], method, &encodings),
            result: result_encoding(network, number, &seen[number], method),
        };
        encodings.push(encoding);
    }
    if scales == ConcatScales::Shared {
        share(network, seen, method, &mut encodings);
    }
    encodings
}

/// The encoding of what a layer reads: of convolutions, and of max pools that pool what a convolution wrote for them alone.
/// `encodings` are those of the layers before it.
fn input_encoding(
    network: &FusedNetwork,
    layer: &Layer,
    seen: &Seen,
    method: Method,
    encodings: &[LayerEncodings],
) -> Option<Encoding> {
    let single = match layer.reads.as_slice() {
        [read] => Some(read),
        _ => None,
    };
    let quantizes = match layer.op {
        Op::Convolution { .. } => true,
        Op::MaxPool(_) => single.is_some_and(|read| {
            let written = read.segment >= network.inputs.len();
            written && is_direct(network, read.segment)
        }),
        Op::SumPool(_) | Op::Add | Op::Multiply | Op::Normalize { .. } => false,
    };
    // A segment that is quantized already, and read as it is, is not quantized again.
    let held = single.filter(|read| read.prologue.is_empty()).and_then(|read| held(network, read.segment, encodings));
    quantizes.then(|| held.unwrap_or_else(|| read_encoding(seen, method)))
}

/// The encoding in which a segment is kept.
fn held(network: &FusedNetwork, segment: usize, encodings: &[LayerEncodings]) -> Option<Encoding> {
    let number = segment.checked_sub(network.inputs.len())?;
    let (layer, encoding) = (&network.layers[number], &encodings[number]);
    match (&layer.op, layer.reads.as_slice()) {
        (Op::MaxPool(_), [read]) if layer.epilogue.is_empty() => encoding
            .input
            .or_else(|| if read.prologue.is_empty() { held(network, read.segment, encodings) } else { None }),
        _ => encoding.result,
    }
}

/// The encoding of what a layer writes: of features, sums and products, if others than the next convolution alone read them.
fn result_encoding(network: &FusedNetwork, number: usize, seen: &Seen, method: Method) -> Option<Encoding> {
    let segment = network.inputs.len() + number;
    let (layers, leaves) = readers(network, segment);
    let layer = &network.layers[number];
    let writes = matches!(layer.op, Op::Convolution { .. } | Op::Add | Op::Multiply | Op::Normalize { .. });
    if !writes || is_direct(network, segment) || leaves && layers.is_empty() {
        return None;
    }
    // What has no sign, such as behind a ReLU, has a bit more.
    let unsigned = seen.least_result >= 0.0 && !layer.epilogue.is_empty();
    Some(if unsigned {
        Encoding::unsigned(seen.result.limit(method, 255))
    } else {
        Encoding::signed(seen.result.limit(method, 127))
    })
}

/// Gives all segments that are read together the largest of their scales.
fn share(network: &FusedNetwork, seen: &[Seen], method: Method, encodings: &mut [LayerEncodings]) {
    let together: Vec<Vec<usize>> = network
        .layers
        .iter()
        .filter(|layer| layer.reads.len() > 1 && !layer.op.combines())
        .map(|layer| layer.reads.iter().filter_map(|read| read.segment.checked_sub(network.inputs.len())).collect())
        .collect();
    loop {
        let before = encodings.to_vec();
        for layers in &together {
            let magnitude = |&layer: &usize| match encodings[layer].result {
                Some(encoding) => encoding.dequantize(encoding.high),
                None => seen[layer].result.limit(method, 127),
            };
            let largest = layers.iter().map(magnitude).fold(0.0, f32::max);
            for &layer in layers {
                encodings[layer].result = Some(Encoding::signed(largest));
            }
        }
        let settled = |a: &LayerEncodings, b: &LayerEncodings| match (a.result, b.result) {
            (Some(a), Some(b)) => (a.scale / b.scale - 1.0).abs() < 1e-5,
            (a, b) => a == b,
        };
        if before.iter().zip(&*encodings).all(|(a, b)| settled(a, b)) {
            return;
        }
    }
}

/// Whether a convolution's result is read once, by a convolution or pool that quantizes it as it needs it: no encoding of
/// its own comes between.
fn is_direct(network: &FusedNetwork, segment: usize) -> bool {
    only_reader(network, segment).is_some_and(|reader| !matches!(network.layers[reader].op, Op::SumPool(_)))
}

fn read_encoding(seen: &Seen, method: Method) -> Encoding {
    if seen.least < 0.0 {
        // The picture itself, whose range is known and has no outliers.
        Encoding::asymmetric(seen.least, seen.input.greatest())
    } else {
        Encoding::unsigned(seen.input.limit(method, 255))
    }
}

/// Adds to every int8 layer's bias what rounding its weights takes away on average
/// (Nagel et al., "Data-free quantization through weight equalization and bias correction", 2019, section 4.2).
pub(super) fn correct_biases(network: &mut FusedNetwork, seen: &[Seen], encodings: &[LayerEncodings]) {
    for ((layer, seen), encodings) in network.layers.iter_mut().zip(seen).zip(encodings) {
        let Op::Convolution { window, groups, weights: ConvolutionWeights::Float { values, bias } } = &mut layer.op
        else {
            continue;
        };
        if encodings.input.is_none() {
            continue;
        }
        let (means, taps) = (seen.means(), window.len());
        let (inputs, outputs) = (means.len() / *groups, bias.len() / *groups);
        for (output, (weights, bias)) in values.chunks_exact(inputs * taps).zip(bias).enumerate() {
            let means = &means[output / outputs * inputs..][..inputs];
            let (encodings, scale) = quantize_weights(weights);
            let lost = weights.iter().zip(encodings).enumerate();
            let lost = lost.map(|(i, (w, qvalue))| means[i / taps] * f64::from(w - f32::from(qvalue) * scale));
            *bias += lost.sum::<f64>() as f32;
        }
    }
}

/// Divides each channel that a convolution reads by a factor, and multiplies the weights that meet it with the same, so that
/// channels of values and of weights use their ranges alike (the same paper, section 4.1).
pub(super) fn equalize(network: &mut FusedNetwork, seen: &[Seen]) {
    for (number, seen) in seen.iter().enumerate() {
        let layer = &network.layers[number];
        let Op::Convolution { window, groups: 1, weights: ConvolutionWeights::Float { values, .. } } = &layer.op else {
            continue;
        };
        // The image's channels are alike, and nothing in front could take the factor up. A bound other than 0 would move too.
        let fixed = |affine: &Affine| {
            let bounded = affine.high.is_finite() || affine.low.is_finite() && affine.low != 0.0;
            bounded || affine.round || !affine.function.is_identity()
        };
        let exposed = |read: &Read| read.prologue.is_empty() && !takes_up(network, read.segment);
        if seen.least < 0.0
            || layer.reads.iter().filter_map(|read| read.prologue.last()).any(fixed)
            || layer.reads.iter().any(exposed)
        {
            continue;
        }
        let (channels, taps) = (seen.greatest.len(), window.len());
        let mut heaviest = vec![0.0_f32; channels];
        for weights in values.chunks_exact(channels * taps) {
            for (most, weights) in heaviest.iter_mut().zip(weights.chunks_exact(taps)) {
                *most = weights.iter().fold(*most, |most, w| most.max(w.abs()));
            }
        }
        let pair = |(x, w): (&f32, &f32)| if *x > 0.0 && *w > 0.0 { (x / w).sqrt() } else { 1.0 };
        let factors: Vec<f32> = seen.greatest.iter().zip(&heaviest).map(pair).collect();
        divide(network, number, &factors);
    }
    fold_norms(network);
}

/// Whether a factor in front of the only reader of `segment` moves into the convolution that writes it.
fn takes_up(network: &FusedNetwork, segment: usize) -> bool {
    let writer = segment.checked_sub(network.inputs.len()).map(|number| &network.layers[number]);
    let convolution =
        writer.is_some_and(|layer| matches!(layer.op, Op::Convolution { .. }) && layer.epilogue.is_empty());
    convolution && only_reader(network, segment).is_some()
}

fn divide(network: &mut FusedNetwork, number: usize, factors: &[f32]) {
    let shapes: Vec<[usize; 2]> = network.layers[number]
        .reads
        .iter()
        .map(|read| [network.shape(read.segment).channels, network.read_shape(read).channels])
        .collect();
    let layer = &mut network.layers[number];
    let mut start = 0;
    for (read, [all, width]) in layer.reads.iter_mut().zip(shapes) {
        if read.prologue.is_empty() {
            read.prologue.push(Affine::factor(1.0, all));
        }
        let last = read.prologue.last_mut().expect("there is one");
        for (at, factor) in factors[start..start + width].iter().enumerate() {
            let channel = read.channels.get(at).copied().unwrap_or(at);
            last.mul[channel] /= factor;
            last.add[channel] /= factor;
        }
        start += width;
    }
    if let Op::Convolution { window, weights: ConvolutionWeights::Float { values, .. }, .. } = &mut layer.op {
        let taps = window.len();
        for weights in values.chunks_exact_mut(factors.len() * taps) {
            for (weights, factor) in weights.chunks_exact_mut(taps).zip(factors) {
                weights.iter_mut().for_each(|weight| *weight *= factor);
            }
        }
    }
}
