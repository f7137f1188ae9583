//! Accuracy on pictures each of which may have several labels.

mod report;
mod truths;

pub use report::{LabelReport, MultiLabelReport};
pub use truths::LabelledPictures;

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::picture;
use crate::prediction::StageTimes;
use crate::runtime::Classifier;

/// Scores every picture of `data`, and ranks the pictures by each label's score. `labels` are the model's; `threshold` is the
/// score from which on a label counts as found. `progress` is called after each picture with the number done so far.
///
/// # Errors
/// [`ErrorKind::Labels`] where the data has a label that the model has not, or the model two of that name; [`ErrorKind::Image`] or
/// [`ErrorKind::Io`] for a picture that cannot be read; and what the classifier fails with.
pub fn evaluate_labels(
    classifier: &mut dyn Classifier,
    labels: &[Arc<str>],
    data: &LabelledPictures,
    threshold: f32,
    mut progress: impl FnMut(usize),
) -> Result<MultiLabelReport> {
    let outputs: Vec<usize> =
        data.labels().iter().map(|label| output_of(labels, label, data)).collect::<Result<_>>()?;
    let mut judged = vec![Vec::new(); outputs.len()];
    let mut spent = StageTimes::default();
    for (number, (path, truths)) in data.pictures().iter().enumerate() {
        let start = Instant::now();
        let image = picture::read(path)?;
        spent.decode += start.elapsed();
        let result = classifier.classify(&image, labels.len())?;
        spent.preprocess += result.stages.preprocess;
        spent.inference += result.stages.inference;
        spent.postprocess += result.stages.postprocess;
        let mut scores = vec![None; labels.len()];
        for prediction in &result.predictions {
            scores[prediction.class] = Some(prediction.score);
        }
        for ((judged, &output), truth) in judged.iter_mut().zip(&outputs).zip(truths) {
            let (Some(truth), Some(score)) = (*truth, scores[output]) else { continue };
            judged.push((score, truth));
        }
        progress(number + 1);
    }
    Ok(MultiLabelReport::new(classifier, data, threshold, &judged, spent))
}

/// The output with a label.
fn output_of(labels: &[Arc<str>], wanted: &Arc<str>, data: &LabelledPictures) -> Result<usize> {
    let mut found = labels.iter().enumerate().filter(|(_, label)| *label == wanted).map(|(output, _)| output);
    match (found.next(), found.next()) {
        (Some(output), None) => Ok(output),
        (Some(first), Some(second)) => Err(Error::new(
            ErrorKind::Labels,
            format!("{}: outputs {first} and {second} of the model both have the label '{wanted}'", data.name()),
        )),
        (None, _) => {
            let message = format!("{}: the model has no label '{wanted}', it has {}", data.name(), labels.join(", "));
            Err(Error::new(ErrorKind::Labels, message))
        }
    }
}

#[cfg(test)]
mod tests;
