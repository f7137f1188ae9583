//! The knobs of a DenseNet and which values of them describe a network.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// A DenseNet or DenseNet-BC (paper, section 3). The defaults are the reference implementation's:
/// DenseNet-BC with L=100, k=12 for 32x32 pictures of 10 classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenseNetConfig {
    /// Growth rate k: channels each layer adds to its dense block.
    pub growth_rate: usize,
    /// Layers in each dense block; a transition stands between two blocks.
    pub block_config: Vec<usize>,
    /// Share of channels a transition keeps, 0 < compression <= 1.
    pub compression: f64,
    /// Channels of the stem's convolution.
    pub num_init_features: usize,
    /// Width of the bottleneck in multiples of the growth rate.
    pub bn_size: usize,
    /// Dropout rate the network was trained with, 0 <= rate < 1. Identity at inference.
    pub drop_rate: f64,
    /// Outputs of the classifier.
    pub num_classes: usize,
    /// Stem: 3x3 stride 1 (CIFAR) if true, else 7x7 stride 2, norm, ReLU and 3x3 stride 2 max pool (ImageNet).
    pub small_inputs: bool,
    /// Whether it was trained in the memory-efficient form (Pleiss et al., 2017). Kept for whoever reads the definition: inference
    /// always has one growing buffer for each dense block.
    pub efficient: bool,
    /// Whether layers are norm-ReLU-1x1-norm-ReLU-3x3 (DenseNet-B) or plain norm-ReLU-3x3.
    pub bottleneck: bool,
    /// Height and width of the input image; 32 with the small stem and 224 with the large one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_size: Option<usize>,
}

impl Default for DenseNetConfig {
    fn default() -> Self {
        Self {
            growth_rate: 12,
            block_config: vec![16, 16, 16],
            compression: 0.5,
            num_init_features: 24,
            bn_size: 4,
            drop_rate: 0.0,
            num_classes: 10,
            small_inputs: true,
            efficient: true,
            bottleneck: true,
            input_size: None,
        }
    }
}

impl DenseNetConfig {
    /// Reads a configuration from JSON; absent keys take the defaults, unknown ones are errors.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the text is not such an object or [`validate`](Self::validate) refuses it.
    pub fn from_json(text: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(text)
            .map_err(|e| Error::new(ErrorKind::Config, format!("not a network configuration: {e}")).caused_by(e))?;
        config.validate()?;
        Ok(config)
    }

    /// Height and width of the input image in pixels.
    pub fn side(&self) -> usize {
        self.input_size.unwrap_or(if self.small_inputs { 32 } else { 224 })
    }

    /// Channels a transition leaves of `channels`: rounded down, as the reference implementation does.
    pub fn compressed(&self, channels: usize) -> usize {
        (channels as f64 * self.compression) as usize
    }

    /// Checks that the knobs describe a network.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming the knob, its value and what it may be.
    pub fn validate(&self) -> Result<()> {
        let refuse = |what: String| Err(Error::new(ErrorKind::Config, what));
        let within = |name: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                Ok(())
            } else {
                refuse(format!("{name} is {value}: it must be between 1 and {most}"))
            }
        };
        within("growth_rate", self.growth_rate, 4096)?;
        within("num_init_features", self.num_init_features, 65_536)?;
        within("bn_size", self.bn_size, 64)?;
        within("num_classes", self.num_classes, 1_000_000)?;
        within("input_size", self.side(), 8192)?;
        within("the number of blocks in block_config", self.block_config.len(), 16)?;
        for (i, &layers) in self.block_config.iter().enumerate() {
            within(&format!("block_config[{i}]"), layers, 1024)?;
        }
        if !(self.compression > 0.0 && self.compression <= 1.0) {
            return refuse(format!(
                "compression is {}: it must be above 0 and at most 1 (1 keeps all channels)",
                self.compression
            ));
        }
        if !(0.0..1.0).contains(&self.drop_rate) {
            return refuse(format!("drop_rate is {}: it must be at least 0 and below 1", self.drop_rate));
        }
        let mut channels = self.num_init_features;
        for (i, layers) in self.block_config.iter().enumerate() {
            channels += layers * self.growth_rate;
            if i + 1 < self.block_config.len() {
                channels = self.compressed(channels);
                within(&format!("the width after transition {}", i + 1), channels, 1 << 20)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_takes_defaults_and_refuses_unknown_keys() {
        let config = DenseNetConfig::from_json(r#"{"growth_rate": 10, "block_config": [3, 4]}"#).unwrap();
        assert_eq!((config.growth_rate, config.num_init_features, config.side()), (10, 24, 32));
        let error = DenseNetConfig::from_json(r#"{"growthrate": 10}"#).unwrap_err();
        assert!(error.to_string().contains("growthrate"), "{error}");
    }

    #[test]
    fn values_that_describe_no_network_are_named() {
        let bad = |change: fn(&mut DenseNetConfig)| {
            let mut config = DenseNetConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(bad(|c| c.compression = 0.0).starts_with("compression is 0"));
        assert!(bad(|c| c.compression = 1.01).starts_with("compression is 1.01"));
        assert!(bad(|c| c.compression = f64::NAN).starts_with("compression is NaN"));
        assert!(bad(|c| c.growth_rate = 0).starts_with("growth_rate is 0"));
        assert!(bad(|c| c.block_config = vec![]).contains("block_config"));
        assert!(bad(|c| c.block_config = vec![4, 0, 4]).starts_with("block_config[1] is 0"));
        assert!(bad(|c| c.drop_rate = 1.0).starts_with("drop_rate is 1"));
        assert!(bad(|c| c.compression = 1e-4).starts_with("the width after transition 1 is 0"));
    }
}
