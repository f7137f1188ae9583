//! Two models on the same labelled pictures.

use std::sync::Arc;

use super::tally::{self, Tally};
use super::{Dataset, Result, outputs_of};
use crate::error::{Error, ErrorKind};
use crate::runtime::Classifier;

mod differences;
mod report;
mod table;
#[cfg(test)]
mod tests;

pub use report::{ClassComparison, Comparison, Difference, MOST_DIFFERENCES, NamedClass, Outcome, ScoredClass};

use differences::Differences;

/// A model that is compared.
pub struct Contender<'a> {
    /// Runs it.
    pub classifier: &'a mut dyn Classifier,
    /// Its labels; `None` if it carries none.
    pub labels: Option<&'a [Arc<str>]>,
    /// Number of its classes.
    pub outputs: usize,
}

/// Classifies every picture of `data` with `model` and with `reference`, and counts where they differ. Each picture is
/// decoded once, and given to both. `progress` is called after each picture with the number done so far.
///
/// Outputs are compared by their numbers, so both models must have the same labels in the same order. If one carries none,
/// the other's count for both. The data's classes are found as [`evaluate`](super::evaluate) finds them.
///
/// # Errors
/// [`ErrorKind::Labels`] when the models have different classes, or not those of the data; [`ErrorKind::Image`] or
/// [`ErrorKind::Io`] for a picture that cannot be read; and what a classifier fails with.
///
/// # Panics
/// If a classifier predicts a class that is not below its `outputs`, or there are not as many `labels`.
pub fn compare<'a>(
    model: Contender<'a>,
    reference: Contender<'a>,
    data: &Dataset,
    mut progress: impl FnMut(usize),
) -> Result<Comparison> {
    let labels = common_labels(&model, &reference)?;
    let outputs = model.outputs;
    let truths = outputs_of(data, labels, outputs)?;
    let mut ours = Tally::new(model.classifier, outputs);
    let mut theirs = Tally::new(reference.classifier, outputs);
    let mut differences = Differences::new(labels.unwrap_or(data.classes()));
    for (number, batch) in tally::batches(data, ours.batch().max(theirs.batch())).enumerate() {
        let decoded = tally::decode(data, batch.clone())?;
        let right: Vec<usize> = batch.clone().map(|index| truths[data.class(index)]).collect();
        // They take turns in going first: whoever does finds the caches full of the decoder's data.
        let verdicts = if number % 2 == 0 {
            let verdicts = ours.judge(&decoded, &right)?;
            (verdicts, theirs.judge(&decoded, &right)?)
        } else {
            let verdicts = theirs.judge(&decoded, &right)?;
            (ours.judge(&decoded, &right)?, verdicts)
        };
        for (index, (ours, theirs)) in batch.clone().zip(verdicts.0.iter().zip(&verdicts.1)) {
            differences.add(|| data.picture_name(index), truths[data.class(index)], ours, theirs);
        }
        progress(batch.end);
    }
    Ok(differences.report(ours.report(labels, data), theirs.report(labels, data)))
}

/// The labels of both models.
fn common_labels<'a>(model: &Contender<'a>, reference: &Contender<'a>) -> Result<Option<&'a [Arc<str>]>> {
    let (ours, theirs) = (model.classifier.name(), reference.classifier.name());
    let wrong = |message: String| Err(Error::new(ErrorKind::Labels, message));
    if model.outputs != reference.outputs {
        return wrong(format!(
            "model {ours} has {} classes, reference {theirs} {}: compare models of the same classes",
            model.outputs, reference.outputs
        ));
    }
    if let (Some(a), Some(b)) = (model.labels, reference.labels)
        && let Some(output) = (0..model.outputs).find(|&output| a[output] != b[output])
    {
        return wrong(format!(
            "output {output} is '{}' for model {ours}, '{}' for reference {theirs}: compare models of the same classes in \
             the same order, or give one list of labels for both",
            a[output], b[output]
        ));
    }
    Ok(model.labels.or(reference.labels))
}
