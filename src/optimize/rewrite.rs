//! Rewrites float networks so that less is left to compute; what they compute stays the same but for rounding.
//!
//! Codes are rounded between layers: quantized layers stay as their file has them.

use crate::model::fused::{FusedNetwork, Op, Shape, Weights, Window};
use crate::quant::Step;

/// Who reads a segment: numbers of layers, and whether an output does too.
pub fn readers(network: &FusedNetwork, segment: usize) -> (Vec<usize>, bool) {
    let layers = network.layers.iter().enumerate();
    let reads = layers.filter(|(_, layer)| layer.reads.iter().any(|read| read.segment == segment));
    let outputs = network.outputs.iter().any(|output| output.reads.iter().any(|read| read.segment == segment));
    (reads.map(|(number, _)| number).collect(), outputs)
}

/// The layer that alone reads `segment`, and reads nothing else.
pub fn only_reader(network: &FusedNetwork, segment: usize) -> Option<usize> {
    match readers(network, segment) {
        (layers, false) if layers.len() == 1 && network.layers[layers[0]].reads.len() == 1 => Some(layers[0]),
        _ => None,
    }
}

/// Folds what is done to a convolution's result for one reader only into its weights and bias: the second norm of a
/// layer, the norm of the stem.
pub fn fold_norms(network: &mut FusedNetwork) {
    let inputs = network.inputs.len();
    for number in 0..network.layers.len() {
        let Some(reader) = only_reader(network, inputs + number) else { continue };
        let steps = &mut network.layers[reader].reads[0].steps;
        let Some(first) = steps.first_mut().filter(|step| !step.round) else { continue };
        let channels = first.channels();
        let (mul, add) = (
            std::mem::replace(&mut first.mul, vec![1.0; channels]),
            std::mem::replace(&mut first.add, vec![0.0; channels]),
        );
        let Op::Convolution { weights: Weights::Float { values, bias }, .. } = &mut network.layers[number].op else {
            // A pool has no weights: the norm stays where it is.
            let first = &mut network.layers[reader].reads[0].steps[0];
            (first.mul, first.add) = (mul, add);
            continue;
        };
        let size = values.len() / channels;
        for (channel, weights) in values.chunks_exact_mut(size).enumerate() {
            weights.iter_mut().for_each(|weight| *weight *= mul[channel]);
            bias[channel] = bias[channel] * mul[channel] + add[channel];
        }
    }
}

/// Pools before a transition's 1x1 convolution, and not behind it: the two commute, and a quarter of the multiply-adds is
/// left.
pub fn pool_first(network: &mut FusedNetwork) {
    let inputs = network.inputs.len();
    for conv in 0..network.layers.len() {
        let Some(pool) = only_reader(network, inputs + conv) else { continue };
        let Op::SumPool(window) = network.layers[pool].op else { continue };
        let float =
            matches!(network.layers[conv].op, Op::Convolution { window: Window::ONE, weights: Weights::Float { .. } });
        if !float
            || !network.layers[conv].write.is_empty()
            || !network.layers[pool].reads[0].steps.is_empty()
            || window.kernel != window.stride
        {
            continue;
        }
        let values = window.len() as f32;
        let entering = network.input_shape(&network.layers[conv]);
        let leaving = network.layers[pool].output;
        let shrunk = Shape { channels: entering.channels, ..leaving };
        // The pool takes the place of the convolution, and the other way round.
        let (conv_op, pool_op) = (network.layers[conv].op.clone(), network.layers[pool].op.clone());
        let names = [network.layers[conv].name.clone(), network.layers[pool].name.clone()];
        let [conv_name, pool_name] = names;
        (network.layers[conv].op, network.layers[conv].name, network.layers[conv].output) =
            (pool_op, pool_name, shrunk);
        let second = &mut network.layers[pool];
        (second.op, second.name) = (conv_op, conv_name);
        second.reads[0].steps = vec![factor(1.0 / values, entering.channels)];
        // Readers expected the sum.
        let segment = inputs + pool;
        let layers = network.layers.iter_mut().map(|layer| &mut layer.reads);
        for read in layers.chain(network.outputs.iter_mut().map(|output| &mut output.reads)).flatten() {
            if read.segment == segment {
                match read.steps.first_mut() {
                    Some(step) => step.mul.iter_mut().for_each(|mul| *mul *= values),
                    None => read.steps.push(factor(values, leaving.channels)),
                }
            }
        }
    }
}

/// The step of one factor for all channels.
pub fn factor(factor: f32, channels: usize) -> Step {
    Step {
        mul: vec![factor; channels],
        add: vec![0.0; channels],
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
        round: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fused::{Input, Layer, Output, Read};

    fn shape(channels: usize, side: usize) -> Shape {
        Shape { channels, height: side, width: side }
    }

    /// ReLU, a 1x1 convolution from 3 to 2 channels with bias, an average of 2x2.
    fn transition() -> FusedNetwork {
        let relu = Step { mul: vec![1.0; 3], add: vec![0.5; 3], low: 0.0, high: f32::INFINITY, round: false };
        let quarter =
            Step { mul: vec![0.25; 2], add: vec![0.0; 2], low: f32::NEG_INFINITY, high: f32::INFINITY, round: false };
        let weights = Weights::Float { values: vec![1.0, -2.0, 3.0, 0.5, 0.25, -1.0], bias: vec![1.0, -1.0] };
        let layer = |name: &str, op, reads, write, output| Layer { name: name.into(), op, reads, write, output };
        let window = Window { kernel: [2; 2], stride: [2; 2], padding: [0; 4] };
        let read = |segment, steps| vec![Read { segment, steps }];
        let convolution = Op::Convolution { window: Window::ONE, weights };
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
    fn a_convolution_that_others_read_too_stays() {
        let mut network = transition();
        network.outputs[0].reads.push(Read { segment: 1, steps: vec![] });
        let before = network.clone();
        pool_first(&mut network);
        assert_eq!(network, before);
    }
}
