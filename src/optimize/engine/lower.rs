//! Lowers the layers of a network to tasks: chooses each layer's operator and epilogue.

use super::combine::{Combination, Combine};
use super::convolve::{Accumulated, Requantized};
use super::convolve_f32::ConvolutionF32;
use super::depthwise::Depthwise;
use super::halo::HaloWriter;
use super::input::ConvolutionInput;
use super::k_steps;
use super::lowering::{Int8Weights, Lowering};
use super::normalize::Normalize;
use super::operator::Tiling;
use super::operators::{F32Operator, QuantizedOperator};
use super::pool::{MaxPool, Pool, PoolF32, Reduction, SumPool};
use super::prologue::{chain, is_signed, laned};
use super::results::{F32Results, QuantizedResults, Results};
use super::segments::{Storage, affines, writes_quantized};
use super::task::Task;
use super::winograd::WinogradF32;
use super::winograd_int8::WinogradInt8;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{AffineChain, AffineChainF32, BiasClamp, Packed, PackedF32, QuantType, Requantize};
use crate::model::fused::{ConvolutionWeights, Layer, Op, Window};
use crate::quant::Affine;

/// The task of a layer that writes the segment `to`.
///
/// # Errors
/// If the kernels refuse an affine: its scales are not finite, or its bounds are empty.
pub(super) fn lower(lowering: Lowering<'_>, layer: &Layer, to: usize) -> Result<Task> {
    let (results, tile_len) = match &layer.op {
        Op::Convolution {
            window,
            groups,
            weights: ConvolutionWeights::Int8 { values, zero_points, input_zero_point },
        } => {
            let weights = Int8Weights { values, zero_points, input_zero_point: *input_zero_point };
            int8_convolution(lowering, layer, to, (window, *groups), weights)?
        }
        Op::Convolution { window, groups, weights: ConvolutionWeights::Float { values, bias } } => {
            f32_convolution(lowering, layer, to, (window, *groups), (values, bias))?
        }
        Op::MaxPool(window) => max_pool(lowering, layer, to, window),
        Op::SumPool(window) => sum_pool(lowering, layer, to, window),
        Op::Add => combine(lowering, layer, to, Combination::Sum)?,
        Op::Multiply => combine(lowering, layer, to, Combination::Product)?,
        Op::Normalize { epsilon } => {
            let (operator, tile_len) = Normalize::new(lowering, layer, *epsilon);
            (laned_results(lowering, layer, to, operator.into()), tile_len)
        }
    };
    Ok(Task::new(results, lowering.places[to], Tiling { shape: layer.output, tile_len }))
}

/// The results of an int8 convolution that writes the segment `to`, and the pixels of a tile.
///
/// # Errors
/// If scales are not finite.
fn int8_convolution(
    lowering: Lowering<'_>,
    layer: &Layer,
    to: usize,
    (window, groups): (&Window, usize),
    weights: Int8Weights<'_>,
) -> Result<(Results, usize)> {
    let (convolution, tile_len) = Int8Convolution::new(lowering, layer, (window, groups), weights)?;
    let outputs = convolution.outputs();
    let channels = outputs.iter().sum();
    let affines: Vec<Affine> = layer.epilogue.iter().map(|affine| padded(affine, channels)).collect();
    let segment = &lowering.segments[to];
    let qvalues = match segment.kind {
        Storage::Quantized(qvalues) => qvalues,
        Storage::F32 => {
            let results = F32Results::Affine(convolution.accumulated(), AffineChainF32::new(channels, &affines));
            return Ok((Results::F32(results), tile_len));
        }
    };
    let results = if writes_quantized(layer) {
        let flip = if lowering.kernels.shifted() { 0x80 } else { 0 };
        let halo = segment.halo.as_ref().map(|halo| HaloWriter::new(segment, halo, &lowering.places[to], flip));
        let requantize = split(&affines[0], &outputs);
        let requantize = requantize.iter().map(|affine| Requantize::new(affine, qvalues)).collect::<Result<_>>()?;
        QuantizedResults::AsIs(convolution.requantized(requantize), halo)
    } else if let Some((requantize, chain)) = in_two_parts(&affines, qvalues, &outputs) {
        QuantizedResults::Affine(convolution.requantized(requantize), chain)
    } else {
        QuantizedResults::Rounded(convolution.accumulated(), AffineChainF32::new(channels, &affines), qvalues)
    };
    Ok((Results::Quantized(results), tile_len))
}

/// An int8 convolution, before what becomes of its accumulators is known.
enum Int8Convolution {
    Direct(Accumulated, Vec<usize>),
    Winograd(WinogradInt8),
}

impl Int8Convolution {
    /// The convolution of a layer, and the pixels of a tile.
    ///
    /// # Errors
    /// Only if the network did not pass [`FusedNetwork::check`](crate::model::fused::FusedNetwork::check).
    fn new(
        lowering: Lowering<'_>,
        layer: &Layer,
        (window, groups): (&Window, usize),
        weights: Int8Weights<'_>,
    ) -> Result<(Self, usize)> {
        if let Some(winograd) = WinogradInt8::new(lowering, layer, weights) {
            let tile_len = winograd.tile_len();
            return Ok((Self::Winograd(winograd), tile_len));
        }
        let (input, tile_len) = ConvolutionInput::quantized(lowering, layer, window, weights.input_zero_point);
        let weights = k_steps::pack_int8(lowering, layer, (window, groups), weights, &input)?;
        let outputs = weights.iter().map(Packed::outputs).collect();
        Ok((Self::Direct(Accumulated::new(weights, input), outputs), tile_len))
    }

    /// Numbers of output channels of its parts.
    fn outputs(&self) -> Vec<usize> {
        match self {
            Self::Direct(_, outputs) => outputs.clone(),
            Self::Winograd(convolution) => vec![convolution.outputs()],
        }
    }

    /// The operator that gives accumulators.
    fn accumulated(self) -> F32Operator {
        match self {
            Self::Direct(convolution, _) => convolution.into(),
            Self::Winograd(convolution) => convolution.into(),
        }
    }

    /// The operator that requantizes them, each part by its affine.
    fn requantized(self, requantize: Vec<Requantize>) -> QuantizedOperator {
        match self {
            Self::Direct(convolution, _) => Requantized::new(convolution, requantize).into(),
            Self::Winograd(convolution) => convolution.requantized(requantize).into(),
        }
    }
}

/// The results of a convolution with these weights and biases that writes the segment `to`, and the pixels of a tile.
///
/// # Errors
/// Only if the network did not pass [`FusedNetwork::check`](crate::model::fused::FusedNetwork::check).
fn f32_convolution(
    lowering: Lowering<'_>,
    layer: &Layer,
    to: usize,
    (window, groups): (&Window, usize),
    (values, bias): (&[f32], &[f32]),
) -> Result<(Results, usize)> {
    let (add_bias, epilogue) = add_bias(layer, bias);
    let whole_planes = || padded(&add_bias, layer.output.channels.next_multiple_of(4));
    if let Some(geometry) = WinogradF32::chosen(lowering, layer, (window, groups)) {
        let operator = WinogradF32::new(lowering, layer, geometry, (values, &whole_planes()))?;
        let tile_len = operator.tile_len();
        return Ok((f32_results(lowering, layer, to, operator.into(), epilogue), tile_len));
    }
    if groups > 1
        && groups == lowering.network.input_shape(layer).channels
        && let Some(operator) = Depthwise::new(lowering, layer, window, (values, &whole_planes()))?
    {
        let tile_len = operator.tile_len();
        return Ok((f32_results(lowering, layer, to, operator.into(), epilogue), tile_len));
    }
    let (input, tile_len) = ConvolutionInput::f32(lowering, layer, window);
    let weights = k_steps::pack_f32(lowering, layer, (window, groups), values, &input);
    let outputs: Vec<usize> = weights.iter().map(PackedF32::outputs).collect();
    let channels = outputs.iter().sum();
    let bias_clamp = split(&padded(&add_bias, channels), &outputs).iter().map(BiasClamp::new).collect::<Result<_>>()?;
    let operator = ConvolutionF32::new(weights, bias_clamp, input).into();
    Ok((f32_results(lowering, layer, to, operator, epilogue), tile_len))
}

/// What adds a convolution's bias, and the rest of its epilogue. A first affine that does nothing but bound, such as ReLU, bounds the sums.
fn add_bias<'a>(layer: &'a Layer, bias: &[f32]) -> (Affine, &'a [Affine]) {
    let add_bias = Affine::linear(vec![1.0; bias.len()], bias.to_vec());
    match layer.epilogue.split_first() {
        Some((first, rest)) if first.only_bounds() => (Affine { low: first.low, high: first.high, ..add_bias }, rest),
        _ => (add_bias, &layer.epilogue),
    }
}

/// The results of a float convolution, after the rest of the layer's epilogue.
fn f32_results(
    lowering: Lowering<'_>,
    layer: &Layer,
    to: usize,
    operator: F32Operator,
    epilogue: &[Affine],
) -> Results {
    let channels = layer.output.channels.next_multiple_of(4);
    let affines: Vec<Affine> = epilogue.iter().map(|affine| padded(affine, channels)).collect();
    let chain = || AffineChainF32::new(channels, &affines);
    match lowering.segments[to].kind {
        Storage::Quantized(qvalues) => Results::Quantized(QuantizedResults::Rounded(operator, chain(), qvalues)),
        Storage::F32 if affines.is_empty() => Results::F32(F32Results::AsIs(operator)),
        Storage::F32 => Results::F32(F32Results::Affine(operator, chain())),
    }
}

/// The results of a max pool that writes the segment `to`, and the pixels of a tile.
fn max_pool(lowering: Lowering<'_>, layer: &Layer, to: usize, window: &Window) -> (Results, usize) {
    let segment = &lowering.segments[to];
    if let (Some(form), Storage::Quantized(qvalues)) = (read_form(lowering, layer), segment.kind)
        && let Some(chain) = chain(&laned_epilogue(lowering, layer, to), 4 * segment.planes, form, qvalues)
    {
        let pool = Pool::new(lowering, layer, window);
        let tile_len = pool.tile_len();
        return (Results::Quantized(QuantizedResults::Affine(MaxPool::new(pool).into(), chain)), tile_len);
    }
    let pool = Pool::new(lowering, layer, window);
    let tile_len = pool.tile_len();
    (laned_results(lowering, layer, to, PoolF32::new(pool, Reduction::Max).into()), tile_len)
}

/// As [`max_pool`], for a sum pool.
fn sum_pool(lowering: Lowering<'_>, layer: &Layer, to: usize, window: &Window) -> (Results, usize) {
    let form = read_form(lowering, layer);
    if let Some(operator) = form.and_then(|form| SumPool::new(Pool::new(lowering, layer, window), form)) {
        let tile_len = operator.tile_len();
        return (laned_results(lowering, layer, to, operator.into()), tile_len);
    }
    let pool = Pool::new(lowering, layer, window);
    let tile_len = pool.tile_len();
    (laned_results(lowering, layer, to, PoolF32::new(pool, Reduction::Sum).into()), tile_len)
}

/// The results of a sum or product that writes the segment `to`, and the pixels of a tile.
///
/// # Errors
/// Only if the network did not pass [`FusedNetwork::check`](crate::model::fused::FusedNetwork::check).
fn combine(lowering: Lowering<'_>, layer: &Layer, to: usize, how: Combination) -> Result<(Results, usize)> {
    let operands = layer.operands(lowering.network).ok_or_else(|| {
        Error::new(ErrorKind::Model, format!("{}: its operands have other channels than its output", layer.name))
    })?;
    let (operator, tile_len) = Combine::new(lowering, layer, operands, how);
    let as_is = layer.epilogue.is_empty();
    let results = if as_is {
        Results::F32(F32Results::AsIs(operator.into()))
    } else {
        laned_results(lowering, layer, to, operator.into())
    };
    Ok((results, tile_len))
}

/// The f32 results of an operator that keeps its input's lanes, after the layer's epilogue.
fn laned_results(lowering: Lowering<'_>, layer: &Layer, to: usize, operator: F32Operator) -> Results {
    let segment = &lowering.segments[to];
    let chain = AffineChainF32::new(4 * segment.planes, &laned_epilogue(lowering, layer, to));
    match segment.kind {
        Storage::Quantized(qvalues) => Results::Quantized(QuantizedResults::Rounded(operator, chain, qvalues)),
        Storage::F32 => Results::F32(F32Results::Affine(operator, chain)),
    }
}

fn laned_epilogue(lowering: Lowering<'_>, layer: &Layer, to: usize) -> Vec<Affine> {
    layer.epilogue.iter().map(|affine| laned(affine, &lowering.segments[to])).collect()
}

/// The type of the quantized values that a pool reads, if all have the same.
fn read_form(lowering: Lowering<'_>, layer: &Layer) -> Option<QuantType> {
    let quantized = layer.reads.iter().all(|read| match affines(read, lowering.segments).last() {
        Some(affine) => affine.gives_bytes(),
        None => matches!(lowering.segments[read.segment].kind, Storage::Quantized(_)),
    });
    let signed = layer.reads.iter().filter(|read| is_signed(read, lowering.segments)).count();
    match signed {
        _ if !quantized => None,
        0 => Some(QuantType::Activation),
        n if n == layer.reads.len() => Some(QuantType::ActivationSigned),
        _ => None,
    }
}

/// Splits an affine into parts with these numbers of channels.
fn split(affine: &Affine, channels: &[usize]) -> Vec<Affine> {
    let mut first = 0;
    let mut part = |&channels: &usize| {
        let range = first..first + channels;
        first = range.end;
        Affine { mul: affine.mul[range.clone()].to_vec(), add: affine.add[range].to_vec(), ..affine.clone() }
    };
    channels.iter().map(&mut part).collect()
}

/// The affine padded to `channels` channels.
pub(super) fn padded(affine: &Affine, channels: usize) -> Affine {
    let mut affine = affine.clone();
    affine.mul.resize(channels, 0.0);
    affine.add.resize(channels, 0.0);
    affine
}

/// The first affine as the convolution's, and a chain of the others, if all their results are quantized values.
fn in_two_parts(affines: &[Affine], to: QuantType, outputs: &[usize]) -> Option<(Vec<Requantize>, AffineChain)> {
    let (first, rest) = affines.split_first()?;
    if rest.is_empty() || !first.gives_bytes() {
        return None;
    }
    let qvalues = if first.low < 0.0 { QuantType::Signed } else { QuantType::Unsigned };
    let requantize =
        split(first, outputs).iter().map(|affine| Requantize::new(affine, qvalues).ok()).collect::<Option<_>>();
    Some((requantize?, AffineChain::new(rest, qvalues, to).ok()?))
}
