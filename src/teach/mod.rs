//! Classes of one's own: a linear head, taught on the features of a network that stays as it is.
//!
//! A DenseNet's last map is a concatenation of all layers of its last block, and its transitions' results are what the blocks before came
//! to. Pooled to small grids they are features on which a linear discriminant analysis separates new classes after a few pictures of each.
//! The features are those of the network as it will run: of an int8 file, int8's.

mod again;
mod cholesky;
mod collection;
mod discriminant;
mod features;
mod folds;
mod report;
mod table;
#[cfg(test)]
mod tests;
mod unknown;
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::eval::Dataset;
use crate::model::onnx::{OnnxFile, with_head, with_unknown};
use crate::model::{Metadata, Preprocessing, Scores};
pub use again::{Step, Teaching, check_backbone};
pub use collection::{Collection, CollectionLimits, MOST_CLASSES, check_name};
use discriminant::Problem;
use features::{Extractor, Features};
use folds::{FOLDS, Folds};
pub use report::{ClassReport, Report, Suspect, Trial};
pub use unknown::{Told, UnknownReport, tell_unknown};

/// Shrinkages of the covariance that cross-validation chooses from, for features with a deviation of 1; strongest first.
pub const SHRINKAGES: [f64; 6] = [10.0, 3.0, 1.0, 0.3, 0.1, 0.03];
/// Below, rounding would decide; beyond its inverse nothing is left of the covariance.
const LEAST_SHRINKAGE: f64 = 1e-6;
/// Pictures that are taught with at the most: memory grows with their square.
const MOST_PICTURES: usize = 4000;
/// Rows, of pictures and their views, that are taught with at the most.
const MOST_ROWS: usize = 2000;

/// How a head is taught.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Changed views of each picture besides itself: other crops, lights and blurs. Fewer, where there are many pictures.
    pub views: usize,
    /// Whether views may be mirrored, left to right: not where that makes another class.
    pub flip: bool,
    /// What is added to the variances of features within classes, which have a deviation of 1; by cross-validation if none is given.
    pub shrinkage: Option<f64>,
    /// Compute threads for the features.
    pub threads: usize,
}

impl Default for Options {
    /// Six views, not mirrored, shrinkage by cross-validation, one thread.
    fn default() -> Self {
        Self { views: 6, flip: false, shrinkage: None, threads: 1 }
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
/// [`ErrorKind::Labels`] for fewer than two classes, or a class with fewer than two pictures; [`ErrorKind::Usage`] for more than
/// 4,000 pictures, and a shrinkage that is not between 1e-6 and 1e6; [`ErrorKind::Model`] for a backbone that does not end in a global
/// pool and a classifier, and for features that give no finite weights; what pictures fail with.
pub fn teach(backbone: &OnnxFile, data: &Dataset, options: Options, progress: impl Fn(usize) + Sync) -> Result<Taught> {
    let options = check(data, options)?;
    let begin = Instant::now();
    let extractor = Extractor::new(backbone, preprocessing(backbone))?;
    let features = extractor.all(data, options, progress)?;
    head(backbone, &extractor, &features, data, options, begin.elapsed(), &AtomicBool::new(false))
}

fn preprocessing(backbone: &OnnxFile) -> Preprocessing {
    let channels = backbone.input.channels;
    backbone.metadata.preprocessing.clone().unwrap_or_else(|| Preprocessing::of_channels(channels))
}

/// The head for the features of `data`, whose extraction took so long.
///
/// # Errors
/// [`ErrorKind::Model`] for features that give no finite weights, [`ErrorKind::Ended`] where it was cancelled.
fn head(
    backbone: &OnnxFile,
    extractor: &Extractor,
    features: &Features,
    data: &Dataset,
    options: Options,
    extracted: Duration,
    cancelled: &AtomicBool,
) -> Result<Taught> {
    let begin = Instant::now();
    let folds = Folds::new(&features.classes, &features.hashes, data.classes().len());
    let (rows, truths) = features.all();
    let problem = Problem::new(&rows, truths, features.count);
    let shrinkages = options.shrinkage.map_or_else(|| SHRINKAGES.to_vec(), |shrinkage| vec![shrinkage]);
    let trials = cross_validate(&problem, features, &folds, &shrinkages, cancelled)?;
    // The least surprise about pictures that were left out; of equals the strongest.
    let best = (0..trials.len()).min_by(|&a, &b| trials[a].loss.total_cmp(&trials[b].loss)).unwrap_or(0);
    let head = problem.head(trials[best].shrinkage, trials[best].temperature);
    let (weights, bias) = head.split(&extractor.taps);
    if !weights.iter().flatten().chain(&bias).all(|weight| weight.is_finite()) {
        let message = "the pictures' features do not tell the classes apart: the head's weights are not finite";
        return Err(Error::new(ErrorKind::Model, message));
    }
    let metadata = Metadata {
        name: backbone.metadata.name.as_ref().map(|name| format!("{name}, taught")),
        config: None,
        preprocessing: Some(preprocessing(backbone)),
        labels: Some(data.classes().iter().map(ToString::to_string).collect()),
        scores: Some(Scores::Softmax),
    };
    let mut bytes = with_head(backbone, &extractor.taps, &weights, &bias, &metadata)?;
    let largest = |row: &Vec<f32>| row.iter().copied().fold(0.0, f32::max);
    let best_probabilities: Vec<f32> = trials[best].probabilities.iter().map(largest).collect();
    let unknown = unknown::detector(features, &folds, &best_probabilities)?;
    if let Some((detector, _)) = &unknown {
        bytes = with_unknown(&OnnxFile::parse(&bytes)?, &extractor.map, detector)?;
    }
    let seconds = [extracted, begin.elapsed()].map(|time| time.as_secs_f64());
    let told = unknown.map(|(_, report)| report);
    let report = Report::new(data, features, &folds, &trials[best], options, seconds).with_unknown(told);
    Ok(Taught { bytes, report })
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Ended, "teaching was cancelled")
}

/// The options, with as many views as there is memory for.
fn check(data: &Dataset, options: Options) -> Result<Options> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Labels, message));
    let classes: &[Arc<str>] = data.classes();
    if classes.len() < 2 {
        return wrong(format!("{} has {} class: teaching needs at least two", data.name(), classes.len()));
    }
    if data.pictures() > MOST_PICTURES {
        let (count, most) = (data.pictures(), MOST_PICTURES);
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{count} pictures are too many to teach with: limit them to {most}"),
        ));
    }
    let mut counts = vec![0_usize; classes.len()];
    (0..data.pictures()).for_each(|index| counts[data.class(index)] += 1);
    if let Some(class) = counts.iter().position(|&count| count < 2) {
        let (label, count) = (crate::text::name(&classes[class]), counts[class]);
        let pictures = if count == 1 { "picture" } else { "pictures" };
        return wrong(format!("class {label} has {count} {pictures}: give each class two at the least, better ten"));
    }
    match options.shrinkage {
        Some(shrinkage) if !(LEAST_SHRINKAGE..=1.0 / LEAST_SHRINKAGE).contains(&shrinkage) => {
            let message = format!("shrinkage is {shrinkage:e}: it must be between 1e-6 and 1e6");
            Err(Error::new(ErrorKind::Usage, message))
        }
        _ => {
            let views = options.views.min((MOST_ROWS / data.pictures()).saturating_sub(1));
            Ok(Options { views, ..options })
        }
    }
}

/// For each shrinkage the probabilities of each picture, by heads that did not see it nor one like it.
///
/// # Errors
/// [`ErrorKind::Ended`] where it was cancelled.
fn cross_validate(
    problem: &Problem,
    features: &Features,
    folds: &Folds,
    shrinkages: &[f64],
    stop: &AtomicBool,
) -> Result<Vec<Trial>> {
    let pictures = features.classes.len();
    let mut scores = vec![vec![Vec::new(); pictures]; shrinkages.len()];
    for fold in 0..FOLDS {
        if stop.load(Ordering::Relaxed) {
            return Err(cancelled());
        }
        let (left_out, kept): (Vec<usize>, Vec<usize>) = (0..pictures).partition(|&picture| folds.of(picture) == fold);
        if left_out.is_empty() {
            continue;
        }
        let found = problem.left_out(&features.rows_of(&kept), &features.own_rows(&left_out), shrinkages);
        for (scores, found) in scores.iter_mut().zip(found) {
            for (&picture, row) in left_out.iter().zip(found.rows()) {
                scores[picture] = row.to_vec();
            }
        }
    }
    let trial = |(scores, &shrinkage)| Trial::of(scores, &features.classes, shrinkage);
    Ok(scores.into_iter().zip(shrinkages).map(trial).collect())
}
