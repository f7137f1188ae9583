//! The networks of the paper by name.

use super::DenseNetConfig;
use crate::error::{Error, ErrorKind, Result};

/// A named network of the paper.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// The name it is asked for by.
    pub name: &'static str,
    /// Where the paper describes it.
    pub source: &'static str,
    growth_rate: usize,
    block_config: &'static [usize],
    num_init_features: usize,
    kind: Family,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Family {
    /// Bottleneck, compression 0.5, large stem, 1000 classes.
    ImageNet,
    /// Bottleneck, compression 0.5, small stem, 10 classes.
    CifarBc,
    /// Neither bottleneck nor compression, small stem, 10 classes.
    CifarPlain,
}

impl Preset {
    /// The preset as a configuration.
    pub fn config(&self) -> DenseNetConfig {
        DenseNetConfig {
            growth_rate: self.growth_rate,
            block_config: self.block_config.to_vec(),
            num_init_features: self.num_init_features,
            num_classes: if self.kind == Family::ImageNet { 1000 } else { 10 },
            small_inputs: self.kind != Family::ImageNet,
            compression: if self.kind == Family::CifarPlain { 1.0 } else { 0.5 },
            bottleneck: self.kind != Family::CifarPlain,
            ..DenseNetConfig::default()
        }
    }
}

const fn entry(
    name: &'static str,
    source: &'static str,
    growth_rate: usize,
    block_config: &'static [usize],
    num_init_features: usize,
    kind: Family,
) -> Preset {
    Preset { name, source, growth_rate, block_config, num_init_features, kind }
}

/// Every preset. On CIFAR the DenseNet-BC stem has 2k channels and the plain one 16 (section 4.2); L counts
/// layers: L = 4 + 2 * layers with bottleneck, 4 + layers without.
pub const PRESETS: &[Preset] = &[
    entry("densenet121", "table 1", 32, &[6, 12, 24, 16], 64, Family::ImageNet),
    entry("densenet169", "table 1", 32, &[6, 12, 32, 32], 64, Family::ImageNet),
    entry("densenet201", "table 1", 32, &[6, 12, 48, 32], 64, Family::ImageNet),
    entry("densenet264", "table 1", 32, &[6, 12, 64, 48], 64, Family::ImageNet),
    entry("densenet161", "figure 3 (k=48)", 48, &[6, 12, 36, 24], 96, Family::ImageNet),
    entry("densenet-bc-40-12", "DenseNet-BC, L=40, k=12", 12, &[6, 6, 6], 24, Family::CifarBc),
    entry("densenet-bc-100-12", "table 2", 12, &[16, 16, 16], 24, Family::CifarBc),
    entry("densenet-bc-250-24", "table 2", 24, &[41, 41, 41], 48, Family::CifarBc),
    entry("densenet-bc-190-40", "table 2", 40, &[31, 31, 31], 80, Family::CifarBc),
    entry("densenet-40-12", "table 2", 12, &[12, 12, 12], 16, Family::CifarPlain),
    entry("densenet-100-12", "table 2", 12, &[32, 32, 32], 16, Family::CifarPlain),
    entry("densenet-100-24", "table 2", 24, &[32, 32, 32], 16, Family::CifarPlain),
];

/// The preset called `name`.
///
/// # Errors
/// [`ErrorKind::Usage`] listing the names there are.
pub fn preset(name: &str) -> Result<&'static Preset> {
    PRESETS.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<&str> = PRESETS.iter().map(|p| p.name).collect();
        Error::new(ErrorKind::Usage, format!("no preset is called {name}: choose one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_valid_network_of_the_depth_its_name_says() {
        for p in PRESETS {
            let config = p.config();
            config.validate().unwrap();
            let layers: usize = config.block_config.iter().sum();
            // The paper's blocks of DenseNet-264 make 265 layers.
            let excess = usize::from(p.name == "densenet264");
            let depth = config.block_config.len() + 1 + layers * if config.bottleneck { 2 } else { 1 };
            let numbers: Vec<usize> =
                p.name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
            assert_eq!(numbers[0] + excess, depth, "{}", p.name);
            if let Some(&k) = numbers.get(1) {
                assert_eq!(k, config.growth_rate, "{}", p.name);
            }
        }
    }

    #[test]
    fn unknown_names_list_the_known() {
        assert!(preset("resnet50").unwrap_err().to_string().contains("densenet121, "));
    }
}
