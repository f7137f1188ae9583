//! What a network costs: parameters, multiply-adds, and memory for activations.

use serde::Serialize;

use super::{Architecture, BatchNorm, Conv, DenseNetConfig};
use crate::error::{Error, ErrorKind, Result};

/// The costs of one image through a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Trained numbers: convolution weights, scale and offset of each norm, the classifier.
    pub parameters: u64,
    /// "FLOPs" as the Python package `thop` counts them: multiply-adds of convolutions and classifier, 4 for each
    /// element a norm writes, 1 for each element a transition's average pool writes. Activations, max pooling and
    /// the global average pool count nothing.
    pub flops_thop: u64,
    /// Multiply-adds of convolutions and classifier.
    pub macs: u64,
    /// Memory for f32 activations.
    pub activation_bytes: ActivationBytes,
}

/// The most bytes of f32 activations that live at one time, computed from the layers: an operator's inputs and
/// output live while it runs, norms and ReLU work in place on what nobody else reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ActivationBytes {
    /// Each layer first copies everything before it into one tensor: concatenation as an operator.
    pub separate: u64,
    /// Each dense block has one buffer of its final width to which layers append, and norms are applied on reading:
    /// the paper's memory-efficient form.
    pub shared: u64,
}

/// Counts the network of `config` for one image of its input size.
///
/// # Errors
/// As [`DenseNetConfig::validate`], and [`ErrorKind::Config`] if the input is so small that nothing is left of it on
/// the way.
pub fn count(config: &DenseNetConfig) -> Result<Count> {
    let net = Architecture::of(config)?;
    let mut tally = Tally { side: config.side(), ..Tally::default() };

    let pixels = tally.area() * 3;
    tally.conv(&net.stem.conv)?;
    let features = net.stem.conv.out_channels as u64;
    tally.live(pixels + features * tally.area(), pixels + features * tally.area());
    if let Some(norm) = &net.stem.norm {
        tally.norm(norm);
        let before = tally.area();
        // 3x3, stride 2, padding 1.
        tally.shrink(|side| Some((side + 2).checked_sub(3)? / 2 + 1))?;
        let both = features * (before + tally.area());
        tally.live(both, both);
    }
    for (i, block) in net.blocks.iter().enumerate() {
        let area = tally.area();
        let growth = config.growth_rate as u64;
        let mut width = block.in_channels as u64;
        for layer in &block.layers {
            for stage in &layer.stages {
                tally.norm(&stage.norm);
                tally.conv(&stage.conv)?;
            }
            let bottleneck = if layer.stages.len() == 2 { layer.stages[0].conv.out_channels as u64 } else { 0 };
            // The concatenated copy is kept until the first convolution has read it.
            let first = if bottleneck > 0 { bottleneck } else { growth };
            let separate = (2 * width + first).max(width + bottleneck + growth);
            tally.live(separate * area, (block.out_channels as u64 + bottleneck) * area);
            width += growth;
        }
        // What follows the block reads a concatenation too.
        tally.live(2 * width * area, width * area);
        if let Some(transition) = net.transitions.get(i) {
            tally.norm(&transition.norm);
            tally.conv(&transition.conv)?;
            let kept = transition.conv.out_channels as u64;
            tally.live((width + kept) * area, (width + kept) * area);
            tally.shrink(|side| Some(side / 2))?;
            tally.flops_extra += kept * tally.area();
        }
    }
    tally.norm(&net.norm_final);
    let linear = (net.classifier.in_features * net.classifier.out_features) as u64;
    tally.parameters += linear + net.classifier.out_features as u64;
    tally.macs += linear;

    Ok(Count {
        parameters: tally.parameters,
        flops_thop: tally.macs + tally.flops_extra,
        macs: tally.macs,
        activation_bytes: ActivationBytes { separate: 4 * tally.separate, shared: 4 * tally.shared },
    })
}

#[derive(Default)]
struct Tally {
    /// Height and width of the features at this point.
    side: usize,
    parameters: u64,
    macs: u64,
    /// What thop counts on top of multiply-adds.
    flops_extra: u64,
    separate: u64,
    shared: u64,
}

impl Tally {
    fn area(&self) -> u64 {
        (self.side * self.side) as u64
    }

    fn conv(&mut self, conv: &Conv) -> Result<()> {
        self.shrink(|side| conv.output_side(side))?;
        let weights: u64 = conv.weight().shape.iter().map(|&n| n as u64).product();
        self.parameters += weights;
        self.macs += weights * self.area();
        Ok(())
    }

    fn norm(&mut self, norm: &BatchNorm) {
        self.parameters += 2 * norm.channels as u64;
        self.flops_extra += 4 * norm.channels as u64 * self.area();
    }

    fn live(&mut self, separate: u64, shared: u64) {
        self.separate = self.separate.max(separate);
        self.shared = self.shared.max(shared);
    }

    fn shrink(&mut self, output: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let before = self.side;
        match output(before) {
            Some(side) if side > 0 => self.side = side,
            _ => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("input_size is too small: features of {before}x{before} cannot be pooled any further"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::preset;
    use super::*;

    fn costs(config: &DenseNetConfig) -> (u64, u64, u64) {
        let c = count(config).unwrap();
        (c.parameters, c.flops_thop, c.macs)
    }

    #[test]
    fn the_reference_printout_is_matched() {
        let small = DenseNetConfig::default();
        assert_eq!(costs(&small), (769_162, 305_073_372, 287_929_692));
        let example = DenseNetConfig { num_classes: 1000, input_size: Some(224), ..small };
        assert_eq!(costs(&example), (1_108_732, 14_948_769_648, 14_108_729_328));
        assert_eq!(costs(&preset("densenet121").unwrap().config()), (7_978_856, 2_897_007_104, 2_834_161_664));
        assert_eq!(costs(&preset("densenet-bc-250-24").unwrap().config()), (15_324_406, 5_589_729_084, 5_418_785_724));
        assert_eq!(costs(&preset("densenet-bc-190-40").unwrap().config()), (25_624_430, 9_475_395_340, 9_301_945_740));
    }

    #[test]
    fn activations_of_a_tiny_network_by_hand() {
        let config = DenseNetConfig {
            growth_rate: 2,
            block_config: vec![2],
            num_init_features: 3,
            bottleneck: false,
            input_size: Some(4),
            ..DenseNetConfig::default()
        };
        // Widths 3, 5, 7 on 4x4; concatenations at 5 and 7: 7 features and their copy are the most.
        let bytes = count(&config).unwrap().activation_bytes;
        assert_eq!(bytes, ActivationBytes { separate: 14 * 16 * 4, shared: 7 * 16 * 4 });
    }

    #[test]
    fn shared_buffers_never_need_more() {
        for p in super::super::PRESETS {
            let bytes = count(&p.config()).unwrap().activation_bytes;
            assert!(bytes.shared <= bytes.separate, "{}", p.name);
        }
    }

    #[test]
    fn an_input_that_vanishes_is_refused() {
        let config = DenseNetConfig { block_config: vec![1; 4], input_size: Some(4), ..DenseNetConfig::default() };
        let error = count(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("1x1 cannot be pooled"), "{error}");
    }
}
