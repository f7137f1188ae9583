//! What a network does not know: its detector, from the features of pictures that it does know.

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use serde::Serialize;

use super::cholesky::inverse_factor;
use super::features::{Extractor, Features};
use super::folds::{FOLDS, Folds};
use super::{Options, preprocessing};
use crate::error::{Error, ErrorKind, Result};
use crate::eval::Dataset;
use crate::model::UnknownDetector;
use crate::model::onnx::{Ending, OnnxFile, with_unknown};
use crate::prediction::softmax;

/// What is added to the variances of features, which have a deviation of 1.
const SHRINKAGE: f64 = 0.1;
/// Share of known pictures whose score is at most the threshold.
const ACCEPTED: f64 = 0.95;
/// How many deviations of the distance's logarithm one deviation of the best class's probability counts.
const DOUBT: f64 = 0.35;
/// The least deviation of a probability: where all pictures are sure, a little doubt is not to count more than any distance.
const LEAST_DEVIATION: f64 = 0.05;
/// Least deviation of a feature, as a part of the features' mean one: what hardly ever changed is not to be blown up when it does.
const LEAST_SPREAD: f64 = 0.1;
/// Features that are taken at the most: memory grows with their square.
const MOST_FEATURES: usize = 2048;

/// Pictures by which it is told what is unknown, at the least.
const LEAST_PICTURES: usize = 20;

/// How a detector was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct UnknownReport {
    /// A picture with a greater score is unknown.
    pub threshold: f32,
    /// Share of the pictures whose score is not greater, by detectors that did not see them.
    pub accepted: f64,
    /// How many pictures that is of.
    pub pictures: usize,
}

impl fmt::Display for UnknownReport {
    /// One line, with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threshold, accepted, pictures } = self;
        writeln!(
            f,
            "unknown beyond a score of {threshold:.3}: {:.0} % of {pictures} known pictures are accepted",
            100.0 * accepted
        )
    }
}

/// An ONNX file that tells what its network does not know, and how.
#[derive(Debug, Clone)]
pub struct Told {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its threshold, and what that accepts.
    pub report: UnknownReport,
}

/// Gives the network of `file` a score for what it does not know, by pictures of what it does.
/// Of `options` only threads count. `progress` is called after each picture with the number done so far.
///
/// # Errors
/// [`ErrorKind::Labels`] for fewer than 20 pictures; [`ErrorKind::Model`] for a network that does not end in a global pool and a classifier,
/// whose scores are not those of a softmax, or with more than 2,048 features; what pictures fail with.
pub fn tell_unknown(
    file: &OnnxFile,
    data: &Dataset,
    options: Options,
    progress: impl Fn(usize) + Sync,
) -> Result<Told> {
    if data.pictures() < LEAST_PICTURES {
        let message =
            format!("{} pictures are too few to tell what is unknown: give {LEAST_PICTURES}", data.pictures());
        return Err(Error::new(ErrorKind::Labels, message));
    }
    let extractor = Extractor::of_network(file, preprocessing(file))?;
    let features = extractor.all(data, Options { views: 0, ..options }, progress)?;
    let folds = Folds::new(&features.classes, &features.hashes, features.count);
    let best = |picture: usize| {
        let output = features.output(picture);
        let scores = if file.ending == Ending::Softmax { output } else { softmax(&output) };
        scores.into_iter().fold(0.0, f32::max)
    };
    let best: Vec<f32> = (0..data.pictures()).map(best).collect();
    let alike = || Error::new(ErrorKind::Labels, "all pictures of each class look alike: give others besides");
    let (told, report) = detector(&features, &folds, &best)?.ok_or_else(alike)?;
    Ok(Told { bytes: with_unknown(file, &extractor.map, &told)?, report })
}

/// What features are like within classes.
struct Within {
    /// `[features, directions]`.
    whitening: Array2<f64>,
    /// `[classes, directions]`, of classes that have pictures.
    means: Array2<f64>,
    /// Which classes have pictures.
    present: Vec<bool>,
}

impl Within {
    /// `rows` are features, `truths` their classes, below `classes`.
    fn new(rows: &Array2<f64>, truths: &[usize], classes: usize) -> Self {
        let deviations: Vec<f64> = rows.columns().into_iter().map(|column| column.var(0.0).max(0.0).sqrt()).collect();
        let least = LEAST_SPREAD * deviations.iter().sum::<f64>() / deviations.len().max(1) as f64;
        // Where no feature ever changes, any number will do.
        let least = if least > 0.0 { least } else { 1.0 };
        let deviations: Array1<f64> = deviations.into_iter().map(|deviation| deviation.max(least)).collect();
        let rows = rows / &deviations;
        let mut present = vec![false; classes];
        truths.iter().for_each(|&class| present[class] = true);
        let own = |class: usize| -> Vec<usize> { (0..truths.len()).filter(|&row| truths[row] == class).collect() };
        let mut centred = rows.clone();
        let mut means = Vec::new();
        for class in (0..classes).filter(|&class| present[class]) {
            let own = own(class);
            let mean = own.iter().fold(Array1::zeros(rows.ncols()), |sum, &row| sum + rows.row(row)) / own.len() as f64;
            own.into_iter().for_each(|row| centred.row_mut(row).zip_mut_with(&mean, |value, mean| *value -= mean));
            means.extend(mean);
        }
        let mut covariance = centred.t().dot(&centred) / truths.len().max(1) as f64;
        covariance.diag_mut().mapv_inplace(|value| value + SHRINKAGE);
        // Rows of the factor's inverse are directions; a row of features takes them as columns.
        let whitening = inverse_factor(covariance).reversed_axes();
        let count = means.len() / rows.ncols().max(1);
        let means =
            Array2::from_shape_fn((count, rows.ncols()), |(class, column)| means[class * rows.ncols() + column]);
        let means = means.dot(&whitening);
        Self { whitening: &whitening / &deviations.insert_axis(Axis(1)), means, present }
    }

    /// The squared distance of features to the nearest class.
    fn distance(&self, features: &ArrayView1<'_, f64>) -> f64 {
        let whitened = features.dot(&self.whitening);
        let squared = |mean: ArrayView1<'_, f64>| (&mean - &whitened).mapv(|off| off * off).sum();
        self.means.rows().into_iter().map(squared).fold(f64::INFINITY, f64::min)
    }
}

/// The detector of pictures with these features, and of how probable the best class of each is. `None` where nothing can be said of pictures
/// that were left out: where all of each class look alike.
///
/// # Errors
/// [`ErrorKind::Model`] for too many features, or features that give no finite detector.
pub(super) fn detector(
    features: &Features,
    folds: &Folds,
    best: &[f32],
) -> Result<Option<(UnknownDetector, UnknownReport)>> {
    let (means, truths) = features.means();
    if means.ncols() > MOST_FEATURES {
        let message = format!(
            "its last feature map has {} channels: what is unknown is told by up to {MOST_FEATURES}",
            means.ncols()
        );
        return Err(Error::new(ErrorKind::Model, message));
    }
    let means = means.mapv(f64::from);
    let left_out = left_out(&means.view(), &truths, features, folds);
    let known: Vec<(f64, f64)> =
        left_out.into_iter().map(|(picture, distance)| (distance.max(1e-20).ln(), f64::from(best[picture]))).collect();
    if known.len() < 2 {
        return Ok(None);
    }
    let (_, far) = moments(known.iter().map(|(distance, _)| *distance));
    let (_, unsure) = moments(known.iter().map(|(_, best)| *best));
    let doubt = DOUBT * far / unsure.max(LEAST_DEVIATION);
    let mut scores: Vec<f64> = known.iter().map(|(distance, best)| distance - doubt * best).collect();
    let (middle, spread) = moments(scores.iter().copied());
    let spread = spread.max(1e-3);
    scores.sort_by(f64::total_cmp);
    // So many of the known pictures that one more is among them with the probability asked for.
    let accepted = ((ACCEPTED * (scores.len() + 1) as f64).ceil() as usize).clamp(1, scores.len());
    let threshold = 1.0 / (1.0 + (-(scores[accepted - 1] - middle) / spread).exp());
    let within = Within::new(&means, &truths, features.count);
    let detector = UnknownDetector {
        bias: vec![0.0; within.whitening.ncols()],
        whitening: within.whitening.iter().map(|&value| value as f32).collect(),
        means: within.means.iter().map(|&value| value as f32).collect(),
        on_distance: (1.0 / spread) as f32,
        on_probability: (-doubt / spread) as f32,
        offset: (-middle / spread) as f32,
        threshold: threshold as f32,
    };
    let failed = |what| Error::new(ErrorKind::Model, format!("what is unknown cannot be told by its features: {what}"));
    detector.check().map_err(failed)?;
    let share = accepted as f64 / scores.len() as f64;
    let report = UnknownReport { threshold: detector.threshold, accepted: share, pictures: scores.len() };
    Ok(Some((detector, report)))
}

/// Pictures with their distances by what the others of their class are like.
fn left_out(means: &ArrayView2<'_, f64>, truths: &[usize], features: &Features, folds: &Folds) -> Vec<(usize, f64)> {
    let pictures = features.classes.len();
    let mut all = Vec::new();
    for fold in 0..FOLDS {
        let (left_out, kept): (Vec<usize>, Vec<usize>) = (0..pictures).partition(|&picture| folds.of(picture) == fold);
        if left_out.is_empty() || kept.is_empty() {
            continue;
        }
        let rows = features.rows_of(&kept);
        let kept: Vec<usize> = rows.iter().map(|&row| truths[row]).collect();
        let within = Within::new(&means.select(Axis(0), &rows), &kept, features.count);
        let known = left_out.into_iter().filter(|&picture| within.present[features.classes[picture]]);
        for picture in known {
            let row = features.own_rows(&[picture])[0];
            all.push((picture, within.distance(&means.row(row))));
        }
    }
    all
}

/// Mean and deviation.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / count;
    (mean, (values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_mahalanobis() {
        // Two classes of four rows each; the second feature wavers ten times as much, and with the first.
        let around =
            |x: f64, y: f64| [[1.0, 20.0], [-1.0, -20.0], [1.0, 0.0], [-1.0, 0.0]].map(|[a, b]| [x + a, y + b]);
        let rows: Vec<f64> = [around(0.0, 0.0), around(8.0, 0.0)].concat().concat();
        let rows = Array2::from_shape_vec((8, 2), rows).unwrap();
        let within = Within::new(&rows, &[0, 0, 0, 0, 2, 2, 2, 2], 3);
        assert_eq!(within.present, [true, false, true]);
        let deviations = [17.0_f64.sqrt(), 200.0_f64.sqrt()];
        let covariance = [[1.0 / 17.0 + SHRINKAGE, 10.0 / (deviations[0] * deviations[1])], [0.0, 1.0 + SHRINKAGE]];
        let [[a, b], [_, d]] = covariance;
        let expected = |x: f64, y: f64| {
            let (x, y) = (x / deviations[0], y / deviations[1]);
            (d * x * x - 2.0 * b * x * y + a * y * y) / (a * d - b * b)
        };
        for (x, y) in [(0.0, 0.0), (1.0, 20.0), (1.0, -20.0), (-3.0, 5.0)] {
            for base in [0.0, 8.0] {
                let found = within.distance(&Array1::from(vec![base + x, y]).view());
                let nearest = expected(x, y).min(expected(x + base - 8.0, y)).min(expected(x + base, y));
                assert!((found - nearest).abs() < 1e-9, "{found} for {nearest}");
            }
        }
    }

    #[test]
    fn what_never_changes_is_not_blown_up() {
        let rows = Array2::from_shape_fn((6, 2), |(row, column)| if column == 0 { row as f64 } else { 7.0 });
        let within = Within::new(&rows, &[0; 6], 1);
        let distance = within.distance(&Array1::from(vec![2.5, 7.1]).view());
        assert!(distance > 0.0 && distance < 20.0, "{distance}");
        let same = Within::new(&Array2::zeros((4, 3)), &[0; 4], 1);
        assert!(same.distance(&Array1::zeros(3).view()) == 0.0);
    }
}
