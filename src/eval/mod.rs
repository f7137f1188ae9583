//! Accuracy of a classifier on labelled pictures.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::prediction::StageTimes;
use crate::runtime::Classifier;

mod classes;
mod dataset;
mod folder;
mod packed;
mod report;
mod table;
#[cfg(test)]
mod tests;

pub use classes::outputs_of;
pub use dataset::{Dataset, Split};
pub use report::{ClassReport, MeanTimes, Report};

use report::Counts;

/// Classifies every picture of `data` and counts. `labels` are the model's (`None` if it carries none), `outputs` is the
/// number of its classes. `progress` is called after each picture with the number done so far.
///
/// The data's classes are the model's labels of the same names; for a model without labels, its outputs in order.
///
/// # Errors
/// [`ErrorKind::Labels`] when classes and labels do not match; [`ErrorKind::Image`] or [`ErrorKind::Io`] for a picture that
/// cannot be read: an accuracy that leaves pictures out would say too much; and what the classifier fails with.
///
/// # Panics
/// If the classifier predicts a class that is not below `outputs`, or there are not as many `labels`.
pub fn evaluate(
    classifier: &mut dyn Classifier,
    labels: Option<&[Arc<str>]>,
    outputs: usize,
    data: &Dataset,
    mut progress: impl FnMut(usize),
) -> Result<Report> {
    let truths = classes::outputs_of(data, labels, outputs)?;
    let mut counts = Counts::new(outputs);
    let mut spent = StageTimes::default();
    for index in 0..data.pictures() {
        let start = Instant::now();
        let image = data.picture(index)?;
        let decode = start.elapsed();
        let result = classifier.classify(&image, report::TOP)?;
        let truth = truths[data.class(index)];
        let order: Vec<usize> = result.predictions.iter().map(|p| p.class).collect();
        let Some(&first) = order.first() else {
            return Err(Error::new(ErrorKind::Model, format!("model {} predicts nothing", classifier.name())));
        };
        counts.add(truth, first, order.contains(&truth));
        add(&mut spent, &StageTimes { decode, ..result.stages });
        progress(index + 1);
    }
    Ok(counts.report(classifier, labels, data, spent))
}

fn add(sum: &mut StageTimes, times: &StageTimes) {
    sum.decode += times.decode;
    sum.preprocess += times.preprocess;
    sum.inference += times.inference;
    sum.postprocess += times.postprocess;
}
