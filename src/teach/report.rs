//! How well a taught network does on pictures that its head did not see.

use serde::Serialize;

use super::Options;
use super::features::Features;
use super::folds::Folds;
use super::unknown::UnknownReport;
use crate::eval::{Dataset, PictureName};

/// Suspects that are listed at the most.
const MOST_SUSPECTS: usize = 20;
/// A picture is a suspect if another class is so many times as probable as its own.
const SUSPECT: f32 = 4.0;
/// Pictures of a class below which more are asked for.
const FEW: usize = 10;

/// One shrinkage, tried by cross-validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// What is added to the variances.
    pub shrinkage: f64,
    /// What scores are divided by, so that probabilities are as sure as they may be.
    pub temperature: f64,
    /// Mean of minus the logarithm of the right class's probability.
    pub loss: f64,
    /// For each picture the classes' probabilities, by a head that did not see it.
    pub probabilities: Vec<Vec<f32>>,
}

impl Trial {
    /// Scores of pictures that were left out, and the temperature with which they surprise least.
    pub(super) fn of(scores: Vec<Vec<f64>>, truths: &[usize], shrinkage: f64) -> Self {
        let softmax = |row: &Vec<f64>, temperature: f64| -> Vec<f64> {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = row.iter().map(|score| ((score - largest) / temperature).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(|power| power / sum).collect()
        };
        let loss = |temperature: f64| {
            let surprise = |(row, &truth): (&Vec<f64>, &usize)| -softmax(row, temperature)[truth].max(1e-12).ln();
            scores.iter().zip(truths).map(surprise).sum::<f64>() / truths.len() as f64
        };
        // Quarters of an octave, from a sixteenth to 4096.
        let temperatures = (-16..=48).map(|quarter| 2_f64.powf(f64::from(quarter) / 4.0));
        let (loss, temperature) =
            temperatures.map(|t| (loss(t), t)).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, 1.0));
        let probabilities =
            scores.iter().map(|row| softmax(row, temperature).into_iter().map(|p| p as f32).collect()).collect();
        Self { shrinkage, temperature, loss, probabilities }
    }
}

/// What is known of a taught network; all shares are of pictures that were left out while a head was taught, by cross-validation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What the pictures were opened from.
    pub data: String,
    /// Number of pictures.
    pub pictures: usize,
    /// Number of groups of pictures that look alike: those of one group are left out together.
    pub groups: usize,
    /// Share of pictures whose class is found.
    pub accuracy: f64,
    /// The accuracy is between these with a probability of 95 % (Wilson's interval over the groups).
    pub interval: [f64; 2],
    /// The classes.
    pub classes: Vec<ClassReport>,
    /// Row: the class of the folder; column: the class that was found.
    pub confusion: Vec<Vec<u64>>,
    /// Pictures that look as if they were in another class's folder, most suspicious first.
    pub suspects: Vec<Suspect>,
    /// Classes that more pictures would help most, worst first.
    pub wanted: Vec<String>,
    /// What was added to the variances of features within classes.
    pub shrinkage: f64,
    /// Number of features that the head reads.
    pub features: usize,
    /// Changed views of each picture that the head was taught on besides itself.
    pub views: usize,
    /// How it tells what it does not know; none where all pictures of each class look alike.
    pub unknown: Option<UnknownReport>,
    /// Seconds for the features.
    pub feature_seconds: f64,
    /// Seconds for cross-validation and head.
    pub head_seconds: f64,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Its label.
    pub label: String,
    /// Its pictures.
    pub pictures: usize,
    /// Groups of them that look alike.
    pub groups: usize,
    /// Share of its pictures that are found.
    pub recall: f64,
    /// Share of right ones among the pictures taken for it; none if there is no such picture.
    pub precision: Option<f64>,
}

/// A picture that may be in the wrong folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suspect {
    /// The picture.
    pub picture: PictureName,
    /// The class that it is given as.
    pub given: String,
    /// The class that it looks like.
    pub looks_like: String,
    /// How probable that one is.
    pub probability: f32,
}

impl Report {
    pub(super) fn new(
        data: &Dataset,
        features: &Features,
        folds: &Folds,
        trial: &Trial,
        options: Options,
        [feature_seconds, head_seconds]: [f64; 2],
    ) -> Self {
        let count = features.count;
        let best = |row: &Vec<f32>| (0..count).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        let found: Vec<usize> = trial.probabilities.iter().map(best).collect();
        let mut confusion = vec![vec![0; count]; count];
        features.classes.iter().zip(&found).for_each(|(&given, &found)| confusion[given][found] += 1);
        let pictures = features.classes.len();
        let accuracy = (0..count).map(|class| confusion[class][class]).sum::<u64>() as f64 / pictures as f64;
        let classes = classes(data, folds, features, &confusion);
        Self {
            data: data.name().to_owned(),
            pictures,
            groups: folds.groups(),
            accuracy,
            interval: wilson(accuracy, folds.groups()),
            wanted: wanted(&classes, accuracy),
            classes,
            confusion,
            suspects: suspects(data, features, trial, &found),
            shrinkage: trial.shrinkage,
            features: features.columns(),
            views: options.views,
            unknown: None,
            feature_seconds,
            head_seconds,
        }
    }
}

impl Report {
    /// With how it tells what it does not know.
    pub(super) fn with_unknown(self, unknown: Option<UnknownReport>) -> Self {
        Self { unknown, ..self }
    }
}

fn classes(data: &Dataset, folds: &Folds, features: &Features, confusion: &[Vec<u64>]) -> Vec<ClassReport> {
    let class = |(class, label): (usize, &std::sync::Arc<str>)| {
        let pictures: u64 = confusion[class].iter().sum();
        let taken: u64 = confusion.iter().map(|row| row[class]).sum();
        let right = confusion[class][class] as f64;
        ClassReport {
            label: label.to_string(),
            pictures: pictures as usize,
            groups: folds.groups_of(class, &features.classes),
            recall: right / pictures.max(1) as f64,
            precision: (taken > 0).then(|| right / taken as f64),
        }
    };
    data.classes().iter().enumerate().map(class).collect()
}

/// Wilson's interval of 95 % for a share that was found `share` in `count` trials.
fn wilson(share: f64, count: usize) -> [f64; 2] {
    const Z: f64 = 1.96;
    let n = count.max(1) as f64;
    let middle = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [middle - reach, middle + reach].map(|end| (end / (1.0 + Z * Z / n)).clamp(0.0, 1.0))
}

/// The pictures that are much more another class than their own.
fn suspects(data: &Dataset, features: &Features, trial: &Trial, found: &[usize]) -> Vec<Suspect> {
    let given = |picture: usize| features.classes[picture];
    let own = |picture: usize| trial.probabilities[picture][given(picture)];
    let other = |picture: usize| trial.probabilities[picture][found[picture]];
    let mut suspects: Vec<usize> =
        (0..found.len()).filter(|&picture| other(picture) > SUSPECT * own(picture)).collect();
    suspects.sort_by(|&a, &b| (own(a) / other(a)).total_cmp(&(own(b) / other(b))));
    suspects.truncate(MOST_SUSPECTS);
    let label = |class: usize| data.classes()[class].to_string();
    let suspect = |picture: usize| Suspect {
        picture: data.picture_name(picture),
        given: label(given(picture)),
        looks_like: label(found[picture]),
        probability: other(picture),
    };
    suspects.into_iter().map(suspect).collect()
}

/// Classes that are found less often than others, or have few pictures that differ; none if all is well.
fn wanted(classes: &[ClassReport], accuracy: f64) -> Vec<String> {
    let mut worst: Vec<&ClassReport> =
        classes.iter().filter(|class| class.groups < FEW || class.recall < accuracy - 0.1).collect();
    worst.sort_by(|a, b| a.recall.total_cmp(&b.recall).then(a.groups.cmp(&b.groups)));
    worst.into_iter().map(|class| class.label.clone()).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_makes_scores_as_sure_as_they_may_be() {
        // Three of four pictures are right, all by a score of 100.
        let scores = vec![vec![100.0, 0.0], vec![0.0, 100.0], vec![100.0, 0.0], vec![100.0, 0.0]];
        let trial = Trial::of(scores, &[0, 1, 0, 1], 1.0);
        assert!((trial.probabilities[0][0] - 0.75).abs() < 0.05, "{trial:?}");
        assert!((trial.loss - 0.5623).abs() < 0.01, "{trial:?}");
    }

    #[test]
    fn an_interval_holds_its_share_and_narrows() {
        let [low, high] = wilson(0.9, 20);
        assert!((low - 0.699).abs() < 2e-3 && (high - 0.972).abs() < 2e-3, "{low} to {high}");
        assert_eq!(wilson(1.0, 10)[1], 1.0);
        let width = |n| wilson(0.8, n)[1] - wilson(0.8, n)[0];
        assert!(width(10) > width(100) && width(100) > width(1000));
        assert!(wilson(0.0, 0)[0] >= 0.0);
    }

    #[test]
    fn the_class_that_is_found_least_is_asked_for_first() {
        let class = |label: &str, groups, recall| ClassReport {
            label: label.into(),
            pictures: groups,
            groups,
            recall,
            precision: None,
        };
        let classes = [class("door", 40, 0.95), class("gate", 30, 0.6), class("cat", 4, 0.9)];
        assert_eq!(wanted(&classes, 0.85), ["gate", "cat"]);
        assert!(wanted(&classes[..1], 0.95).is_empty());
    }
}
