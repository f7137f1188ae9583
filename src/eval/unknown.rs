//! How well pictures of what a model does not know are told from those that it knows.

use std::fmt;

use serde::Serialize;

use super::ranking::auc;
use super::{Dataset, Result, tally};
use crate::error::{Error, ErrorKind};
use crate::prediction::Unknown;
use crate::runtime::Classifier;
use crate::text;

/// Pictures of what a model does not know, beside those that it knows. Shares are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnknownReport {
    /// What the pictures of what it does not know came from.
    pub data: String,
    /// How many they are.
    pub pictures: u64,
    /// Area under the receiver operating characteristic: how often such a picture has a greater score than one that it knows.
    pub auroc: f64,
    /// The area is between these with a probability of 95 % (Hanley and McNeil, Radiology, 1982).
    pub interval: [f64; 2],
    /// Share of the known pictures that are not told as unknown.
    pub accepted: f64,
    /// Share of the others that are not told as unknown either.
    pub passed: f64,
}

/// Compares the scores for "none of these" of the pictures of `known` and of `unknown`. `progress` is called after each picture with the
/// number done so far.
///
/// # Errors
/// [`ErrorKind::Usage`] for a model that does not tell what is unknown; what pictures and the classifier fail with.
pub fn evaluate_unknown(
    classifier: &mut dyn Classifier,
    known: &Dataset,
    unknown: &Dataset,
    mut progress: impl FnMut(usize),
) -> Result<UnknownReport> {
    let known = scores(classifier, known, &mut progress)?;
    let before = known.len();
    let name = unknown.name().to_owned();
    let unknown = scores(classifier, unknown, &mut |done| progress(before + done))?;
    let judged = |scores: &[Unknown], is: bool| scores.iter().map(|found| (found.score, is)).collect::<Vec<_>>();
    let auroc = auc(&[judged(&known, false), judged(&unknown, true)].concat()).unwrap_or(0.5);
    let passes = |scores: &[Unknown]| {
        scores.iter().filter(|found| !found.is_unknown()).count() as f64 / scores.len().max(1) as f64
    };
    Ok(UnknownReport {
        data: name,
        pictures: unknown.len() as u64,
        interval: interval(auroc, unknown.len(), known.len()),
        auroc,
        accepted: passes(&known),
        passed: passes(&unknown),
    })
}

fn scores(classifier: &mut dyn Classifier, data: &Dataset, progress: &mut dyn FnMut(usize)) -> Result<Vec<Unknown>> {
    let mut scores = Vec::new();
    for batch in tally::batches(data, classifier.batch()) {
        for found in classifier.classify_batch(tally::decode(data, batch.clone())?.images(), 1)? {
            scores.push(found.unknown.ok_or_else(|| {
                let message = format!(
                    "model {} does not tell what it does not know: `densight unknown` makes one that does",
                    text::name(&classifier.name())
                );
                Error::new(ErrorKind::Usage, message)
            })?);
        }
        progress(batch.end);
    }
    Ok(scores)
}

/// An interval of 95 % for an area that was found with so many of each.
fn interval(area: f64, unknown: usize, known: usize) -> [f64; 2] {
    let (q1, q2) = (area / (2.0 - area), 2.0 * area * area / (1.0 + area));
    let square = area * area;
    let rest = |count: usize| count.saturating_sub(1) as f64;
    let variance = area * (1.0 - area) + rest(unknown) * (q1 - square) + rest(known) * (q2 - square);
    let reach = 1.96 * (variance.max(0.0) / (unknown.max(1) * known.max(1)) as f64).sqrt();
    [area - reach, area + reach].map(|end| end.clamp(0.0, 1.0))
}

impl fmt::Display for UnknownReport {
    /// Three lines. Ends with a line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nunknown: {} pictures of {}", self.pictures, text::line(&self.data))?;
        let [low, high] = self.interval;
        writeln!(f, "  AUROC {:.3} (95 %: {low:.3} to {high:.3})", self.auroc)?;
        writeln!(
            f,
            "  {:.1} % of the known pictures are accepted, {:.1} % of these",
            100.0 * self.accepted,
            100.0 * self.passed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_hanley_and_mcneil() {
        // Their table II for an area of 0.8 with 50 of each: a standard error of about 0.045.
        let [low, high] = interval(0.8, 50, 50);
        assert!(((high - low) / 2.0 / 1.96 - 0.0447).abs() < 5e-4, "{low} {high}");
        assert_eq!(interval(1.0, 50, 50), [1.0, 1.0]);
    }
}
