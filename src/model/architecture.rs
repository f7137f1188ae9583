//! The layers of a configured network as plain data: names, channels and kernels, without weights.

use super::DenseNetConfig;
use crate::error::Result;

/// A square convolution without bias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Name of the layer; its tensor is `{name}.weight`, `[out, in, kernel, kernel]`.
    pub name: String,
    /// Channels read.
    pub in_channels: usize,
    /// Channels written.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the image on each side.
    pub padding: usize,
}

/// A batch normalization; at inference an affine function for each channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchNorm {
    /// Name of the layer; its tensors are `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`.
    pub name: String,
    /// Channels read and written.
    pub channels: usize,
}

/// Norm, ReLU, convolution: what a dense layer is made of, and, before its average pool, a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Normalizes what the stage reads.
    pub norm: BatchNorm,
    /// Convolves the rectified result.
    pub conv: Conv,
}

/// H of the paper: bottleneck stage (1x1) and 3x3 stage, or the 3x3 stage alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseLayer {
    /// `features.denseblock{i}.denselayer{j}`.
    pub name: String,
    /// One or two stages, in order.
    pub stages: Vec<Stage>,
}

/// Layers that each read everything before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseBlock {
    /// Channels that enter the block.
    pub in_channels: usize,
    /// Channels that leave it: `in_channels + layers * growth_rate`.
    pub out_channels: usize,
    /// The layers in order.
    pub layers: Vec<DenseLayer>,
}

/// What turns the image into the first features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stem {
    /// 3x3 stride 1, or 7x7 stride 2.
    pub conv: Conv,
    /// With the large stem: a norm, followed by ReLU and a 3x3 stride 2 max pool, padded by 1.
    pub norm: Option<BatchNorm>,
}

/// The classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linear {
    /// Name of the layer; its tensors are `weight` `[out, in]` and `bias` `[out]`.
    pub name: String,
    /// Features read.
    pub in_features: usize,
    /// Classes written.
    pub out_features: usize,
}

/// A tensor the network needs: its name and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the reference implementation.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
}

/// All layers of a network. Between two blocks stands a transition (a [`Stage`] and a 2x2 average pool);
/// after the last block `norm_final`, ReLU, global average pool and the classifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Architecture {
    /// First convolution.
    pub stem: Stem,
    /// Dense blocks in order.
    pub blocks: Vec<DenseBlock>,
    /// One fewer than there are blocks.
    pub transitions: Vec<Stage>,
    /// Norm after the last block.
    pub norm_final: BatchNorm,
    /// Fully connected layer.
    pub classifier: Linear,
}

impl Architecture {
    /// The layers of `config`.
    ///
    /// # Errors
    /// As [`DenseNetConfig::validate`].
    pub fn of(config: &DenseNetConfig) -> Result<Self> {
        config.validate()?;
        let (kernel, stride) = if config.small_inputs { (3, 1) } else { (7, 2) };
        let stem = Stem {
            conv: conv("features.conv0", 3, config.num_init_features, kernel, stride),
            norm: (!config.small_inputs).then(|| norm("features.norm0", config.num_init_features)),
        };
        let mut channels = config.num_init_features;
        let mut blocks = Vec::new();
        let mut transitions = Vec::new();
        for (i, &layers) in config.block_config.iter().enumerate() {
            if i > 0 {
                let name = format!("features.transition{i}");
                let kept = config.compressed(channels);
                transitions.push(stage(&name, "", channels, kept, 1));
                channels = kept;
            }
            let block = dense_block(config, i + 1, channels, layers);
            channels = block.out_channels;
            blocks.push(block);
        }
        Ok(Self {
            stem,
            blocks,
            transitions,
            norm_final: norm("features.norm_final", channels),
            classifier: Linear { name: "classifier".into(), in_features: channels, out_features: config.num_classes },
        })
    }

    /// Every tensor of the network, in the order data flows through it.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        tensors.push(self.stem.conv.weight());
        tensors.extend(self.stem.norm.iter().flat_map(BatchNorm::tensors));
        for (i, block) in self.blocks.iter().enumerate() {
            let entry = i.checked_sub(1).map(|before| &self.transitions[before]);
            let stages = entry.into_iter().chain(block.layers.iter().flat_map(|layer| &layer.stages));
            for stage in stages {
                tensors.extend(stage.norm.tensors());
                tensors.push(stage.conv.weight());
            }
        }
        tensors.extend(self.norm_final.tensors());
        let Linear { name, in_features, out_features } = &self.classifier;
        tensors.push(TensorSpec { name: format!("{name}.weight"), shape: vec![*out_features, *in_features] });
        tensors.push(TensorSpec { name: format!("{name}.bias"), shape: vec![*out_features] });
        tensors
    }
}

impl Conv {
    /// Height (or width) of the output for an input of `side`; `None` where nothing is left.
    pub fn output_side(&self, side: usize) -> Option<usize> {
        Some((side + 2 * self.padding).checked_sub(self.kernel)? / self.stride + 1)
    }

    /// The convolution's only tensor.
    pub fn weight(&self) -> TensorSpec {
        let shape = vec![self.out_channels, self.in_channels, self.kernel, self.kernel];
        TensorSpec { name: format!("{}.weight", self.name), shape }
    }
}

impl BatchNorm {
    /// Scale, offset, mean and variance, in ONNX's order of inputs.
    pub fn tensors(&self) -> [TensorSpec; 4] {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|part| TensorSpec { name: format!("{}.{part}", self.name), shape: vec![self.channels] })
    }
}

fn dense_block(config: &DenseNetConfig, number: usize, in_channels: usize, layers: usize) -> DenseBlock {
    let k = config.growth_rate;
    let layers = (0..layers).map(|j| {
        let name = format!("features.denseblock{number}.denselayer{}", j + 1);
        let width = in_channels + j * k;
        let stages = if config.bottleneck {
            let bottleneck = config.bn_size * k;
            vec![stage(&name, "1", width, bottleneck, 1), stage(&name, "2", bottleneck, k, 3)]
        } else {
            vec![stage(&name, "1", width, k, 3)]
        };
        DenseLayer { name, stages }
    });
    let layers: Vec<DenseLayer> = layers.collect();
    DenseBlock { in_channels, out_channels: in_channels + layers.len() * k, layers }
}

fn stage(parent: &str, suffix: &str, in_channels: usize, out_channels: usize, kernel: usize) -> Stage {
    Stage {
        norm: norm(&format!("{parent}.norm{suffix}"), in_channels),
        conv: conv(&format!("{parent}.conv{suffix}"), in_channels, out_channels, kernel, 1),
    }
}

fn norm(name: &str, channels: usize) -> BatchNorm {
    BatchNorm { name: name.into(), channels }
}

fn conv(name: &str, in_channels: usize, out_channels: usize, kernel: usize, stride: usize) -> Conv {
    Conv { name: name.into(), in_channels, out_channels, kernel, stride, padding: kernel / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_and_names_follow_the_reference() {
        let config =
            DenseNetConfig { growth_rate: 10, block_config: vec![3, 4], num_init_features: 21, ..Default::default() };
        let net = Architecture::of(&config).unwrap();
        assert_eq!(net.blocks[0].out_channels, 51);
        assert_eq!(net.transitions[0].conv.out_channels, 25, "51 * 0.5 is rounded down");
        assert_eq!(net.norm_final.channels, 25 + 40);
        let names: Vec<String> = net.tensors().into_iter().map(|t| t.name).collect();
        assert_eq!(names[0], "features.conv0.weight");
        assert!(names.contains(&"features.denseblock2.denselayer4.conv2.weight".into()));
        assert!(names.contains(&"features.transition1.norm.running_var".into()));
        assert_eq!(names.last().unwrap(), "classifier.bias");
    }

    #[test]
    fn plain_layers_have_one_stage() {
        let config = DenseNetConfig { bottleneck: false, compression: 1.0, ..Default::default() };
        let net = Architecture::of(&config).unwrap();
        let layer = &net.blocks[0].layers[1];
        assert_eq!(layer.stages.len(), 1);
        assert_eq!(layer.stages[0].conv.weight().shape, [12, 36, 3, 3]);
        assert_eq!(net.transitions[0].conv.in_channels, net.transitions[0].conv.out_channels);
    }
}
