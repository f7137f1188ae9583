//! Rewrites float networks so that there is less to compute; results stay the same up to rounding.
//!
//! Each states when it holds. None moves anything across a quantizer: the values that a file quantizes stay the same.

use crate::model::fused::{ConvolutionWeights, FusedNetwork, Op, Read, Shape, Window};
use crate::quant::Affine;

/// All rewrites.
pub fn all(network: &mut FusedNetwork) {
    fold_norms(network);
    pool_first(network);
    share_prologues(network);
    bound_sums(network);
}

/// The readers of a segment: indices of layers, and whether an output reads it too.
pub fn readers(network: &FusedNetwork, segment: usize) -> (Vec<usize>, bool) {
    let layers = network.layers.iter().enumerate();
    let reads = layers.filter(|(_, layer)| layer.reads.iter().any(|read| read.segment == segment));
    let outputs = network.outputs.iter().any(|output| output.reads.iter().any(|read| read.segment == segment));
    (reads.map(|(number, _)| number).collect(), outputs)
}

/// The layer that is the only reader of `segment` and reads nothing else.
pub fn only_reader(network: &FusedNetwork, segment: usize) -> Option<usize> {
    match readers(network, segment) {
        (layers, false) if layers.len() == 1 && network.layers[layers[0]].reads.len() == 1 => Some(layers[0]),
        _ => None,
    }
}

/// A float convolution whose sums reach its only reader as they are: nothing is rounded or bounded in between.
///
/// Only then may the reader's first operation move into the convolution, or change places with it. The only constructor is
/// [`Unrounded::of`], so that a rewrite that takes one cannot skip the check.
struct Unrounded {
    /// Index of the convolution.
    layer: usize,
    /// Index of the layer that is its only reader, and of the one read: it reads nothing else, or it is a sum or product.
    reader: (usize, usize),
}

impl Unrounded {
    fn of(network: &FusedNetwork, number: usize) -> Option<Self> {
        let layer = &network.layers[number];
        let float = matches!(layer.op, Op::Convolution { weights: ConvolutionWeights::Float { .. }, .. });
        let reader = only_read(network, network.inputs.len() + number)?;
        (float && layer.epilogue.is_empty()).then_some(Self { layer: number, reader })
    }

    /// The affines with which the reader begins.
    fn prologue<'a>(&self, network: &'a mut FusedNetwork) -> &'a mut Vec<Affine> {
        &mut network.layers[self.reader.0].reads[self.reader.1].prologue
    }
}

/// The only read of `segment`, as indices of a layer and of its read: the layer reads nothing else, or it is a sum or product.
fn only_read(network: &FusedNetwork, segment: usize) -> Option<(usize, usize)> {
    let (layers, false) = readers(network, segment) else { return None };
    let &[number] = layers.as_slice() else { return None };
    let layer = &network.layers[number];
    let mut reads = (0..layer.reads.len()).filter(|&read| layer.reads[read].segment == segment);
    let (read, None) = (reads.next()?, reads.next()) else { return None };
    (layer.reads.len() == 1 || layer.op.combines()).then_some((number, read))
}

/// Folds the norm with which the only reader of a float convolution begins into the convolution's weights and bias: the second
/// norm of a dense layer, the norm of the stem.
///
/// Holds for an `Unrounded` convolution: `(sum(x * w) + b) * mul + add = sum(x * (w * mul)) + (b * mul + add)`, where the
/// products stay finite and the first affine of the reader's prologue does not round. Its bounds stay where they are.
pub fn fold_norms(network: &mut FusedNetwork) {
    for number in 0..network.layers.len() {
        if let Some(found) = Unrounded::of(network, number) {
            fold_norm(network, &found);
        }
    }
}

fn fold_norm(network: &mut FusedNetwork, found: &Unrounded) {
    let Some(affine) = found.prologue(network).first().filter(|affine| !affine.round).cloned() else { return };
    let Op::Convolution { weights: ConvolutionWeights::Float { values, bias }, .. } = &network.layers[found.layer].op
    else {
        return;
    };
    let size = values.len() / affine.channels();
    let folded: Vec<f32> =
        values.chunks_exact(size).zip(&affine.mul).flat_map(|(w, mul)| w.iter().map(move |w| w * mul)).collect();
    let offsets: Vec<f32> =
        bias.iter().zip(&affine.mul).zip(&affine.add).map(|((b, mul), add)| b * mul + add).collect();
    if !folded.iter().chain(&offsets).all(|value| value.is_finite()) {
        return;
    }
    if let Op::Convolution { weights: ConvolutionWeights::Float { values, bias }, .. } =
        &mut network.layers[found.layer].op
    {
        (*values, *bias) = (folded, offsets);
    }
    let affine = &mut found.prologue(network)[0];
    affine.mul.fill(1.0);
    affine.add.fill(0.0);
}

/// Moves the affines with which all readers of a segment begin to its writer, where they are computed once. Sums of residual
/// networks are read twice, each time through the same ReLU.
///
/// Holds for every segment that has not been rounded: the order of operations stays the same.
pub fn share_prologues(network: &mut FusedNetwork) {
    for number in 0..network.layers.len() {
        let segment = network.inputs.len() + number;
        if network.layers[number].epilogue.iter().any(|affine| affine.round) {
            continue;
        }
        let mut reads: Vec<&mut Read> = reads_mut(network).filter(|read| read.segment == segment).collect();
        let Some((first, others)) = reads.split_first_mut() else { continue };
        let alike = |at: &usize| others.iter().all(|read| read.prologue.get(*at) == Some(&first.prologue[*at]));
        let common = (0..first.prologue.len()).take_while(alike).count();
        if others.is_empty() || common == 0 {
            continue;
        }
        let shared = first.prologue[..common].to_vec();
        reads.iter_mut().for_each(|read| drop(read.prologue.drain(..common)));
        network.layers[number].epilogue.extend(shared);
    }
}

/// Moves a bound, such as ReLU, with which the only read of a float convolution begins to the convolution, which bounds its sums before it writes
/// them.
///
/// Holds for every convolution without an epilogue: the order of operations stays the same.
pub fn bound_sums(network: &mut FusedNetwork) {
    for number in 0..network.layers.len() {
        let layer = &network.layers[number];
        let float = matches!(layer.op, Op::Convolution { weights: ConvolutionWeights::Float { .. }, .. });
        if !float || !layer.epilogue.is_empty() {
            continue;
        }
        let segment = network.inputs.len() + number;
        let mut reads = reads_mut(network).filter(|read| read.segment == segment);
        let bound = match (reads.next(), reads.next()) {
            (Some(read), None) if read.prologue.first().is_some_and(Affine::only_bounds) => read.prologue.remove(0),
            _ => continue,
        };
        drop(reads);
        network.layers[number].epilogue.push(bound);
    }
}

/// All reads of layers and outputs.
fn reads_mut(network: &mut FusedNetwork) -> impl Iterator<Item = &mut Read> {
    let layers = network.layers.iter_mut().map(|layer| &mut layer.reads);
    layers.chain(network.outputs.iter_mut().map(|output| &mut output.reads)).flatten()
}

/// Pools before a transition's 1x1 convolution instead of behind it: a quarter of the multiply-adds remains.
///
/// The two commute for an `Unrounded` 1x1 convolution whose only reader is an average pool without a prologue and with windows
/// side by side, without padding. The convolution then reads averages and has the pool's epilogue, whose first affine expected sums: it is
/// multiplied by the window's size. Without an epilogue, each reader's first affine is.
pub fn pool_first(network: &mut FusedNetwork) {
    for number in 0..network.layers.len() {
        let Some(found) = Unrounded::of(network, number) else { continue };
        let reader = found.reader.0;
        let Op::SumPool(window) = network.layers[reader].op else { continue };
        let segment = network.inputs.len() + number;
        let point = matches!(network.layers[number].op, Op::Convolution { window: Window::ONE, .. });
        let side_by_side = window.kernel == window.stride && window.padding == [0; 4];
        if point && side_by_side && network.layers[reader].reads[0] == Read::all(segment, vec![]) {
            swap(network, &found, window);
        }
    }
}

/// The pool and the convolution change places.
fn swap(network: &mut FusedNetwork, &Unrounded { layer: first, reader: (second, _) }: &Unrounded, window: Window) {
    let values = window.len() as f32;
    let entering = network.input_shape(&network.layers[first]).channels;
    let leaving = network.layers[second].output;
    let (front, back) = network.layers.split_at_mut(second);
    let (front, back) = (&mut front[first], &mut back[0]);
    std::mem::swap(&mut front.op, &mut back.op);
    std::mem::swap(&mut front.name, &mut back.name);
    front.output = Shape { channels: entering, ..leaving };
    back.reads[0].prologue = vec![Affine::factor(1.0 / values, entering)];
    // The affines behind the pool expected the sum.
    if let Some(affine) = back.epilogue.first_mut() {
        affine.mul.iter_mut().for_each(|mul| *mul *= values);
        return;
    }
    let segment = network.inputs.len() + second;
    for read in reads_mut(network).filter(|read| read.segment == segment) {
        match read.prologue.first_mut() {
            Some(affine) => affine.mul.iter_mut().for_each(|mul| *mul *= values),
            None => read.prologue.push(Affine::factor(values, leaving.channels)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fused::{Input, Layer, Output, Read};
    use crate::quant::Function;

    fn shape(channels: usize, side: usize) -> Shape {
        Shape { channels, height: side, width: side }
    }

    /// ReLU, a 1x1 convolution from 3 to 2 channels with bias, an average of 2x2.
    fn transition() -> FusedNetwork {
        let relu = Affine {
            mul: vec![1.0; 3],
            add: vec![0.5; 3],
            low: 0.0,
            high: f32::INFINITY,
            function: Function::Identity,
            round: false,
        };
        let quarter = Affine {
            mul: vec![0.25; 2],
            add: vec![0.0; 2],
            function: Function::Identity,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
            round: false,
        };
        let weights =
            ConvolutionWeights::Float { values: vec![1.0, -2.0, 3.0, 0.5, 0.25, -1.0], bias: vec![1.0, -1.0] };
        let layer =
            |name: &str, op, reads, write, output| Layer { name: name.into(), op, reads, epilogue: write, output };
        let window = Window { kernel: [2; 2], stride: [2; 2], padding: [0; 4], ..Window::ONE };
        let read = |segment, affines| vec![Read::all(segment, affines)];
        let convolution = Op::Convolution { window: Window::ONE, groups: 1, weights };
        FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape: shape(3, 4) }],
            layers: vec![
                layer("conv", convolution, read(0, vec![relu]), vec![], shape(2, 4)),
                layer("pool", Op::SumPool(window), read(1, vec![]), vec![quarter], shape(2, 2)),
            ],
            outputs: vec![Output { name: "y".into(), dims: vec![1, 2, 2, 2], reads: read(2, vec![]) }],
        }
    }

    #[test]
    fn the_result_is_the_same_with_a_quarter_of_the_products() {
        let (plain, mut swapped) = (transition(), transition());
        pool_first(&mut swapped);
        let names: Vec<&str> = swapped.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["pool", "conv"]);
        let macs = |network: &FusedNetwork| network.layers.iter().filter_map(|l| l.macs(network)).sum::<u64>();
        assert_eq!(macs(&plain), 4 * macs(&swapped));
        let x: Vec<f32> = (0..48).map(|i| (i * 7 % 11) as f32 / 4.0 - 1.0).collect();
        for (a, b) in plain.run(&[&x])[0].iter().zip(&swapped.run(&[&x])[0]) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
    }

    #[test]
    fn a_bound_of_the_only_read_goes_to_the_convolution() {
        let relu = Affine { low: 0.0, ..Affine::factor(1.0, 2) };
        let mut network = transition();
        network.layers[1].reads[0].prologue = vec![relu.clone()];
        let mut bounded = network.clone();
        bound_sums(&mut bounded);
        assert_eq!((&bounded.layers[0].epilogue, &bounded.layers[1].reads[0].prologue), (&vec![relu], &vec![]));
        let x: Vec<f32> = (0..48).map(|i| (i * 7 % 11) as f32 / 4.0 - 1.0).collect();
        assert_eq!(bounded.run(&[&x]), network.run(&[&x]));
        // Not where it is read without the bound too.
        network.outputs[0].reads.push(Read::all(1, vec![]));
        let before = network.clone();
        bound_sums(&mut network);
        assert_eq!(network, before);
    }

    #[test]
    fn a_convolution_that_others_read_too_stays() {
        let mut network = transition();
        network.outputs[0].reads.push(Read::all(1, vec![]));
        let before = network.clone();
        pool_first(&mut network);
        assert_eq!(network, before);
    }
}
