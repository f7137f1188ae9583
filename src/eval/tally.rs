//! One model's way through the pictures.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::report::{Counts, Report, TOP};
use super::{Dataset, Result};
use crate::error::{Error, ErrorKind};
use crate::frame::RgbImage;
use crate::prediction::{Prediction, StageTimes};
use crate::runtime::{Classification, Classifier};

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

    /// How many pictures are best judged together.
    pub(super) fn batch(&self) -> usize {
        self.classifier.batch()
    }

    /// Classifies pictures and counts them: each with the output that is right.
    ///
    /// # Errors
    /// What the classifier fails with; [`ErrorKind::Model`] if it predicts nothing.
    pub(super) fn judge(&mut self, decoded: &Decoded, truths: &[usize]) -> Result<Vec<Verdict>> {
        self.spent.decode += decoded.took;
        let results = self.classifier.classify_batch(&decoded.images, TOP)?;
        let judge = |(result, truth): (Classification, &usize)| {
            let among_top = result.predictions.iter().any(|p| p.class == *truth);
            let Some(best) = result.predictions.into_iter().next() else {
                return Err(Error::new(ErrorKind::Model, format!("model {} predicts nothing", self.classifier.name())));
            };
            self.counts.add(*truth, best.class, among_top);
            self.counts.add_unknown(result.unknown, *truth == best.class);
            add(&mut self.spent, &result.stages);
            Ok(Verdict { best, among_top })
        };
        results.into_iter().zip(truths).map(judge).collect()
    }

    /// The result, of at least one picture. Without `labels`, the outputs are the data's classes.
    pub(super) fn report(self, labels: Option<&[Arc<str>]>, data: &Dataset) -> Report {
        self.counts.report(self.classifier, labels, data, self.spent)
    }
}

/// Pictures that are judged together.
pub(super) struct Decoded {
    images: Vec<RgbImage>,
    took: Duration,
}

impl Decoded {
    /// The pictures.
    pub(super) fn images(&self) -> &[RgbImage] {
        &self.images
    }
}

/// Pictures of `data`, and how long they took to decode.
///
/// # Errors
/// As [`Dataset::picture`].
pub(super) fn decode(data: &Dataset, indices: Range<usize>) -> Result<Decoded> {
    let start = Instant::now();
    let images = indices.map(|index| data.picture(index)).collect::<Result<_>>()?;
    Ok(Decoded { images, took: start.elapsed() })
}

/// The pictures of `data` in batches.
pub(super) fn batches(data: &Dataset, batch: usize) -> impl Iterator<Item = Range<usize>> {
    let pictures = data.pictures();
    (0..pictures).step_by(batch).map(move |start| start..pictures.min(start + batch))
}

fn add(sum: &mut StageTimes, times: &StageTimes) {
    sum.preprocess += times.preprocess;
    sum.inference += times.inference;
    sum.postprocess += times.postprocess;
}
