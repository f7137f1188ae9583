//! Moves the affines that all readers of a segment apply first to its writer, where they are done once.

use super::{Chain, ConvolutionWeights, Layer, Op, Read};

/// A read, whoever the reader is, before its chain is split between reader and writer.
pub(in super::super) struct Unfactored {
    /// Which segment.
    pub(in super::super) segment: usize,
    /// Which of its channels; empty for all.
    pub(in super::super) channels: Vec<usize>,
    /// The operations on it from the layer's bare result on, for all channels.
    pub(in super::super) chain: Chain,
}

/// The affines that belong to each segment's writer, as a number of leading affines of every reader's chain: up to the last one
/// that gives quantized values and that all readers share. Segments are then kept as quantized values, not as accumulators.
fn shared(reads: &[Vec<Unfactored>], segments: usize) -> Vec<usize> {
    let mut first: Vec<Option<(&Chain, usize)>> = vec![None; segments];
    for Unfactored { segment, chain, .. } in reads.iter().flatten() {
        let slot = &mut first[*segment];
        let common = slot.map_or(chain.len(), |(other, common)| common.min(other.common(chain)));
        *slot = Some((slot.map_or(chain, |(other, _)| other), common));
    }
    first.into_iter().map(|slot| slot.map_or(0, |(chain, common)| chain.quantized_within(common))).collect()
}

/// By how much convolutions move quantized values with a sign, to read all of theirs without one.
const SIGNED: i32 = 128;

/// Has convolutions read quantized values as other readers do. Of the network of a residual block, a sum reads signed values as the file
/// has them, and the convolution beside it the same values 128 higher: without this, no quantizer would be shared, and the segment
/// would stay f32.
fn agree(layers: &mut [Layer], readers: &mut [Vec<Unfactored>]) {
    for number in 0..layers.len() {
        let Op::Convolution { weights: ConvolutionWeights::Int8 { input_zero_point, .. }, .. } = &mut layers[number].op
        else {
            continue;
        };
        let [read] = readers[number].as_slice() else { continue };
        let Some(signed) = read.chain.moved(-SIGNED).filter(|signed| {
            let others = readers.iter().flatten().filter(|other| other.segment == read.segment);
            others.into_iter().any(|other| other.chain.common(signed) == signed.len())
        }) else {
            continue;
        };
        readers[number][0].chain = signed;
        *input_zero_point -= SIGNED;
    }
}

/// Splits every reader's chain between the reader and the segment's writer. `readers` are those of each layer, then those of each
/// output; the first `inputs` segments have no writer.
pub(in super::super) fn factor(
    inputs: usize,
    layers: &mut [Layer],
    mut readers: Vec<Vec<Unfactored>>,
) -> Vec<Vec<Read>> {
    agree(layers, &mut readers);
    let mut counts = shared(&readers, inputs + layers.len());
    counts[..inputs].fill(0);
    for Unfactored { segment, chain, .. } in readers.iter().flatten() {
        if let Some(layer) = segment.checked_sub(inputs) {
            layers[layer].epilogue = chain.first_affines(counts[*segment]);
        }
    }
    let read = |Unfactored { segment, channels, chain }: &Unfactored| Read {
        segment: *segment,
        channels: channels.clone(),
        prologue: chain.affines(counts[*segment]),
    };
    readers.iter().map(|reads| reads.iter().map(read).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{FusedNetwork, Input, Output, Shape, Window};
    use super::*;

    /// Signed values, which a sum reads twice and a convolution once, 128 higher.
    #[test]
    fn a_sum_and_a_convolution_share_signed_values() {
        let shape = Shape { channels: 1, height: 1, width: 2 };
        let quantized = || {
            let mut chain = Chain::new(1);
            chain.quantize(&[0.5], &[3.0], -128.0, 127.0);
            chain
        };
        let mut decoded = quantized();
        decoded.dequantize(&[0.5], &[3.0]);
        let read = |segment, chain| Unfactored { segment, channels: Vec::new(), chain };
        let readers = vec![
            vec![read(0, Chain::new(1))],
            vec![read(1, decoded.clone()), read(1, decoded)],
            vec![read(1, quantized().shifted(SIGNED))],
            vec![read(2, Chain::new(1))],
            vec![read(3, Chain::new(1))],
        ];
        let weights = ConvolutionWeights::Float { values: vec![1.0], bias: vec![0.0] };
        let int8 = ConvolutionWeights::Int8 { values: vec![1], zero_points: vec![], input_zero_point: 3 + SIGNED };
        let convolution = |weights| Op::Convolution { window: Window::ONE, groups: 1, weights };
        let ops = [convolution(weights), Op::Add, convolution(int8)];
        let layer = |op| Layer { name: "l".into(), op, reads: vec![], epilogue: vec![], output: shape };
        let mut layers: Vec<Layer> = ops.into_iter().map(layer).collect();
        let mut reads = factor(1, &mut layers, readers).into_iter();
        layers.iter_mut().zip(&mut reads).for_each(|(layer, reads)| layer.reads = reads);
        assert!(layers[0].epilogue.last().is_some_and(|affine| affine.gives_bytes() && affine.low == -128.0));
        assert_eq!(layers[2].reads, [Read::all(1, vec![])]);
        let output = |(number, reads)| Output { name: format!("{number}"), dims: vec![1, 1, 1, 2], reads };
        let network = FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape }],
            layers,
            outputs: reads.enumerate().map(output).collect(),
        };
        network.check().expect("a network that can run");
        let found = network.run(&[&[-1.2, 700.0]]);
        assert_eq!(found, [[-2.0, 124.0], [-2.0, 124.0]], "twice -1.0 and 62.0; the sums of -2 and 124");
    }
}
