//! Telling what a network does not know: a score for pictures that are like none of those that it was taught with.
//!
//! The distance of a picture's features (the means of the last feature map's channels) to the nearest class, measured by the covariance
//! within classes (Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018), and how little the
//! best class is trusted (Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", ICLR 2017).

use serde::{Deserialize, Serialize};

/// How a network's features and its best class's probability become a score for "none of these", 0 to 1.
///
/// With the whitened features `y = x W + b`, the distance `d = min_c |y - m_c|²` to the classes' means and the best probability `p`, it is
/// `sigmoid(on_distance * ln(d) + on_probability * p + offset)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnknownDetector {
    /// `W`: `[features, directions]`, so that features within a class have a deviation of 1 in each direction.
    pub whitening: Vec<f32>,
    /// `b`, of each direction.
    pub bias: Vec<f32>,
    /// `m_c`: `[classes, directions]`.
    pub means: Vec<f32>,
    /// What `ln(d)` counts.
    pub on_distance: f32,
    /// What the best class's probability counts.
    pub on_probability: f32,
    /// What is added.
    pub offset: f32,
    /// A picture with a greater score is unknown.
    pub threshold: f32,
}

/// The least distance, so that its logarithm is finite.
const LEAST_DISTANCE: f32 = 1e-20;

impl UnknownDetector {
    /// Number of features.
    pub fn features(&self) -> usize {
        self.whitening.len() / self.bias.len().max(1)
    }

    /// Whether sizes fit each other, and all numbers are finite.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let Self { whitening, bias, means, on_distance, on_probability, offset, threshold } = self;
        let directions = bias.len();
        let fits = |values: &[f32]| !values.is_empty() && directions > 0 && values.len().is_multiple_of(directions);
        if !fits(whitening) || !fits(means) {
            return Err("its matrices do not fit each other");
        }
        let others = [*on_distance, *on_probability, *offset, *threshold];
        if !whitening.iter().chain(bias).chain(means).chain(&others).all(|value| value.is_finite()) {
            return Err("it has numbers that are not finite");
        }
        if *on_distance <= 0.0 {
            return Err("a greater distance does not make its score greater");
        }
        if (0.0..=1.0).contains(threshold) { Ok(()) } else { Err("its threshold is not from 0 to 1") }
    }

    /// The squared distance of features to the nearest class.
    ///
    /// # Panics
    /// If there are not as many features as the detector has.
    pub fn distance(&self, features: &[f32]) -> f32 {
        assert_eq!(features.len(), self.features(), "features");
        let mut whitened = self.bias.clone();
        for (feature, row) in features.iter().zip(self.whitening.chunks_exact(whitened.len())) {
            whitened.iter_mut().zip(row).for_each(|(sum, weight)| *sum += feature * weight);
        }
        let squared = |mean: &[f32]| mean.iter().zip(&whitened).map(|(mean, y)| (y - mean) * (y - mean)).sum::<f32>();
        self.means.chunks_exact(whitened.len()).map(squared).fold(f32::INFINITY, f32::min)
    }

    /// The score of features, with the probability of the best class.
    ///
    /// # Panics
    /// If there are not as many features as the detector has.
    pub fn score(&self, features: &[f32], probability: f32) -> f32 {
        let distance = self.distance(features).max(LEAST_DISTANCE).ln();
        let sum = self.on_distance * distance + self.on_probability * probability + self.offset;
        1.0 / (1.0 + (-sum).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two features, one of twice the deviation, and two classes.
    fn detector() -> UnknownDetector {
        UnknownDetector {
            whitening: vec![1.0, 0.0, 0.0, 0.5],
            bias: vec![0.0, 1.0],
            means: vec![0.0, 1.0, 3.0, 2.0],
            on_distance: 1.0,
            on_probability: -2.0,
            offset: 0.5,
            threshold: 0.75,
        }
    }

    #[test]
    fn the_nearest_class_counts() {
        assert_eq!(detector().distance(&[1.0, 0.0]), 1.0);
        assert_eq!(detector().distance(&[3.0, 4.0]), 1.0);
        let score = detector().score(&[1.0, 0.0], 0.75);
        assert!((score - 1.0 / (1.0 + 1.0_f32.exp())).abs() < 1e-6, "{score}");
        assert_eq!(detector().score(&[0.0, 0.0], 1.0), 1.0 / (1.0 + (1.5 - LEAST_DISTANCE.ln()).exp()));
        assert!(detector().score(&[1e9, 1e9], 1.0) > 0.999);
        let whole: f32 = detector().score(&[f32::MAX, 0.0], 1.0);
        assert_eq!(whole, 1.0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(detector().check(), Ok(()));
        let broken = |change: fn(&mut UnknownDetector)| {
            let mut detector = detector();
            change(&mut detector);
            detector.check().unwrap_err()
        };
        assert!(broken(|d| d.means.truncate(3)).contains("fit"));
        assert!(broken(|d| d.bias.clear()).contains("fit"));
        assert!(broken(|d| d.whitening.clear()).contains("fit"));
        assert!(broken(|d| d.bias[0] = f32::NAN).contains("finite"));
        assert!(broken(|d| d.on_distance = 0.0).contains("greater distance"));
        assert!(broken(|d| d.threshold = 1.5).contains("from 0 to 1"));
    }
}
