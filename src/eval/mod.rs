//! Accuracy of a classifier on labelled pictures, alone or against a reference.

use std::sync::Arc;

use crate::error::Result;
use crate::runtime::Classifier;

mod archive;
mod classes;
mod compare;
mod dataset;
mod folder;
mod multilabel;
mod open;
mod packed;
mod ranking;
mod report;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod unknown;

pub use classes::outputs_of;
pub use compare::{
    ClassComparison, Comparison, Contender, Difference, MOST_DIFFERENCES, NamedClass, Outcome, ScoredClass, compare,
};
pub use dataset::{Dataset, PictureName, Split};
pub use multilabel::{LabelReport, LabelledPictures, MultiLabelReport, evaluate_labels};
pub use report::{Accepted, ClassReport, MeanTimes, Report};
pub(crate) use table::matrix;
pub use unknown::{UnknownReport, evaluate_unknown};

use tally::Tally;

/// Classifies every picture of `data` and counts. `labels` are the model's (`None` if it carries none), `outputs` is the
/// number of its classes. `progress` is called after each picture with the number done so far.
///
/// The data's classes are the model's labels of the same names; for a model without labels, its outputs in order.
///
/// # Errors
/// [`ErrorKind::Labels`](crate::error::ErrorKind::Labels) when classes and labels do not match;
/// [`ErrorKind::Image`](crate::error::ErrorKind::Image) or [`ErrorKind::Io`](crate::error::ErrorKind::Io) for a picture that
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
    let mut tally = Tally::new(classifier, outputs);
    for batch in tally::batches(data, tally.batch()) {
        let right: Vec<usize> = batch.clone().map(|index| truths[data.class(index)]).collect();
        tally.judge(&tally::decode(data, batch.clone())?, &right)?;
        progress(batch.end);
    }
    Ok(tally.report(labels, data))
}
