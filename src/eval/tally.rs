//! One model's way through the pictures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{Counts, Report, TOP};
use super::{Dataset, Result};
use crate::error::{Error, ErrorKind};
use crate::frame::RgbImage;
use crate::prediction::{Prediction, StageTimes};
use crate::runtime::Classifier;

/// A model, and what is counted of it.
pub(super) struct Tally<'a> {
    classifier: &'a mut dyn Classifier,
    counts: Counts,
    spent: StageTimes,
}

/// What a model says of one picture.
pub(super) struct Verdict {
    /// The most probable class.
    pub(super) best: Prediction,
    /// Whether the right class is among the most probable ones.
    pub(super) among_top: bool,
}

impl<'a> Tally<'a> {
    /// Nothing counted yet of a model with this number of outputs.
    pub(super) fn new(classifier: &'a mut dyn Classifier, outputs: usize) -> Self {
        Self { classifier, counts: Counts::new(outputs), spent: StageTimes::default() }
    }

    /// Classifies a picture of output `truth` that took the time `decode` to decode, and counts it.
    ///
    /// # Errors
    /// What the classifier fails with; [`ErrorKind::Model`] if it predicts nothing.
    pub(super) fn judge(&mut self, image: &RgbImage, decode: Duration, truth: usize) -> Result<Verdict> {
        let result = self.classifier.classify(image, TOP)?;
        let among_top = result.predictions.iter().any(|p| p.class == truth);
        let Some(best) = result.predictions.into_iter().next() else {
            return Err(Error::new(ErrorKind::Model, format!("model {} predicts nothing", self.classifier.name())));
        };
        self.counts.add(truth, best.class, among_top);
        add(&mut self.spent, &StageTimes { decode, ..result.stages });
        Ok(Verdict { best, among_top })
    }

    /// The result, of at least one picture. Without `labels`, the outputs are the data's classes.
    pub(super) fn report(self, labels: Option<&[Arc<str>]>, data: &Dataset) -> Report {
        self.counts.report(self.classifier, labels, data, self.spent)
    }
}

/// A picture of `data`, and how long it took to decode.
///
/// # Errors
/// As [`Dataset::picture`].
pub(super) fn decode(data: &Dataset, index: usize) -> Result<(RgbImage, Duration)> {
    let start = Instant::now();
    let image = data.picture(index)?;
    Ok((image, start.elapsed()))
}

fn add(sum: &mut StageTimes, times: &StageTimes) {
    sum.decode += times.decode;
    sum.preprocess += times.preprocess;
    sum.inference += times.inference;
    sum.postprocess += times.postprocess;
}
