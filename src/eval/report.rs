//! What an evaluation counts, and what follows from it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Dataset;
use crate::prediction::{StageTimes, Unknown};
use crate::runtime::Classifier;

/// A picture is right for [`Report::top5`] when its class is among this many.
pub(super) const TOP: usize = 5;

/// The accuracy of a model on a data set. Shares are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// First 16 hexadecimal digits of the model file's SHA-256.
    pub model_hash: String,
    /// What the pictures came from.
    pub data: String,
    /// Number of pictures.
    pub pictures: u64,
    /// Share of pictures whose most probable class is right.
    pub top1: f64,
    /// Share of pictures whose class is among the five most probable; `None` for five outputs or fewer, where it says
    /// nothing.
    pub top5: Option<f64>,
    /// Pictures that are not told as unknown; `None` of a model that does not tell.
    pub accepted: Option<Accepted>,
    /// One entry for each output of the model.
    pub classes: Vec<ClassReport>,
    /// `confusion[truth][prediction]`: number of pictures, by the model's outputs.
    pub confusion: Vec<Vec<u64>>,
    /// Mean time of a picture.
    pub mean_ms: MeanTimes,
}

/// Pictures that are not told as unknown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accepted {
    /// Their share.
    pub share: f64,
    /// Share of them whose most probable class is right; `None` if there are none.
    pub top1: Option<f64>,
}

/// How one class fared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Its name: the model's, or that of the data where the model has none.
    pub label: String,
    /// Pictures of this class.
    pub pictures: u64,
    /// Share of its pictures that were found; `None` without pictures.
    pub recall: Option<f64>,
    /// Share of the pictures taken for it that are of it; `None` where none was.
    pub precision: Option<f64>,
}

/// Mean time of each stage, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanTimes {
    /// From encoded bytes (of a file: reading included) to RGB.
    pub decode: f64,
    /// Resize, crop, normalize.
    pub preprocess: f64,
    /// The network.
    pub inference: f64,
    /// Softmax and top-k.
    pub postprocess: f64,
}

/// What is counted picture by picture.
pub(super) struct Counts {
    confusion: Vec<Vec<u64>>,
    among_top: u64,
    /// Pictures of which it is told whether they are unknown, those that are not, and the right ones among them.
    told: u64,
    accepted: u64,
    accepted_right: u64,
}

impl Counts {
    pub(super) fn new(outputs: usize) -> Self {
        Self { confusion: vec![vec![0; outputs]; outputs], among_top: 0, told: 0, accepted: 0, accepted_right: 0 }
    }

    /// Counts a picture of output `truth` that was taken for `prediction`.
    pub(super) fn add(&mut self, truth: usize, prediction: usize, among_top: bool) {
        self.confusion[truth][prediction] += 1;
        self.among_top += u64::from(among_top);
    }

    /// Counts what was told of a picture whose most probable class `is_right`.
    pub(super) fn add_unknown(&mut self, unknown: Option<Unknown>, is_right: bool) {
        let Some(unknown) = unknown else { return };
        self.told += 1;
        self.accepted += u64::from(!unknown.is_unknown());
        self.accepted_right += u64::from(!unknown.is_unknown() && is_right);
    }

    /// The result, of at least one picture that took the times `spent` in all. Without `labels`, the outputs are the
    /// data's classes.
    pub(super) fn report(
        self,
        classifier: &dyn Classifier,
        labels: Option<&[Arc<str>]>,
        data: &Dataset,
        spent: StageTimes,
    ) -> Report {
        let confusion = self.confusion;
        let outputs = confusion.len();
        let pictures: u64 = confusion.iter().flatten().sum();
        let right: u64 = (0..outputs).map(|i| confusion[i][i]).sum();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let class = |i: usize| {
            let (row, column) = (confusion[i].iter().sum(), confusion.iter().map(|row| row[i]).sum());
            ClassReport {
                label: labels.unwrap_or(data.classes())[i].to_string(),
                pictures: row,
                recall: share(confusion[i][i], row),
                precision: share(confusion[i][i], column),
            }
        };
        let mean = |time: Duration| time.as_secs_f64() * 1e3 / pictures as f64;
        Report {
            model: classifier.name().to_string(),
            model_hash: classifier.hash().to_string(),
            data: data.name().to_owned(),
            pictures,
            top1: right as f64 / pictures as f64,
            top5: (outputs > TOP).then(|| self.among_top as f64 / pictures as f64),
            accepted: share(self.accepted, self.told)
                .map(|all| Accepted { share: all, top1: share(self.accepted_right, self.accepted) }),
            classes: (0..outputs).map(class).collect(),
            mean_ms: MeanTimes {
                decode: mean(spent.decode),
                preprocess: mean(spent.preprocess),
                inference: mean(spent.inference),
                postprocess: mean(spent.postprocess),
            },
            confusion,
        }
    }
}

impl Report {
    /// Every pair of classes that were confused, most frequent first: truth, prediction, number of pictures.
    pub fn mistakes(&self) -> Vec<(usize, usize, u64)> {
        let cells = self.confusion.iter().enumerate().flat_map(|(truth, row)| {
            row.iter().enumerate().map(move |(prediction, &count)| (truth, prediction, count))
        });
        let mut mistakes: Vec<_> = cells.filter(|&(truth, prediction, n)| truth != prediction && n > 0).collect();
        mistakes.sort_by_key(|&(.., count)| std::cmp::Reverse(count));
        mistakes
    }
}
