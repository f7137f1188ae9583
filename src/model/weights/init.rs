//! Fresh weights, drawn as the reference implementation draws them.

use rand_distr::{Distribution, Normal, Uniform};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use super::super::Architecture;
use super::{Tensor, Weights};

impl Weights {
    /// Fresh weights for `net` from a seed: convolutions normal with variance 2 / (out_channels * kh * kw), norms
    /// scale 1 and offset 0 with mean 0 and variance 1, the classifier uniform within 1 / sqrt(in_features) with bias
    /// 0. The same seed gives the same weights everywhere.
    pub fn init(net: &Architecture, seed: u64) -> Self {
        let mut rng = Pcg64::seed_from_u64(seed);
        let draw = |name: &str, shape: &[usize]| -> Vec<f32> {
            let len = shape.iter().product();
            match (shape, name.rsplit('.').next().unwrap_or(name)) {
                (&[out, _, kh, kw], _) => {
                    let deviation = (2.0 / (out * kh * kw) as f32).sqrt();
                    let normal = Normal::new(0.0, deviation).expect("a deviation is finite");
                    (0..len).map(|_| normal.sample(&mut rng)).collect()
                }
                (&[_, inputs], _) => {
                    let bound = 1.0 / (inputs as f32).sqrt();
                    let uniform = Uniform::new_inclusive(-bound, bound).expect("bounds are finite and in order");
                    (0..len).map(|_| uniform.sample(&mut rng)).collect()
                }
                (_, "bias" | "running_mean") => vec![0.0; len],
                _ => vec![1.0; len],
            }
        };
        let mut draw = draw;
        let tensors = net.tensors().into_iter().map(|spec| {
            let data = draw(&spec.name, &spec.shape);
            (spec.name, Tensor { shape: spec.shape, data })
        });
        Self { tensors: tensors.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::DenseNetConfig;
    use super::*;

    #[test]
    fn the_distribution_is_the_reference_one_and_the_seed_decides() {
        let net = Architecture::of(&DenseNetConfig::default()).unwrap();
        let weights = Weights::init(&net, 7);
        assert_eq!(weights, Weights::init(&net, 7));
        assert_ne!(weights, Weights::init(&net, 8));

        // 300 x 48 x 1 x 1 and its like: the sample variance of n normals is within 5 * sqrt(2 / n) of 1.
        let conv = weights.tensor("features.denseblock1.denselayer16.conv1.weight");
        let n = conv.data.len() as f32;
        let variance = conv.data.iter().map(|v| v * v).sum::<f32>() / n;
        assert!((variance / (2.0 / 48.0) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{variance}");
        let norm = "features.norm_final";
        assert!(weights.tensor(&format!("{norm}.weight")).data.iter().all(|&v| v == 1.0));
        assert!(weights.tensor(&format!("{norm}.running_var")).data.iter().all(|&v| v == 1.0));
        assert!(weights.tensor(&format!("{norm}.bias")).data.iter().all(|&v| v == 0.0));
        assert!(weights.tensor("classifier.bias").data.iter().all(|&v| v == 0.0));
        let bound = 1.0 / (net.classifier.in_features as f32).sqrt();
        assert!(weights.tensor("classifier.weight").data.iter().all(|v| v.abs() <= bound));
    }
}
