//! How much each layer uses of each earlier one: figure 5 of Huang et al., CVPR 2017.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fused::{ConvolutionWeights, FusedNetwork, Layer, Op, Read};

/// A dense block: layers that read what the same layers wrote before them. The transition behind it is its last reader, of the last
/// block the classifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockReuse {
    /// Names of what is read: the block's input, then its layers, in the order in which they are concatenated.
    pub sources: Vec<String>,
    /// Who reads them, in order.
    pub readers: Vec<Reader>,
}

/// A convolution, or a fully connected layer, that reads a concatenation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reader {
    /// Its name.
    pub name: String,
    /// For each source the mean absolute weight of its channels as a share of that of all channels, averaged over the outputs: 1 is as
    /// much as the average channel has, 0 is nothing. `None` of a source that it does not read.
    pub uses: Vec<Option<f32>>,
}

/// The dense blocks of `network`, float or int8. The paper's figure shows mean absolute weights as they are; here they are relative to the
/// layer's, output by output, so that neither a quantizer's scales nor a norm behind the layer, folded into its weights, change them.
pub fn reuse(network: &FusedNetwork) -> Vec<BlockReuse> {
    let passed = passed(network);
    // Readers by the first segment of what they read.
    let mut blocks: BTreeMap<usize, Vec<(&Layer, Vec<usize>)>> = BTreeMap::new();
    for layer in &network.layers {
        if let Op::Convolution { .. } = layer.op {
            let origins = origins(network, &passed, &layer.reads);
            if let Some(&first) = origins.first() {
                blocks.entry(first).or_default().push((layer, origins));
            }
        }
    }
    let several = |origins: &[usize]| origins.iter().any(|&segment| segment != origins[0]);
    blocks.retain(|_, readers| readers.iter().any(|(_, origins)| several(origins)));
    blocks.into_values().map(|readers| block(network, &readers)).collect()
}

/// Of each segment that a pool or a norm over channels wrote, the segment that each of its channels came from.
fn passed(network: &FusedNetwork) -> Vec<Option<Vec<usize>>> {
    let mut passed: Vec<Option<Vec<usize>>> = vec![None; network.inputs.len()];
    for layer in &network.layers {
        let keeps = matches!(layer.op, Op::MaxPool(_) | Op::SumPool(_) | Op::Normalize { .. });
        let found = keeps.then(|| origins(network, &passed, &layer.reads));
        passed.push(found);
    }
    passed
}

/// The segment that each channel of a concatenation came from.
fn origins(network: &FusedNetwork, passed: &[Option<Vec<usize>>], reads: &[Read]) -> Vec<usize> {
    let mut all = Vec::new();
    for read in reads {
        let of = |channel: usize| passed[read.segment].as_ref().map_or(read.segment, |origins| origins[channel]);
        if read.channels.is_empty() {
            all.extend((0..network.shape(read.segment).channels).map(of));
        } else {
            all.extend(read.channels.iter().map(|&channel| of(channel)));
        }
    }
    all
}

fn block(network: &FusedNetwork, readers: &[(&Layer, Vec<usize>)]) -> BlockReuse {
    let mut sources: Vec<usize> = Vec::new();
    for &segment in readers.iter().flat_map(|(_, origins)| origins) {
        if !sources.contains(&segment) {
            sources.push(segment);
        }
    }
    let reader = |(layer, origins): &(&Layer, Vec<usize>)| Reader {
        name: layer.name.clone(),
        uses: uses(layer, origins, &sources),
    };
    BlockReuse {
        readers: readers.iter().map(reader).collect(),
        sources: sources.iter().map(|&segment| name(network, segment)).collect(),
    }
}

fn name(network: &FusedNetwork, segment: usize) -> String {
    match segment.checked_sub(network.inputs.len()) {
        None => network.inputs[segment].name.clone(),
        Some(layer) => network.layers[layer].name.clone(),
    }
}

/// How much of its weights `layer` has for each source; `origins` are those of its input's channels.
fn uses(layer: &Layer, origins: &[usize], sources: &[usize]) -> Vec<Option<f32>> {
    let Op::Convolution { window, groups, weights } = &layer.op else { return vec![None; sources.len()] };
    let (taps, outputs) = (window.len(), layer.output.channels);
    let within = origins.len() / groups;
    let place: Vec<usize> =
        origins.iter().map(|segment| sources.iter().position(|source| source == segment).unwrap_or(0)).collect();
    let mut channels = vec![0_usize; sources.len()];
    place.iter().for_each(|&source| channels[source] += 1);
    let mut shares = vec![0.0_f64; sources.len()];
    let mut counted = 0;
    for output in 0..outputs {
        let first = output / (outputs / groups).max(1) * within;
        let mut sums = vec![0.0_f64; sources.len()];
        for channel in 0..within {
            let begin = (output * within + channel) * taps;
            sums[place[first + channel]] += (begin..begin + taps).map(|at| magnitude(weights, output, at)).sum::<f64>();
        }
        let mean = sums.iter().sum::<f64>() / origins.len() as f64;
        if mean > 0.0 {
            counted += 1;
            for ((share, sum), &count) in shares.iter_mut().zip(&sums).zip(&channels) {
                *share += sum / count.max(1) as f64 / mean;
            }
        }
    }
    let share = |(share, &count): (f64, &usize)| (count > 0).then(|| (share / f64::from(counted.max(1))) as f32);
    shares.into_iter().zip(&channels).map(share).collect()
}

/// The magnitude of a weight; of int8 in steps of its output's scale.
fn magnitude(weights: &ConvolutionWeights, output: usize, at: usize) -> f64 {
    match weights {
        ConvolutionWeights::Float { values, .. } => f64::from(values[at].abs()),
        ConvolutionWeights::Int8 { values, zero_points, .. } => {
            let zero_point = zero_points.get(output).copied().unwrap_or(0);
            f64::from((i32::from(values[at]) - i32::from(zero_point)).abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fused::{Border, Input, Shape, Window};
    use crate::model::onnx::{self, OnnxFile};
    use crate::model::{Architecture, DenseNetConfig, Metadata, Tensor, Weights};

    /// Two blocks of three and two layers.
    fn dense(change: impl Fn(&mut BTreeMap<String, Tensor>)) -> FusedNetwork {
        let config = DenseNetConfig::from_json(
            r#"{"growth_rate": 4, "block_config": [3, 2], "num_init_features": 8, "num_classes": 3, "small_inputs": true}"#,
        )
        .unwrap();
        let net = Architecture::of(&config).unwrap();
        let mut tensors =
            Weights::init(&net, 7).iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        change(&mut tensors);
        let weights = Weights::new(tensors, &net).unwrap();
        let bytes = onnx::export(&config, &weights, &Metadata::default()).unwrap();
        OnnxFile::parse(&bytes).unwrap().fuse().unwrap().networks.remove(0)
    }

    #[test]
    fn a_block_ends_in_its_transition_and_the_last_in_the_classifier() {
        let blocks = reuse(&dense(|_| {}));
        let shape = |block: &BlockReuse| (block.sources.len(), block.readers.len());
        assert_eq!(blocks.iter().map(shape).collect::<Vec<_>>(), [(4, 4), (3, 3)]);
        assert!(blocks[0].readers[3].name.contains("transition1"), "{:?}", blocks[0].readers[3].name);
        assert!(blocks[1].readers[2].name.contains("classifier"), "{:?}", blocks[1].readers[2].name);
        for block in &blocks {
            for (number, reader) in block.readers.iter().enumerate() {
                let read = reader.uses.iter().filter(|share| share.is_some()).count();
                assert_eq!(read, (number + 1).min(block.sources.len()), "{}", reader.name);
            }
        }
    }

    #[test]
    fn weights_that_are_0_use_nothing_and_larger_ones_more() {
        let name = "features.transition1.conv.weight";
        let network = dense(|tensors| {
            let tensor = tensors.get_mut(name).unwrap();
            // 10 outputs of 20 channels: the block's input has 8 of them, each layer 4.
            assert_eq!(tensor.shape[..2], [10, 20]);
            for output in tensor.data.chunks_exact_mut(20) {
                output.copy_from_slice(&[1.0; 20]);
                output[8..12].fill(0.0);
                output[12..16].fill(-3.0);
            }
            // An output's scale says nothing of what it reads.
            tensor.data[..20].iter_mut().for_each(|weight| *weight *= 100.0);
        });
        let block = reuse(&network).remove(0);
        // Of 8 + 0 + 12 + 4 = 24 in 20 channels.
        assert_eq!(block.readers[3].uses, [Some(1.0 / 1.2), Some(0.0), Some(3.0 / 1.2), Some(1.0 / 1.2)]);
    }

    #[test]
    fn groups_read_their_own_channels_alone() {
        let shape = Shape { channels: 2, height: 1, width: 1 };
        let window = Window { kernel: [1, 1], stride: [1, 1], padding: [0; 4], dilation: [1, 1], border: Border::Zero };
        let layer = |name: &str, reads: &[usize], groups, values: Vec<f32>| Layer {
            name: name.into(),
            op: Op::Convolution { window, groups, weights: ConvolutionWeights::Float { values, bias: vec![0.0; 2] } },
            reads: reads.iter().map(|&segment| Read::all(segment, vec![])).collect(),
            epilogue: vec![],
            output: shape,
        };
        let network = FusedNetwork {
            inputs: vec![Input { name: "x".into(), shape }],
            layers: vec![layer("a", &[0], 1, vec![1.0; 4]), layer("b", &[0, 1], 2, vec![1.0, 1.0, 2.0, 2.0])],
            outputs: vec![],
        };
        let block = reuse(&network).remove(0);
        assert_eq!((block.sources, block.readers.len()), (vec!["x".to_owned(), "a".to_owned()], 2));
        // Each output has all its weights in half of the channels.
        assert_eq!(block.readers[1].uses, [Some(1.0), Some(1.0)]);
    }
}
