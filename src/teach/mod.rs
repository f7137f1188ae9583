//! Classes of one's own: a linear head, taught on the features of a network that stays as it is.
//!
//! A DenseNet's last map is a concatenation of all layers of its last block, and its transitions' results are what the blocks before came
//! to. Pooled to small grids they are features on which multinomial logistic regression separates new classes after a few pictures of each.
//! The features are those of the network as it will run: of an int8 file, int8's.

mod features;
mod folds;
mod lbfgs;
mod logistic;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod views;

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::eval::Dataset;
use crate::model::onnx::{OnnxFile, with_head};
use crate::model::{Metadata, Preprocessing, Scores};
use features::{Extractor, Features};
use folds::{FOLDS, Folds};
use logistic::{Problem, Solution};
pub use report::{ClassReport, Report, Suspect, Trial};

/// Strengths of the L2 penalty that cross-validation chooses from, strongest first: each fit begins where the one before ended.
pub const STRENGTHS: [f32; 6] = [1.0, 0.3, 0.1, 0.03, 0.01, 0.003];

/// How a head is taught.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Changed views of each picture besides itself: other crops, lights and blurs.
    pub views: usize,
    /// Whether views may be mirrored, left to right: not where that makes another class.
    pub flip: bool,
    /// Strength of the L2 penalty on the weights, of features with a deviation of 1; by cross-validation if none is given.
    pub strength: Option<f32>,
    /// Compute threads for the features.
    pub threads: usize,
}

impl Default for Options {
    /// Six views, not mirrored, strength by cross-validation, one thread.
    fn default() -> Self {
        Self { views: 6, flip: false, strength: None, threads: 1 }
    }
}

/// A taught network.
#[derive(Debug, Clone)]
pub struct Taught {
    /// The ONNX file: the backbone's nodes, a head, labels and preprocessing.
    pub bytes: Vec<u8>,
    /// How well it does, by cross-validation.
    pub report: Report,
}

/// Teaches a linear head the classes of `data`, on the features of `backbone`. `progress` is called after each picture with the number
/// done so far.
///
/// # Errors
/// [`ErrorKind::Labels`] for fewer than two classes, or a class with fewer than two pictures; [`ErrorKind::Usage`] for a strength that is
/// not above 0; [`ErrorKind::Model`] for a backbone that does not end in a global pool and a classifier; what pictures fail with.
pub fn teach(backbone: &OnnxFile, data: &Dataset, options: Options, progress: impl Fn(usize) + Sync) -> Result<Taught> {
    check(data, options)?;
    let channels = backbone.input.channels;
    let preprocessing = backbone.metadata.preprocessing.clone().unwrap_or_else(|| Preprocessing::of_channels(channels));
    let begin = Instant::now();
    let extractor = Extractor::new(backbone, preprocessing.clone())?;
    let features = extractor.all(data, options, progress)?;
    let extracted = begin.elapsed();
    let begin = Instant::now();
    let folds = Folds::new(&features.classes, &features.hashes, data.classes().len());
    let strengths = options.strength.map_or_else(|| STRENGTHS.to_vec(), |strength| vec![strength]);
    let trials = cross_validate(&features, &folds, &strengths);
    // The least surprise about pictures that were left out; of equals the strongest.
    let best = (0..trials.len()).min_by(|&a, &b| trials[a].loss.total_cmp(&trials[b].loss)).unwrap_or(0);
    let (rows, truths) = features.all();
    let problem = Problem::new(&rows, truths, features.count);
    let solution =
        strengths[..=best].iter().fold(None, |start: Option<Solution>, &s| Some(problem.fit(s, start.as_ref())));
    let head = problem.head(&solution.unwrap_or_else(|| problem.fit(STRENGTHS[0], None)));
    let (weights, bias) = head.split(&extractor.taps);
    let metadata = Metadata {
        name: backbone.metadata.name.as_ref().map(|name| format!("{name}, taught")),
        config: None,
        preprocessing: Some(preprocessing),
        labels: Some(data.classes().iter().map(ToString::to_string).collect()),
        scores: Some(Scores::Softmax),
    };
    let bytes = with_head(backbone, &extractor.taps, &weights, &bias, &metadata)?;
    let seconds = [extracted, begin.elapsed()].map(|time| time.as_secs_f64());
    let report = Report::new(data, &features, &folds, &trials[best], options, seconds);
    Ok(Taught { bytes, report })
}

fn check(data: &Dataset, options: Options) -> Result<()> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Labels, message));
    let classes: &[Arc<str>] = data.classes();
    if classes.len() < 2 {
        return wrong(format!("{} has {} class: teaching needs at least two", data.name(), classes.len()));
    }
    let mut counts = vec![0_usize; classes.len()];
    (0..data.pictures()).for_each(|index| counts[data.class(index)] += 1);
    if let Some(class) = counts.iter().position(|&count| count < 2) {
        let (label, count) = (crate::text::name(&classes[class]), counts[class]);
        let pictures = if count == 1 { "picture" } else { "pictures" };
        return wrong(format!("class {label} has {count} {pictures}: give each class two at the least, better ten"));
    }
    match options.strength {
        Some(strength) if !(strength.is_finite() && strength > 0.0) => {
            Err(Error::new(ErrorKind::Usage, format!("strength is {strength}: it must be above 0")))
        }
        _ => Ok(()),
    }
}

/// For each strength the probabilities of each picture, by heads that did not see it nor one like it.
fn cross_validate(features: &Features, folds: &Folds, strengths: &[f32]) -> Vec<Trial> {
    let pictures = features.classes.len();
    let mut trials: Vec<Trial> = strengths
        .iter()
        .map(|&strength| Trial { strength, loss: 0.0, probabilities: vec![Vec::new(); pictures] })
        .collect();
    for fold in 0..FOLDS {
        let (left_out, kept): (Vec<usize>, Vec<usize>) = (0..pictures).partition(|&picture| folds.of(picture) == fold);
        if left_out.is_empty() {
            continue;
        }
        let (rows, classes) = features.of_pictures(&kept);
        let problem = Problem::new(&rows.view(), classes, features.count);
        let own = features.own(&left_out);
        let mut start = None;
        for trial in &mut trials {
            let solution = problem.fit(trial.strength, start.as_ref());
            for (&picture, probabilities) in left_out.iter().zip(problem.head(&solution).probabilities(&own.view())) {
                trial.probabilities[picture] = probabilities;
            }
            start = Some(solution);
        }
    }
    for trial in &mut trials {
        let surprise = |(p, &class): (&Vec<f32>, &usize)| -f64::from(p[class].max(1e-9)).ln();
        let sum: f64 = trial.probabilities.iter().zip(&features.classes).map(surprise).sum();
        trial.loss = sum / pictures as f64;
    }
    trials
}
